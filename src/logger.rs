//! The logger behind the `log` facade: each record becomes one line of Envoy's log.

use crate::abi::{ERROR, INFO, WARN};
use crate::new_caller;
use log::{Level, Log, Metadata, Record};

/// Writes one line at a `proxy_log_level_t`.
pub type Sink = fn(level: u32, line: &str);

/// A logger.
#[derive(Debug)]
pub struct Logger(pub Sink);

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => ERROR,
            Level::Warn => WARN,
            // The `log` crate is compiled without the levels below.
            Level::Info | Level::Debug | Level::Trace => INFO,
        };
        if record.target() == new_caller::LOG_TARGET {
            (self.0)(level, &record.args().to_string());
        } else {
            (self.0)(level, &format!("plainsight: {}", record.args()));
        }
    }

    fn flush(&self) {}
}
