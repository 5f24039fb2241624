//! Tests that share one cluster: a test binary without libtest's own `main`.
//!
//! A process-wide value would never be dropped, and the cluster's namespaces would stay.

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::{Cluster, Parts};

/// A test of the cluster; [`tests`](crate::tests) makes it of an async function.
pub type Test = for<'a> fn(&'a Cluster) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Names async functions that take a `&Cluster` as the tests of a binary.
#[macro_export]
macro_rules! tests {
    ($($($name:ident)::+),* $(,)?) => {
        vec![$((
            stringify!($($name)::+),
            (|cluster| Box::pin($($name)::+(cluster))) as $crate::suite::Test,
        )),*]
    };
}

/// Runs the tests one after another in a cluster that starts with the first of them.
pub fn run(parts: Parts, tests: Vec<(&'static str, Test)>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let shared = Arc::new(Shared {
        runtime: Runtime::new().expect("a runtime"),
        cluster: OnceLock::new(),
        interrupted: AtomicBool::new(false),
    });
    let trials = tests.into_iter().map(|(name, test)| {
        let shared = Arc::clone(&shared);
        let name: String = name.split_whitespace().collect();
        Trial::test(name, move || {
            shared.runtime.block_on(async {
                tokio::select! {
                    biased;
                    // Ends the cluster in the usual way: all further tests fail at once.
                    () = shared.interrupted() => Err("interrupted".into()),
                    outcome = shared.test(parts, test) => outcome.map_err(Into::into),
                }
            })
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The trials are gone: this ends the cluster.
    drop(shared);
    conclusion.exit_code()
}

struct Shared {
    cluster: OnceLock<Result<Cluster, String>>,
    interrupted: AtomicBool,
    runtime: Runtime,
}

impl Shared {
    async fn test(&self, parts: Parts, test: Test) -> Result<(), String> {
        if self.cluster.get().is_none() {
            let cluster = Cluster::start(parts).await;
            let _ = self
                .cluster
                .set(cluster.map_err(|error| format!("{error:#}")));
        }
        match self.cluster.get() {
            Some(Ok(cluster)) => test(cluster).await,
            Some(Err(error)) => return Err(format!("cluster: {error}")),
            None => return Err("cluster: not started".to_owned()),
        }
        Ok(())
    }

    async fn interrupted(&self) {
        if !self.interrupted.load(Ordering::Relaxed) {
            let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            self.interrupted.store(true, Ordering::Relaxed);
        }
    }
}
