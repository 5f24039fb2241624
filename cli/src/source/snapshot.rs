//! A snapshot: evidence and cluster in one JSON file, to be read elsewhere.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::model::aftermath::Aftermath;
use crate::model::cluster::Cluster;
use crate::model::evidence::Evidence;
use crate::output::document::API_VERSION;

/// What the other commands read instead of Prometheus and the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `Snapshot`.
    pub kind: String,
    /// The namespaces it was limited to; empty for all.
    pub namespaces: Vec<String>,
    /// What Prometheus said.
    pub evidence: Evidence,
    /// What the cluster said, if it was read.
    pub cluster: Option<Cluster>,
    /// What `verify` needs.
    pub aftermath: Option<Aftermath>,
}

impl Snapshot {
    /// A snapshot of this version.
    pub fn new(
        namespaces: Vec<String>,
        evidence: Evidence,
        cluster: Option<Cluster>,
        aftermath: Option<Aftermath>,
    ) -> Snapshot {
        Snapshot {
            api_version: API_VERSION.into(),
            kind: "Snapshot".into(),
            namespaces,
            evidence,
            cluster,
            aftermath,
        }
    }

    /// Reads a snapshot of this version.
    pub fn read(path: &Path) -> Result<Snapshot, Error> {
        let file = std::fs::File::open(path).map_err(|error| Error::file(path.display(), error))?;
        let snapshot: Snapshot =
            serde_json::from_reader(std::io::BufReader::new(file)).map_err(|error| {
                Error::file(
                    path.display(),
                    format_args!("not a snapshot of `plainsight snapshot`: {error}"),
                )
            })?;
        if snapshot.api_version != API_VERSION || snapshot.kind != "Snapshot" {
            let problem = format!(
                "expected a Snapshot of {API_VERSION}, got: {} of {}",
                snapshot.kind, snapshot.api_version
            );
            return Err(Error::file(path.display(), problem));
        }
        Ok(snapshot)
    }

    /// Writes the file as a whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self).map_err(|error| Error::file(path.display(), error))?;
        write_whole(path, &json)
    }
}

/// Writes beside the file first, then renames.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    std::fs::write(beside, bytes)
        .and_then(|()| std::fs::rename(beside, path))
        .map_err(|error| Error::file(path.display(), error))
}
