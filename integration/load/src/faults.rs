//! Operations on a proxy under load. No request may fail, and no count may be wrong.

pub mod steady;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use plainsight_harness::callers::Caller;
use serde_json::Value;

use crate::tally::{Counts, REQUESTS, equal};
use crate::target::{Draining, Target};
use steady::{StageCounts, Steady, counted};

/// The load of each stage.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients.
    pub clients: u8,
    /// Conversations of each stage, at least.
    pub conversations: u64,
    /// Drain time of replaced listeners in seconds: much longer than a conversation.
    pub drain_seconds: u32,
}

/// The result of one fault.
#[derive(Clone, Debug)]
pub struct Report {
    /// The operation.
    pub fault: &'static str,
    /// By stage: the calls made and the counts.
    pub stages: Vec<StageResult>,
    /// Requests of the caller that is present throughout.
    pub calls: u64,
    /// Its counter at the end: all of its requests if counters continue.
    pub calls_counted: u64,
}

/// A stage's name, the calls made in it and the counts.
pub type StageResult = (&'static str, StageCounts, StageCounts);

const GOOD: &str = r#"{"principals": true}"#;
/// Three problems: a value, a type and a key.
const BAD: &str = r#"{"principals": true, "maxCallers": 0, "exempt": "8080", "nosuch": 1}"#;
const PROBLEMS: u64 = 3;

/// A caller that is present throughout.
const LASTING: &str = "127.0.0.8";

/// A running fault test.
struct Scenario {
    fault: &'static str,
    stages: &'static [(&'static str, Counted)],
    target: Target,
    /// The configuration in force.
    current: Draining,
    load: Steady,
    plan: Plan,
    results: Vec<StageResult>,
    /// Calls of [`LASTING`].
    calls: u64,
}

impl Scenario {
    async fn start(
        fault: &'static str,
        plan: Plan,
        stages: &'static [(&'static str, Counted)],
    ) -> anyhow::Result<Self> {
        let configuration: Value = serde_json::from_str(GOOD)?;
        let target = Target::draining(configuration, 1, plan.drain_seconds).await?;
        let mesh = target.mesh();
        let load = Steady::start(plan.clients, target.both(), &mesh.authority)?;
        load.go_on(plan.conversations).await?;
        Ok(Self {
            fault,
            stages,
            current: target.started.clone(),
            target,
            load,
            plan,
            results: Vec::new(),
            calls: 0,
        })
    }

    /// Applies another configuration under load: one stage during the change, and one after it. The stage before is
    /// compared at its end, because the counters may restart.
    async fn apply(&mut self, changed: &Draining) -> anyhow::Result<()> {
        self.call_lasting().await?;
        self.next_stage().await?;
        if changed.module() != self.current.module() {
            let beside = self.target.with_beside(&self.current, changed)?;
            self.target.envoy.apply(&beside).await?;
        }
        self.target.envoy.apply(changed).await?;
        self.current = changed.clone();
        self.next_stage().await?;
        self.load.go_on(self.plan.conversations).await
    }

    /// Ends a stage while the load continues, and compares it with its counts.
    async fn next_stage(&mut self) -> anyhow::Result<()> {
        let (number, done) = self.load.next_stage().await?;
        let (name, how) = self.stages[number];
        let scrape = self
            .target
            .envoy
            .scrape_until("the stage is counted", |scrape| {
                how.holds(done, counted(scrape, number))
                    .with_context(|| format!("stage: {name}"))
            })
            .await?;
        let counted = counted(&scrape, number);
        self.results.push((name, done, counted));
        Ok(())
    }

    /// One call of the caller that is present throughout.
    async fn call_lasting(&mut self) -> anyhow::Result<()> {
        self.calls += 1;
        Caller::http1(LASTING).call(self.target.both().http).await?;
        Ok(())
    }

    /// Ends the last stage and the load: no conversation failed, no attribute was unreadable.
    async fn end(mut self) -> anyhow::Result<Report> {
        self.call_lasting().await?;
        self.next_stage().await?;
        self.load
            .stop()
            .await
            .with_context(|| format!("{}\n{}", self.fault, self.target.envoy.log_tail()))?;
        let scrape = self
            .target
            .envoy
            .scrape_until("every attribute was read", |scrape| {
                equal(scrape, "plainsight_attribute_errors_total", &[], 0)
            })
            .await?;
        ensure!(
            self.target.envoy.is_running(),
            "envoy: ended\n{}",
            self.target.envoy.log_tail()
        );
        Ok(Report {
            fault: self.fault,
            stages: self.results,
            calls: self.calls,
            calls_counted: scrape.sum(REQUESTS, &[("source_ip", LASTING)]) as u64,
        })
    }

    fn with(&self, change: impl Fn(&mut plainsight_harness::shapes::Plugin)) -> Draining {
        let mut changed = self.target.started.clone();
        let sidecar = &mut changed.sidecar;
        for plugin in sidecar
            .network_plugins
            .iter_mut()
            .chain(&mut sidecar.http_plugins)
        {
            change(plugin);
        }
        changed
    }
}

/// The expected counts of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// All calls.
    Exactly,
    /// At most all calls: the plugin was added or removed meanwhile.
    AtMost,
    /// None: there was no plugin.
    Nothing,
}

impl Counted {
    fn holds(self, done: StageCounts, counted: StageCounts) -> anyhow::Result<()> {
        let at_most = |counted: Counts, done: Counts| {
            counted.connections <= done.connections && counted.requests <= done.requests
        };
        let holds = match self {
            Counted::Exactly => counted == done,
            Counted::AtMost => {
                at_most(counted.plaintext, done.plaintext)
                    && at_most(counted.mutual_tls, done.mutual_tls)
            }
            Counted::Nothing => counted == StageCounts::default(),
        };
        ensure!(holds, "{self:?}: counted {counted:?}, done {done:?}");
        Ok(())
    }
}

/// Both plugins are removed and added again.
///
/// # Errors
/// A request failed or a count is wrong.
pub async fn remove_and_add(plan: Plan) -> anyhow::Result<Report> {
    let stages = &[
        ("with the plugins", Counted::Exactly),
        ("while they are removed", Counted::AtMost),
        ("without them", Counted::Nothing),
        ("while they are added", Counted::AtMost),
        ("with them again", Counted::Exactly),
    ];
    let mut scenario = Scenario::start("plugins removed and added again", plan, stages).await?;
    let with = scenario.target.started.clone();
    let mut without = with.clone();
    without.sidecar.network_plugins.clear();
    without.sidecar.http_plugins.clear();
    scenario.apply(&without).await?;
    scenario.apply(&with).await?;
    scenario.end().await
}

/// The configuration becomes faulty and is fixed.
///
/// # Errors
/// As [`remove_and_add`], or `plainsight_config_errors` is wrong.
pub async fn reconfigure(plan: Plan) -> anyhow::Result<Report> {
    let stages = &[
        ("good", Counted::Exactly),
        ("while it becomes faulty", Counted::AtMost),
        ("faulty", Counted::Exactly),
        ("while it becomes good", Counted::AtMost),
        ("good again", Counted::Exactly),
    ];
    let mut scenario = Scenario::start("configuration good, faulty, good", plan, stages).await?;
    for (configuration, problems) in [(BAD, PROBLEMS), (GOOD, 0)] {
        let changed = scenario.with(|plugin| plugin.configuration = Some(configuration.to_owned()));
        scenario.apply(&changed).await?;
        scenario
            .target
            .envoy
            .scrape_until("the problems in force", |scrape| {
                equal(scrape, "plainsight_config_errors", &[], problems)
            })
            .await?;
    }
    scenario.end().await
}

/// The module is replaced by one with other bytes.
///
/// # Errors
/// As [`remove_and_add`].
pub async fn upgrade(plan: Plan) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let upgraded = another_module(folder.path())?;
    let stages = &[
        ("old module", Counted::Exactly),
        ("while it is replaced", Counted::AtMost),
        ("new module", Counted::Exactly),
    ];
    let mut scenario = Scenario::start("module upgraded", plan, stages).await?;
    let changed = scenario.with(|plugin| plugin.module.clone_from(&upgraded));
    scenario.apply(&changed).await?;
    scenario.end().await
}

/// The module under test with an additional custom section: different bytes, so a different VM
/// (<https://webassembly.github.io/spec/core/binary/modules.html#custom-section>).
fn another_module(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut bytes = std::fs::read(plainsight_harness::module_path()?)?;
    // Id 0, six bytes: a name of five.
    bytes.extend_from_slice(b"\0\x06\x05other");
    let path = folder.join("upgraded.wasm");
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// The listeners drain while connections are open.
///
/// # Errors
/// As [`remove_and_add`].
pub async fn drain(plan: Plan) -> anyhow::Result<Report> {
    let stages = &[
        ("before", Counted::Exactly),
        ("as it begins to drain", Counted::Exactly),
        ("while it drains", Counted::Exactly),
    ];
    // After that time the listeners are gone and callers are rejected; the load ends long before.
    let plan = Plan {
        drain_seconds: 600,
        ..plan
    };
    let mut scenario = Scenario::start("listeners drained", plan, stages).await?;
    let (ports, mesh) = (scenario.target.both(), scenario.target.mesh());
    let mut held = Vec::new();
    for (caller, port) in [
        (Caller::http1("127.0.0.9"), ports.http),
        (Caller::http2("127.0.0.9"), ports.http),
        (Caller::bytes("127.0.0.9"), ports.tcp),
        (
            Caller::http2("127.0.0.9").over_mesh(&mesh.client),
            ports.http,
        ),
        (
            Caller::bytes("127.0.0.9").over_mesh(&mesh.client),
            ports.tcp,
        ),
    ] {
        let mut connection = caller.connect(port).await?;
        connection.exchange("/").await?;
        held.push(connection);
    }
    scenario.call_lasting().await?;
    scenario.next_stage().await?;
    scenario
        .target
        .envoy
        .post("/drain_listeners?graceful")
        .await?;
    scenario.next_stage().await?;
    scenario.load.go_on(plan.conversations).await?;
    for connection in &mut held {
        connection.exchange("/").await.context("held")?;
    }
    for connection in held {
        connection.close().await;
    }
    scenario.end().await
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: no conversation failed", self.fault)?;
        for (name, done, counted) in &self.stages {
            let both = |counts: &StageCounts| {
                (
                    counts.plaintext.connections + counts.mutual_tls.connections,
                    counts.plaintext.requests + counts.mutual_tls.requests,
                )
            };
            let ((connections, requests), (counted, counted_requests)) =
                (both(done), both(counted));
            write!(
                f,
                "\n  {name}: {connections} connections and {requests} requests done, {counted} and {counted_requests} counted"
            )?;
        }
        write!(
            f,
            "\n  a caller from before to after: {} requests, its counter at the end: {}",
            self.calls, self.calls_counted
        )
    }
}
