//! Hostile input for the real module: any answer of a host, any bytes from a caller or an operator.
//!
//! A round is one VM with one configuration and [`CASES_PER_ROUND`] cases; a case is a connection with its events. A round
//! depends only on the seed and its number, so a failed round can be reproduced.

mod input;

use crate::{
    ClosedBy, Connection, Facts, Interfered, Kind, MetricStore, Plugin, Proxy, Request, Status, Vm,
    header_values,
};
use anyhow::{Context, Result, ensure};
use input::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{cell::RefCell, rc::Rc};

/// The number of cases that one VM must survive.
pub const CASES_PER_ROUND: u64 = 50;

/// Max linear memory of a VM after a round, in bytes: the same as for 10,000 connections.
const MAX_MEMORY: u64 = 4 * 1024 * 1024;

/// Max metrics: the series of 50 connections, one error counter per attribute, and the metrics without labels.
const MAX_METRICS: usize = 600;

/// Counts of inputs and results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases run.
    pub cases: u64,
    /// VMs started.
    pub rounds: u64,
    /// Callbacks entered.
    pub entries: u64,
    /// Host calls made by the module.
    pub calls: u64,
    /// Host calls answered with a status other than Ok.
    pub refused: u64,
    /// Properties answered with an error status other than absence.
    pub property_errors: u64,
    /// `plainsight_attribute_errors_total` over all rounds.
    pub errors_counted: u64,
    /// Configurations with at least one problem.
    pub configurations_with_problems: u64,
    /// The largest linear memory of any VM, in bytes.
    pub largest_memory: u64,
    /// Max metrics defined in a round.
    pub most_metrics: usize,
}

/// The hostile answers of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// The host is sane; properties, headers and configuration are not.
    Input,
    /// Property reads also fail with any status, and each such failure must be counted.
    Properties,
    /// Any call fails with any status or returns any bytes.
    Everything,
}

#[derive(Default)]
struct Noted {
    refused: u64,
    property_errors: u64,
}

/// Runs rounds of one module.
pub struct Hostile<'p> {
    proxy: &'p Proxy,
    seed: u64,
    /// The counts so far.
    pub summary: Summary,
}

impl<'p> Hostile<'p> {
    /// Rounds of `proxy`'s module, all derived from `seed`.
    pub fn new(proxy: &'p Proxy, seed: u64) -> Self {
        let summary = Summary::default();
        Self {
            proxy,
            seed,
            summary,
        }
    }

    /// Runs one round.
    ///
    /// # Errors
    ///
    /// The first violation: a trap, an action other than Continue, an error that was not counted, a forged header that
    /// got through, memory or metrics beyond their bounds. The round's number is in the message.
    pub fn round(&mut self, number: u64) -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        self.play(&mut rng)
            .with_context(|| format!("seed {} round {number}", self.seed))
    }

    fn play(&mut self, rng: &mut ChaCha8Rng) -> Result<()> {
        let mood = [Mood::Input, Mood::Properties, Mood::Everything][rng.random_range(0..3)];
        let proxy = self.proxy.another();
        if rng.random_bool(0.3) {
            let mut node = Facts::node("web", "shop");
            input::distort(rng, &mut node);
            proxy.set_node(node);
        }
        let mut vm = proxy.worker()?;
        let noted = Rc::new(RefCell::new(Noted::default()));
        vm.interfere(interference(mood, rng.next_u64(), Rc::clone(&noted)));
        let configuration = input::configuration(rng);
        let plain = configuration.is_plain();
        let network = vm.plugin(&configuration.json)?;
        let http = vm.plugin(&configuration.json)?;
        ensure!(
            network.configured && http.configured,
            "proxy_on_configure: returned false"
        );
        let mut round = Round {
            vm,
            network,
            http,
            open: Vec::new(),
            // With another configured header name or a failing header call the forged one may get through.
            replaces: plain && mood != Mood::Everything,
        };
        for _ in 0..CASES_PER_ROUND {
            round.case(rng)?;
            self.summary.cases += 1;
            if rng.random_bool(0.1) {
                proxy.advance(rng.random_range(0..100));
                round.vm.tick()?;
            }
        }
        for (accepted, _) in std::mem::take(&mut round.open) {
            round.vm.close(accepted)?;
        }
        round.vm.interfere(None);
        round.vm.tick()?;
        self.judge(&proxy, &mut round.vm, mood, &noted.borrow())
    }

    fn judge(&mut self, proxy: &Proxy, vm: &mut Vm, mood: Mood, noted: &Noted) -> Result<()> {
        let counted = sum(proxy.metrics(), "plainsight_attribute_errors_total");
        let tally = vm.tally();
        let metrics = proxy.metrics().len();
        ensure!(tally.memory <= MAX_MEMORY, "memory: {} bytes", tally.memory);
        ensure!(metrics <= MAX_METRICS, "metrics: {metrics} defined");
        match mood {
            Mood::Input => ensure!(noted.property_errors == 0, "host: it was to be sane"),
            Mood::Properties => ensure!(
                counted >= noted.property_errors,
                "errors: {} properties refused: {counted} counted",
                noted.property_errors
            ),
            Mood::Everything => ensure!(
                noted.property_errors == 0 || counted > 0,
                "errors: {} properties refused: none counted",
                noted.property_errors
            ),
        }
        for (level, line) in vm.take_logs() {
            ensure!(
                !line.contains(['\n', '\r', '\0']),
                "log: level {level}: control characters: {line:?}"
            );
            let is_json = serde_json::from_str::<serde_json::Value>(&line).is_ok();
            ensure!(!line.starts_with('{') || is_json, "log: not JSON: {line}");
        }
        for (_, name, _) in proxy.metrics().snapshot() {
            let printable = name.iter().all(|byte| (b' '..=b'~').contains(byte));
            ensure!(printable, "metric: not printable: {name:?}");
        }
        // Gauges are summed over the process: a negative one was decremented too often.
        for (kind, name, value) in proxy.metrics().snapshot() {
            let name = String::from_utf8_lossy(&name);
            ensure!(
                mood == Mood::Everything || kind != Kind::Gauge || value.cast_signed() >= 0,
                "{name}: {}",
                value.cast_signed()
            );
        }
        let summary = &mut self.summary;
        summary.rounds += 1;
        summary.entries += tally.entered();
        summary.calls += tally.called();
        summary.refused += noted.refused;
        summary.property_errors += noted.property_errors;
        summary.errors_counted += counted;
        let problems = sum(proxy.metrics(), "plainsight_config_errors");
        summary.configurations_with_problems += u64::from(problems > 0);
        summary.largest_memory = summary.largest_memory.max(tally.memory);
        summary.most_metrics = summary.most_metrics.max(metrics);
        Ok(())
    }
}

/// The sum of a metric over its labels; 0 before it is defined.
fn sum(metrics: &MetricStore, name: &str) -> u64 {
    let all = metrics.snapshot();
    let named = |held: &[u8]| {
        let held = held.strip_suffix(name.as_bytes());
        held.is_some_and(|labels| labels.is_empty() || labels.ends_with(b";."))
    };
    let found = all.iter().filter(|(_, held, _)| named(held));
    found.map(|(_, _, value)| *value).sum()
}

fn interference(mood: Mood, seed: u64, noted: Rc<RefCell<Noted>>) -> Option<crate::Interference> {
    if mood == Mood::Input {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let often = [0.02, 0.2, 0.9][rng.random_range(0..3)];
    Some(Box::new(move |call| {
        let is_property = call == "proxy_get_property";
        if !is_property && mood == Mood::Properties || !rng.random_bool(often) {
            return None;
        }
        if mood == Mood::Everything && rng.random_bool(0.3) {
            return Some(Interfered::Bytes(Bytes::any(&mut rng)));
        }
        let status = Status(rng.random_range(0..=Status::LARGEST));
        let mut noted = noted.borrow_mut();
        if status != Status::OK {
            noted.refused += 1;
        }
        // 1 and 7 (NotFound, Empty) mean absent, which is not an error.
        if is_property && ![0, 1, 7].contains(&status.0) {
            noted.property_errors += 1;
        }
        Some(Interfered::Status(status))
    }))
}

/// A VM with its running cases.
struct Round {
    vm: Vm,
    network: Plugin,
    http: Plugin,
    open: Vec<(crate::Accepted, Connection)>,
    replaces: bool,
}

/// The value of a forged header.
const FORGED: &str = "mutual_tls;strict=allow;principal=\"spiffe://forged\"";

impl Round {
    fn case(&mut self, rng: &mut ChaCha8Rng) -> Result<()> {
        let mut connection = input::connection(rng);
        if rng.random_bool(0.7) {
            input::distort(rng, &mut connection.facts);
            input::distort(rng, &mut connection.after_handshake);
        }
        let accepted = match rng.random_range(0..10) {
            // The HTTP plugin alone, and a plugin of the wrong type.
            0 => self.vm.accept(&connection),
            1 => self.vm.open(self.http, &connection)?,
            _ => self.vm.open(self.network, &connection)?,
        };
        self.open.push((accepted, connection));
        for _ in 0..rng.random_range(0..6) {
            self.step(rng)?;
        }
        Ok(())
    }

    fn step(&mut self, rng: &mut ChaCha8Rng) -> Result<()> {
        let Some(at) = (!self.open.is_empty()).then(|| rng.random_range(0..self.open.len())) else {
            return Ok(());
        };
        let accepted = self.open[at].0;
        match rng.random_range(0..10) {
            0..3 => self.vm.data(accepted, &Bytes::first(rng)),
            3 => {
                let sides = [ClosedBy::Envoy, ClosedBy::Client];
                let side = sides[rng.random_range(0..sides.len())];
                self.vm.close_by(side, accepted)?;
                // Callbacks for a context that is already deleted.
                if rng.random_bool(0.2) {
                    self.vm.data(accepted, &Bytes::first(rng))?;
                    self.vm.close(accepted)?;
                }
                self.open.remove(at);
                Ok(())
            }
            _ => self.exchange(rng, accepted),
        }
    }

    fn exchange(&mut self, rng: &mut ChaCha8Rng, on: crate::Accepted) -> Result<()> {
        let mut request = Request::get("").header("x-plainsight-peer", FORGED);
        request.headers.retain(|(name, _)| name != b"user-agent");
        let agent = Bytes::any(rng);
        request = request.header("user-agent", agent);
        if rng.random_bool(0.5) {
            request = request.with(&["source", "address"], Bytes::any(rng));
        }
        let plugin = if rng.random_bool(0.9) {
            self.http
        } else {
            self.network
        };
        let exchange = self.vm.request(plugin, on, &request)?;
        if self.replaces {
            let values = exchange.values("x-plainsight-peer");
            ensure!(
                values.len() == 1 && values[0] != FORGED,
                "header: expected one value, not the forged one: {values:?}"
            );
        }
        for (_, value) in exchange
            .headers
            .iter()
            .filter(|(name, _)| name == b"x-plainsight-peer")
        {
            let clean = value.iter().all(|byte| (b' '..=b'~').contains(byte));
            ensure!(clean, "header: not printable: {value:?}");
        }
        let response = self.vm.response(&exchange, &Vec::new())?;
        for name in ["x-notice", "deprecation", "sunset", "link"] {
            for value in header_values(&response, name) {
                ensure!(
                    value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{name}: {value:?}"
                );
            }
        }
        if rng.random_bool(0.9) {
            self.vm.finish(&exchange)?;
        }
        Ok(())
    }
}
