//! A scripted host for unit tests: sets properties and headers, records calls, injects failures.

use crate::attribute::Attribute;
use crate::host::{HeaderMap, Host, MetricId, MetricKind, Status};
use log::{Log, Metadata, Record};
use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct FakeHost {
    /// By path.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// The current connection, which owns the properties that the filter sets.
    pub connection: u32,
    own_properties: BTreeMap<(u32, String), Vec<u8>>,
    pub request_headers: BTreeMap<String, Vec<u8>>,
    pub response_headers: BTreeMap<String, Vec<u8>>,
    pub data: Vec<u8>,
    pub configuration: Vec<u8>,
    pub seconds: u64,
    /// Every call's name.
    pub calls: Vec<&'static str>,
    /// Bytes of all returned properties. Each value that is not empty costs Envoy an entry into the VM.
    pub returned: usize,
    /// By name of the call or attribute.
    failing: BTreeMap<String, Status>,
    metrics: Vec<(String, i64)>,
}

impl FakeHost {
    pub fn set(&mut self, attribute: Attribute, bytes: &[u8]) {
        self.properties.insert(attribute.path.into(), bytes.into());
    }

    pub fn unset(&mut self, attribute: Attribute) {
        self.properties.remove(attribute.path);
    }

    /// Makes a call, or an attribute by its name, fail from now on.
    pub fn fail(&mut self, what: &str, status: Status) {
        self.failing.insert(what.into(), status);
    }

    pub fn succeed(&mut self, what: &str) {
        self.failing.remove(what);
    }

    /// How often a call was made.
    pub fn count(&self, call: &str) -> usize {
        self.calls.iter().filter(|made| **made == call).count()
    }

    /// A metric's value by its full name; 0 if it is not defined.
    pub fn value(&self, name: &str) -> i64 {
        let metrics = self.metrics.iter();
        metrics
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value)
            .sum()
    }

    /// The sum over all labels.
    pub fn sum(&self, metric: &str) -> i64 {
        self.series(metric).iter().map(|(_, value)| value).sum()
    }

    /// A metric's series: labels and value.
    pub fn series(&self, metric: &str) -> Vec<(&str, i64)> {
        let labels = |name: &'_ str| -> Option<usize> { name.rfind(metric) };
        self.metrics
            .iter()
            .filter(|(name, _)| name.ends_with(metric))
            .filter_map(|(name, value)| {
                let end = labels(name)?;
                let tag = name.get(..end)?;
                let tag = tag.strip_prefix("tag.").unwrap_or(tag);
                Some((tag.strip_suffix(";.").unwrap_or(tag), *value))
            })
            .collect()
    }

    pub fn attribute_errors(&self, attribute: Attribute) -> i64 {
        let name = attribute.name;
        self.value(&format!(
            "tag.attribute={name};.plainsight_attribute_errors_total"
        ))
    }

    fn call(&mut self, call: &'static str) -> Result<(), Status> {
        self.calls.push(call);
        self.failing.get(call).map_or(Ok(()), |status| Err(*status))
    }

    fn headers(&mut self, map: HeaderMap) -> &mut BTreeMap<String, Vec<u8>> {
        match map {
            HeaderMap::Request => &mut self.request_headers,
            HeaderMap::Response => &mut self.response_headers,
        }
    }
}

fn copy(value: Option<&Vec<u8>>, into: &mut Vec<u8>) -> Result<(), Status> {
    into.extend(value.ok_or(Status::NOT_FOUND)?);
    Ok(())
}

impl Host for FakeHost {
    fn property(&mut self, path: &str, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("property")?;
        let name = path.replace('\0', ".");
        if let Some(status) = self.failing.get(&name) {
            return Err(*status);
        }
        let own = (self.connection, String::from(path));
        let value = self.own_properties.get(&own);
        copy(value.or(self.properties.get(path)), into)?;
        self.returned += into.len();
        Ok(())
    }

    fn set_property(&mut self, name: &str, value: &[u8]) -> Result<(), Status> {
        self.call("set_property")?;
        let own = (self.connection, name.into());
        self.own_properties.insert(own, value.into());
        Ok(())
    }

    fn downstream_data(&mut self, max: usize, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("downstream_data")?;
        into.extend(self.data.iter().take(max));
        Ok(())
    }

    fn plugin_configuration(&mut self, size: usize, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("plugin_configuration")?;
        into.extend(self.configuration.iter().take(size));
        Ok(())
    }

    fn header(&mut self, map: HeaderMap, name: &str, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("header")?;
        copy(self.headers(map).get(name), into)
    }

    fn replace_header(&mut self, map: HeaderMap, name: &str, value: &str) -> Result<(), Status> {
        self.call("replace_header")?;
        self.headers(map).insert(name.into(), value.into());
        Ok(())
    }

    fn add_header(&mut self, map: HeaderMap, name: &str, value: &str) -> Result<(), Status> {
        self.call("add_header")?;
        let values = self.headers(map).entry(name.into()).or_default();
        values.extend(value.bytes());
        Ok(())
    }

    fn define_metric(&mut self, _: MetricKind, name: &str) -> Result<MetricId, Status> {
        self.call("define_metric")?;
        self.metrics.push((name.into(), 0));
        Ok(MetricId(self.metrics.len() as u32 - 1))
    }

    fn increment_metric(&mut self, id: MetricId, by: i64) -> Result<(), Status> {
        self.call("increment_metric")?;
        assert!(by > 0, "Envoy rejects an increment of {by}");
        self.metrics[id.0 as usize].1 += by;
        Ok(())
    }

    fn record_metric(&mut self, id: MetricId, value: u64) -> Result<(), Status> {
        self.call("record_metric")?;
        self.metrics[id.0 as usize].1 = value as i64;
        Ok(())
    }

    fn now(&mut self) -> Result<u64, Status> {
        self.call("now")?;
        Ok(self.seconds * 1_000_000_000)
    }

    fn tick_every(&mut self, _: u32) -> Result<(), Status> {
        self.call("tick_every")
    }
}

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct TestLogger;

impl Log for TestLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let prefix = if record.target() == crate::new_caller::LOG_TARGET {
            String::new()
        } else {
            format!("{} ", record.level())
        };
        LINES.with_borrow_mut(|lines| lines.push(format!("{prefix}{}", record.args())));
    }

    fn flush(&self) {}
}

/// Starts to capture what this thread logs.
pub fn capture_log() {
    static LOGGER: TestLogger = TestLogger;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    LINES.with_borrow_mut(Vec::clear);
}

/// What this thread has logged since [`capture_log`].
pub fn logged() -> Vec<String> {
    LINES.with_borrow(Vec::clone)
}
