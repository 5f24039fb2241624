//! The plugins of this VM, and the problems in the configurations in force.

use crate::access::Access;
use crate::attribute::Attribute;
use crate::host::{Host, MetricId};
use crate::labels::{BuildLabels, ConfigLabels};
use crate::metrics::{BUILD_INFO, CONFIG_ERRORS};
use crate::plugin::{Configuration, Plugin};
use rustc_hash::FxHashSet;
use std::rc::Rc;

/// The timer's period, which is the max delay of last-seen times and mutual TLS counts.
const TICK_MILLISECONDS: u32 = 5_000;
/// Max problems that one VM logs.
const MAX_LOGGED: usize = 10;
/// Max bytes of a `vm_id`.
const MAX_VM_ID: usize = 256;

#[derive(Debug)]
struct Entry {
    context: u32,
    plugin: Rc<Plugin>,
    /// [`Plugins::ticks`] at its last tick.
    last_tick: u64,
}

/// The plugins, usually a NETWORK and an HTTP one.
#[derive(Debug, Default)]
pub struct Plugins {
    entries: Vec<Entry>,
    /// Ticks of all plugins.
    ticks: u64,
    config_errors: Option<MetricId>,
    /// Logged problems that are still in force.
    logged: Vec<String>,
}

impl Plugins {
    /// The plugin of a context.
    pub fn get(&self, context: u32) -> Option<Rc<Plugin>> {
        let entry = self.entries.iter().find(|entry| entry.context == context)?;
        Some(Rc::clone(&entry.plugin))
    }

    /// Applies a new configuration. Logs and counts its problems, but never rejects it: that would stop Envoy at
    /// startup, even under FAIL_OPEN (measured).
    pub fn configure<H: Host>(&mut self, access: &mut Access<H>, context: u32, size: usize) {
        let json = access.plugin_configuration(size);
        let mut in_force = self.entries.iter().map(|entry| &entry.plugin.configuration);
        let shared = in_force.find(|other| other.is_from(&json)).map(Rc::clone);
        let is_new = shared.is_none();
        let configuration = shared.unwrap_or_else(|| Rc::new(Configuration::parse(json)));
        let plugin = Rc::new(Plugin::new(access, Rc::clone(&configuration)));
        self.entries.retain(|entry| entry.context != context);
        self.entries.push(Entry {
            context,
            plugin,
            last_tick: self.ticks,
        });
        if is_new {
            self.log_problems(&configuration);
        }
        self.count_problems(access);
        if let Some(id) = access.define(
            BUILD_INFO,
            &BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            },
        ) {
            access.record(id, 1);
        }
        access.tick_every(TICK_MILLISECONDS);
    }

    /// Handles a plugin's timer. Retires plugins that were replaced or removed, detected by missed ticks: exporting
    /// `proxy_on_done`, the callback for this, would cost a VM entry at the end of each stream
    /// (<https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/context.cc>, `onDone`).
    pub fn tick<H: Host>(&mut self, access: &mut Access<H>, context: u32) {
        self.ticks = self.ticks.saturating_add(1);
        let now = self.ticks;
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.context == context)
        {
            entry.last_tick = now;
        }
        // Between two ticks of a plugin, every other one ticks once, or twice if the timers drift.
        let max_missed = u64::try_from(self.entries.len().saturating_mul(2)).unwrap_or(u64::MAX);
        self.entries
            .retain(|entry| now.saturating_sub(entry.last_tick) <= max_missed);
        self.count_problems(access);
    }

    /// The distinct problems of all configurations in force.
    fn problems(&self) -> FxHashSet<&str> {
        let lines = self
            .entries
            .iter()
            .flat_map(|entry| entry.plugin.configuration.problems.lines());
        lines.map(String::as_str).collect()
    }

    fn log_problems(&mut self, new: &Configuration) {
        let mut logged = std::mem::take(&mut self.logged);
        let in_force = self.problems();
        logged.retain(|line| in_force.contains(line.as_str()));
        let mut unlogged = 0_usize;
        for line in new.problems.lines() {
            if logged.contains(line) {
                continue;
            }
            if logged.len() < MAX_LOGGED {
                log::error!("{line}");
                logged.push(line.clone());
            } else {
                unlogged = unlogged.saturating_add(1);
            }
        }
        if unlogged > 0 {
            log::error!("{unlogged} more configuration problems are not logged");
        }
        self.logged = logged;
    }

    /// Records the number of problems. Repeated on each tick, because all workers share the gauge and the newest
    /// configuration must win.
    fn count_problems<H: Host>(&mut self, access: &mut Access<H>) {
        if self.config_errors.is_none() {
            let vm_id = access.text(Attribute::VM_ID, MAX_VM_ID);
            let vm_id = String::from(vm_id.ok().flatten().unwrap_or_default());
            // Two VMs of a process would overwrite each other's gauge, so each VM with a `vm_id` has its own.
            self.config_errors = access.define(CONFIG_ERRORS, &ConfigLabels { vm_id: &vm_id });
        }
        let problems = u64::try_from(self.problems().len()).unwrap_or(u64::MAX);
        if let Some(id) = self.config_errors {
            access.record(id, problems);
        }
    }
}
