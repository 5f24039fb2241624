//! A scripted host for unit tests: properties and headers are set, calls recorded, failures ordered.

use crate::host::{Headers, Host, Level, MetricId, MetricKind, Status};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What all VMs of a process share.
#[derive(Debug, Default)]
pub struct Process {
    pub metrics: BTreeMap<String, i64>,
    names: Vec<String>,
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    versions: u32,
}

#[derive(Debug, Default)]
pub struct FakeHost {
    pub process: Rc<RefCell<Process>>,
    pub properties: BTreeMap<String, Vec<u8>>,
    /// Properties that the filter set, each on the connection whose id was in `properties` then.
    pub own_properties: BTreeMap<(Vec<u8>, String), Vec<u8>>,
    pub request_headers: Vec<(String, Vec<u8>)>,
    pub response_headers: Vec<(String, Vec<u8>)>,
    pub data: Vec<u8>,
    pub configuration: Vec<u8>,
    pub seconds: u64,
    pub tick: u32,
    /// Paths asked for, elements joined by dots.
    pub asked: Vec<String>,
    /// Every call's name.
    pub calls: Vec<&'static str>,
    pub log: Vec<String>,
    pub failing: BTreeMap<String, Status>,
}

impl FakeHost {
    pub fn set(&mut self, path: &str, bytes: &[u8]) {
        self.properties.insert(path.into(), bytes.into());
    }

    /// Makes a call, or `property:PATH`, fail from now on.
    pub fn fail(&mut self, call: &str, status: Status) {
        self.failing.insert(call.into(), status);
    }

    pub fn succeed(&mut self, call: &str) {
        self.failing.remove(call);
    }

    /// A metric's value; 0 when it is not defined.
    pub fn value(&self, name: &str) -> i64 {
        self.process
            .borrow()
            .metrics
            .get(name)
            .copied()
            .unwrap_or(0)
    }

    /// Every metric that holds a part of a name, with its value.
    pub fn metrics_with(&self, part: &str) -> Vec<(String, i64)> {
        let process = self.process.borrow();
        let all = process
            .metrics
            .iter()
            .filter(|(name, _)| name.contains(part));
        all.map(|(name, value)| (name.clone(), *value)).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.request_headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(&found.1).ok()
    }

    /// A property that the filter would set, or has set, on the connection at hand.
    fn own(&self, name: &str) -> (Vec<u8>, String) {
        let id = self.properties.get("connection.id");
        (id.cloned().unwrap_or_default(), name.into())
    }

    fn call(&mut self, name: &'static str) -> Result<(), Status> {
        self.calls.push(name);
        self.failing.get(name).map_or(Ok(()), |status| Err(*status))
    }

    fn headers(&mut self, headers: Headers) -> &mut Vec<(String, Vec<u8>)> {
        match headers {
            Headers::Request => &mut self.request_headers,
            Headers::Response => &mut self.response_headers,
        }
    }
}

impl Host for FakeHost {
    fn property(&mut self, path: &str, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        // `io.istio.peer_principal` is one element; joined by dots it reads like its documentation.
        let path = path.replace('\0', ".");
        self.asked.push(path.clone());
        self.call("property")?;
        if let Some(status) = self.failing.get(&format!("property:{path}")) {
            return Err(*status);
        }
        let own = self.own_properties.get(&self.own(&path));
        let value = own.or_else(|| self.properties.get(&path));
        into.extend(value.ok_or(Status::NOT_FOUND)?);
        Ok(())
    }

    fn set_property(&mut self, name: &str, value: &[u8]) -> Result<(), Status> {
        self.call("set_property")?;
        self.own_properties.insert(self.own(name), value.into());
        Ok(())
    }

    fn downstream_data(&mut self, most: u32, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("downstream_data")?;
        into.extend(self.data.iter().take(most as usize));
        Ok(())
    }

    fn plugin_configuration(&mut self, size: u32, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("plugin_configuration")?;
        into.extend(self.configuration.iter().take(size as usize));
        Ok(())
    }

    fn header(&mut self, headers: Headers, name: &str, into: &mut Vec<u8>) -> Result<(), Status> {
        into.clear();
        self.call("header")?;
        let all = self.headers(headers);
        let found = all
            .iter()
            .find(|(key, _)| key == name)
            .ok_or(Status::NOT_FOUND)?;
        into.extend(&found.1);
        Ok(())
    }

    fn replace_header(&mut self, headers: Headers, name: &str, value: &[u8]) -> Result<(), Status> {
        self.call("replace_header")?;
        let all = self.headers(headers);
        all.retain(|(key, _)| key != name);
        all.push((name.into(), value.into()));
        Ok(())
    }

    fn add_header(&mut self, headers: Headers, name: &str, value: &[u8]) -> Result<(), Status> {
        self.call("add_header")?;
        self.headers(headers).push((name.into(), value.into()));
        Ok(())
    }

    fn define_metric(&mut self, _kind: MetricKind, name: &str) -> Result<MetricId, Status> {
        self.call("define_metric")?;
        let mut process = self.process.borrow_mut();
        process.metrics.entry(name.into()).or_insert(0);
        process.names.push(name.into());
        Ok(MetricId(process.names.len() as u32 - 1))
    }

    fn increment_metric(&mut self, id: MetricId, by: i64) -> Result<(), Status> {
        self.call("increment_metric")?;
        let mut process = self.process.borrow_mut();
        let name = process.names.get(id.0 as usize).cloned().ok_or(Status(2))?;
        *process.metrics.get_mut(&name).unwrap() += by;
        Ok(())
    }

    fn record_metric(&mut self, id: MetricId, value: u64) -> Result<(), Status> {
        self.call("record_metric")?;
        let mut process = self.process.borrow_mut();
        let name = process.names.get(id.0 as usize).cloned().ok_or(Status(2))?;
        process.metrics.insert(name, value as i64);
        Ok(())
    }

    fn shared(&mut self, key: &str, into: &mut Vec<u8>) -> Result<u32, Status> {
        into.clear();
        self.call("shared")?;
        let process = self.process.borrow();
        let (value, version) = process.shared.get(key).ok_or(Status::NOT_FOUND)?;
        into.extend(value);
        Ok(*version)
    }

    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Status> {
        self.call("set_shared")?;
        let mut process = self.process.borrow_mut();
        if let Some((_, there)) = process.shared.get(key)
            && version != 0
            && version != *there
        {
            return Err(Status::CAS_MISMATCH);
        }
        process.versions += 1;
        let version = process.versions;
        process.shared.insert(key.into(), (value.into(), version));
        Ok(())
    }

    fn now(&mut self) -> Result<u64, Status> {
        self.call("now")?;
        Ok(self.seconds * 1_000_000_000)
    }

    fn tick_every(&mut self, milliseconds: u32) -> Result<(), Status> {
        self.call("tick_every")?;
        self.tick = milliseconds;
        Ok(())
    }

    fn log(&mut self, _level: Level, line: &str) {
        self.log.push(line.into());
    }
}
