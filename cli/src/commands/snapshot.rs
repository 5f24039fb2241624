//! `plainsight snapshot`: everything the other commands need, in one file.

use std::io::Write;
use std::path::Path;

use super::context::{Needs, cluster, live};
use crate::args::{Common, Files, Scope};
use crate::model::span::Length;
use crate::{Error, Exit};

/// Runs the command.
pub fn run(
    common: &Common,
    scope: &Scope,
    since: Length,
    files: &Files,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    if common.output == "table" {
        return Err(Error::Usage(
            "snapshot: give the file to write with -o FILE".into(),
        ));
    }
    if common.from.is_some() {
        return Err(Error::Usage(
            "snapshot: cannot be taken --from a snapshot".into(),
        ));
    }
    // How often each caller came is a question for chosen namespaces: for a whole mesh it would load Prometheus for minutes.
    let needs = Needs {
        namespaces: &scope.namespace,
        activity: !scope.namespace.is_empty(),
        since: Some(since),
    };
    let mut snapshot = live(common, &needs)?;
    snapshot.cluster = cluster(common, files)?;
    let path = Path::new(&common.output);
    snapshot.write(path)?;
    if !common.quiet {
        let evidence = &snapshot.evidence;
        let cluster = if snapshot.cluster.is_some() {
            "with"
        } else {
            "without"
        };
        writeln!(
            out,
            "{}: {} callers, {} workloads, {cluster} the cluster",
            path.display(),
            evidence.callers.len(),
            evidence.coverage.len()
        )
        .map_err(Error::output)?;
    }
    Ok(if snapshot.evidence.problems.is_empty() {
        Exit::Ready
    } else {
        Exit::NotProven
    })
}
