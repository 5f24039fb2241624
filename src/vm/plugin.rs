//! A plugin's configuration and timer.

use super::Vm;
use crate::host::{Host, Level};
use crate::metrics::{Label, LabelForm, Metric};
use crate::property::Property;
use crate::roots::TICK_MILLISECONDS;
use crate::settings::Settings;
use crate::trouble::push_number;

/// Names of nodes are short; a longer value is no name.
const MOST_NAME: usize = 256;

impl<H: Host> Vm<H> {
    /// A configuration. It never fails: false would stop Envoy at start, FAIL_OPEN or not (measured). What is
    /// wrong is told whole in the log and counted in `plainsight_config_errors`.
    pub fn on_configure(&mut self, context: u32, size: u32) {
        self.roots.create(context);
        let access = &mut self.access;
        let mut json = Vec::new();
        let mut unread = None;
        // Absent from the plugin, the configuration is empty, and there is nothing to ask for.
        if size > 0
            && let Err(status) = access.host.plugin_configuration(size, &mut json)
        {
            access
                .trouble
                .refused(&mut access.host, "plugin configuration", status);
            unread = Some(String::from(
                "configuration: could not be read: the defaults are in force",
            ));
            json.clear();
        }
        let (settings, mut problems) = Settings::parse(&json);
        problems.extend(unread);
        for problem in &problems {
            access
                .host
                .log(Level::Error, &["plainsight: ", problem].concat());
        }
        let workload = access
            .text(Property::WORKLOAD_NAME, MOST_NAME)
            .ok()
            .flatten();
        let namespace = access.text(Property::NAMESPACE, MOST_NAME).ok().flatten();
        self.known.forget();
        let form = settings.labels;
        if let Some(root) = self.roots.find_mut(context) {
            root.settings = settings;
            root.problems = u64::try_from(problems.len()).unwrap_or(u64::MAX);
            root.workload = workload.unwrap_or_default();
            root.namespace = namespace.unwrap_or_default();
        }
        self.announce(form);
        self.alive(context);
        let outcome = self.access.host.tick_every(TICK_MILLISECONDS);
        self.access.granted("set the timer", outcome);
        let mut line = String::from(concat!(
            "plainsight ",
            env!("CARGO_PKG_VERSION"),
            ": configured, problems: "
        ));
        push_number(&mut line, u32::try_from(problems.len()).unwrap_or(u32::MAX));
        self.access.host.log(Level::Info, &line);
    }

    /// Makes the metrics without callers visible.
    fn announce(&mut self, form: LabelForm) {
        let access = &mut self.access;
        access.trouble.define(&mut access.host);
        self.series.define_overflow(access);
        let mut name = String::new();
        form.push(&mut name, Label::Version, env!("CARGO_PKG_VERSION"));
        form.finish(&mut name, Metric::BuildInfo);
        let defined = access
            .host
            .define_metric(Metric::BuildInfo.definition().kind, &name);
        if let Some(metric) = access.granted("define a metric", defined) {
            let outcome = access.host.record_metric(metric, 1);
            access.granted("record a metric", outcome);
        }
    }

    /// The plugin is in force: its problems, and those of the others, are what counts. Gives the time.
    fn alive(&mut self, context: u32) -> Option<u64> {
        let now = self.now();
        if let (Some(now), Some(root)) = (now, self.roots.find_mut(context)) {
            root.alive = now;
        }
        let problems = self.roots.problems(now.unwrap_or_default());
        if self.config_errors.is_none() {
            // Once: Envoy gives a new id for each definition and keeps them all.
            let definition = Metric::ConfigErrors.definition();
            let defined = self
                .access
                .host
                .define_metric(definition.kind, definition.name);
            self.config_errors = self.access.granted("define a metric", defined);
        }
        if let Some(metric) = self.config_errors {
            let outcome = self.access.host.record_metric(metric, problems);
            self.access.granted("record a metric", outcome);
        }
        now
    }

    /// Seconds since the Unix epoch.
    pub(super) fn now(&mut self) -> Option<u64> {
        let now = self.access.host.now();
        let now = self.access.granted("the time", now)?;
        Some(now / 1_000_000_000)
    }

    /// The timer of a plugin.
    pub fn on_tick(&mut self, context: u32) {
        let now = self.alive(context);
        self.census.refresh();
        self.connections.sweep();
        self.series.tick(&mut self.access, now);
    }
}
