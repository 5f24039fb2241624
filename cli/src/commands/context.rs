//! Reads what a command needs, from the given source.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::Error;
use crate::args::{Common, Files};
use crate::decide::names;
use crate::decide::readiness::Question;
use crate::model::aftermath::Aftermath;
use crate::model::cluster::Cluster;
use crate::model::evidence::Evidence;
use crate::model::facts::{Workload, workloads};
use crate::model::mode::Policies;
use crate::model::span::{Length, rough};
use crate::output::document::Basis;
use crate::source::prometheus::Prometheus;
use crate::source::snapshot::Snapshot;
use crate::source::{files, kubernetes, queries};

/// What a command needs beyond evidence and cluster.
#[derive(Debug, Clone, Default)]
pub struct Needs<'a> {
    /// The called namespaces; none for all.
    pub namespaces: &'a [String],
    /// How often each caller came.
    pub activity: bool,
    /// What happened since a switch.
    pub since: Option<Length>,
}

/// The facts of one answer.
#[derive(Debug)]
pub struct Context {
    /// What Prometheus said.
    pub evidence: Evidence,
    /// What the cluster said.
    pub cluster: Option<Cluster>,
    /// The cluster's policies.
    pub policies: Option<Policies>,
    /// What happened since a switch.
    pub aftermath: Option<Aftermath>,
    /// What is asked.
    pub question: Question,
    namespaces: BTreeSet<String>,
}

impl Context {
    /// Reads a snapshot, or Prometheus and the cluster.
    pub fn load(common: &Common, files: &Files, needs: &Needs<'_>) -> Result<Context, Error> {
        let mut snapshot = match &common.from {
            Some(path) => from_snapshot(common, path, needs)?,
            None => live(common, needs)?,
        };
        if common.from.is_none() || !files.file.is_empty() {
            snapshot.cluster = cluster(common, files)?;
        }
        let Snapshot {
            mut evidence,
            cluster,
            aftermath,
            ..
        } = snapshot;
        match &cluster {
            Some(cluster) => evidence.notes.extend(cluster.notes.iter().cloned()),
            None => evidence
                .notes
                .push("the cluster was not read: modes are unknown".into()),
        }
        let context = Context {
            question: Question {
                window: common.window,
                counted: common.counted,
                now: evidence.queried_at,
                max_exempt: common.max_exempt,
                problems: evidence.problems.clone(),
            },
            policies: cluster.as_ref().map(Cluster::policies),
            evidence,
            cluster,
            aftermath,
            namespaces: needs.namespaces.iter().cloned().collect(),
        };
        context.check_namespaces()?;
        Ok(context)
    }

    /// A namespace that neither evidence nor cluster knows is a mistyped one.
    fn check_namespaces(&self) -> Result<(), Error> {
        let known = self.known_namespaces();
        // Without any evidence every name is unknown: that is "not proven", not "unknown".
        match self
            .namespaces
            .iter()
            .find(|name| !known.contains(name.as_str()))
        {
            Some(name) if !known.is_empty() => {
                Err(Error::Unknown(names::unknown("namespace", name, known)))
            }
            _ => Ok(()),
        }
    }

    fn known_namespaces(&self) -> BTreeSet<&str> {
        let mut known: BTreeSet<&str> = self
            .evidence
            .coverage
            .iter()
            .map(|row| row.namespace.as_str())
            .collect();
        known.extend(
            self.evidence
                .callers
                .iter()
                .map(|caller| caller.destination_namespace.as_str()),
        );
        if let Some(cluster) = &self.cluster {
            known.extend(
                cluster
                    .namespaces
                    .iter()
                    .flatten()
                    .map(|namespace| namespace.name.as_str()),
            );
            known.extend(
                cluster
                    .pods
                    .iter()
                    .flatten()
                    .map(|pod| pod.namespace.as_str()),
            );
        }
        known
    }

    /// Whether the answer is about this namespace.
    pub fn concerns(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }

    /// The workloads the answer is about.
    pub fn workloads(&self) -> Vec<Workload<'_>> {
        let mut found = workloads(&self.evidence, self.cluster.as_ref());
        found.retain(|workload| self.concerns(workload.namespace));
        found
    }

    /// What the answer rests on.
    pub fn basis(&self) -> Basis {
        Basis::new(&self.evidence, &self.question, |namespace| {
            self.concerns(namespace)
        })
    }
}

/// The cluster in files, or else through the API.
pub fn cluster(common: &Common, files: &Files) -> Result<Option<Cluster>, Error> {
    if files.file.is_empty() {
        return kubernetes::read(&common.kubernetes);
    }
    files::cluster(&files.file, common.kubernetes.assumed_root()).map(Some)
}

/// Prometheus's part of a snapshot, read now.
pub fn live(common: &Common, needs: &Needs<'_>) -> Result<Snapshot, Error> {
    let prometheus = Prometheus::new(&common.prometheus, common.verbose)?;
    let mut evidence = queries::evidence(&prometheus, common.cluster.as_deref(), needs.namespaces)?;
    if needs.activity {
        queries::active_hours(&prometheus, &mut evidence, needs.namespaces, common.window)?;
    }
    let aftermath = match needs.since {
        Some(since) => Some(queries::aftermath(
            &prometheus,
            &mut evidence,
            needs.namespaces,
            since,
        )?),
        None => None,
    };
    Ok(Snapshot::new(
        needs.namespaces.to_vec(),
        evidence,
        None,
        aftermath,
    ))
}

fn from_snapshot(
    common: &Common,
    path: &std::path::Path,
    needs: &Needs<'_>,
) -> Result<Snapshot, Error> {
    let mut snapshot = Snapshot::read(path)?;
    let taken = &snapshot.namespaces;
    if !taken.is_empty()
        && (needs.namespaces.is_empty()
            || needs.namespaces.iter().any(|name| !taken.contains(name)))
    {
        return Err(Error::Usage(format!(
            "--from: the snapshot holds only: {}",
            taken.join(", ")
        )));
    }
    if common.cluster.is_some() && common.cluster != snapshot.evidence.cluster {
        let holds = snapshot.evidence.cluster.as_deref().unwrap_or("(none)");
        return Err(Error::Usage(format!(
            "--cluster: the snapshot is of cluster {holds}"
        )));
    }
    let age = Timestamp::now().duration_since(snapshot.evidence.queried_at);
    if age > SignedDuration::from_secs(common.max_age.seconds()) {
        let age = rough(snapshot.evidence.queried_at, Timestamp::now());
        snapshot.evidence.problems.push(format!(
            "the snapshot is {age} old, more than --max-age {}",
            common.max_age
        ));
    }
    snapshot.evidence.callers.retain(|caller| {
        needs.namespaces.is_empty() || needs.namespaces.contains(&caller.destination_namespace)
    });
    snapshot.evidence.source = format!("{} ({})", snapshot.evidence.source, path.display());
    if common.kubernetes.no_cluster {
        snapshot.cluster = None;
    }
    Ok(snapshot)
}
