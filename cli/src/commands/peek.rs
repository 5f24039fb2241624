//! `plainsight peek`: one sidecar's callers, without Prometheus.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::Common;
use crate::model::span::ago;
use crate::output::document::{API_VERSION, Basis};
use crate::output::render::Answer;
use crate::output::table::{Field, Grid, Records, Tone};
use crate::source::exposition::{Series, SeriesLabels, parse, read};
use crate::{Error, Exit};

/// The callers of one sidecar.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Callers {
    api_version: &'static str,
    kind: &'static str,
    /// The file or URL.
    source: String,
    /// The filter's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    callers: Vec<Row>,
    #[serde(skip)]
    remarks: Vec<String>,
    #[serde(skip)]
    now: Timestamp,
}

/// One caller of one port.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The called workload, `namespace/name`.
    destination: String,
    port: String,
    /// The operator's name, the SPIFFE id, or the address.
    caller: String,
    peer: String,
    /// `allow`, `reject` or `exempt`.
    strict: String,
    /// `app`, `probe` or `scrape`, of requests without mutual TLS.
    traffic: BTreeSet<String>,
    connections: u64,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
}

impl Row {
    fn speaks(&self) -> String {
        let protocol = if self.requests > 0 { " HTTP" } else { "" };
        let peer = match self.peer.as_str() {
            "mutual_tls" => format!(
                "mutual TLS{}",
                if protocol.is_empty() { "" } else { ", HTTP" }
            ),
            "plaintext" => format!(
                "plaintext{}",
                if protocol.is_empty() {
                    " TCP"
                } else {
                    protocol
                }
            ),
            "tls_passthrough" => "TLS of its own".into(),
            "tls_no_client_cert" => "TLS, no client certificate".into(),
            other => other.to_owned(),
        };
        let other: Vec<&str> = self
            .traffic
            .iter()
            .map(String::as_str)
            .filter(|traffic| *traffic != "app")
            .collect();
        if other.is_empty() || self.traffic.contains("app") {
            peer
        } else {
            format!("{peer} ({})", other.join(", "))
        }
    }
}

/// Runs the command.
pub fn run(common: &Common, from: &str, out: &mut dyn Write) -> Result<Exit, Error> {
    let timeout =
        Duration::from_secs(u64::try_from(common.prometheus.timeout.seconds()).unwrap_or(30));
    let text = read(from, timeout)?;
    let series = parse(&text).map_err(|problem| Error::file(from, problem))?;
    let answer = callers(from, &series);
    super::show(&answer, common, out)?;
    // Mutual TLS alone proves nothing either: one sidecar, since its start.
    Ok(if series.is_empty() {
        Exit::NotProven
    } else if answer.callers.iter().any(|row| row.strict == "reject") {
        Exit::Callers
    } else {
        Exit::Ready
    })
}

/// The rows of one sidecar's series, and remarks about the filter itself.
fn callers(source: &str, series: &[Series]) -> Callers {
    let mut rows: BTreeMap<[String; 7], Row> = BTreeMap::new();
    let mut remarks = Vec::new();
    let mut version = None;
    for one in series {
        let label = |name: &str| one.labels.get(name).cloned().unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter; saturates"
        )]
        let count = one.value as u64;
        match one.name.as_str() {
            "plainsight_connections_total"
            | "plainsight_requests_total"
            | "plainsight_last_seen_timestamp_seconds" => {
                let destination = format!(
                    "{}/{}",
                    label("destination_workload_namespace"),
                    label("destination_workload")
                );
                let (strict, port, caller, peer) = (
                    label("strict"),
                    label("destination_port"),
                    caller(&one.labels),
                    label("peer"),
                );
                // Callers in the way come first.
                let order = if strict == "allow" { "1" } else { "0" };
                let key = [
                    order.into(),
                    destination,
                    port,
                    caller,
                    peer,
                    strict,
                    label("source_ip"),
                ];
                let row = rows.entry(key.clone()).or_insert_with(|| {
                    let [_, destination, port, caller, peer, strict, _] = key;
                    Row {
                        destination,
                        port,
                        caller,
                        peer,
                        strict,
                        ..Row::default()
                    }
                });
                match one.name.as_str() {
                    "plainsight_connections_total" => row.connections += count,
                    "plainsight_requests_total" => {
                        row.requests += count;
                        row.traffic
                            .extend(Some(label("traffic")).filter(|traffic| !traffic.is_empty()));
                    }
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "saturates, and is then out of range"
                    )]
                    _ => {
                        row.last_seen = row
                            .last_seen
                            .max(Timestamp::from_second(one.value as i64).ok())
                    }
                }
            }
            "plainsight_build_info" => version = one.labels.get("version").cloned(),
            "plainsight_config_errors" if one.value > 0.0 => {
                remarks.push(format!(
                    "{} problems in the filter's configuration: the sidecar's log names them",
                    one.value
                ));
            }
            "plainsight_overflow_total" if one.value > 0.0 => {
                remarks.push(format!(
                    "{} counted as overflow: more callers than maxCallers",
                    one.value
                ));
            }
            "plainsight_attribute_errors_total" if one.value > 0.0 => {
                remarks.push(format!(
                    "{} values of {} could not be read",
                    one.value,
                    label("attribute")
                ));
            }
            "plainsight_handshake_failures_total" if one.value > 0.0 => {
                remarks.push(format!(
                    "{} failed handshakes of {} on port {}",
                    one.value,
                    caller(&one.labels),
                    label("destination_port")
                ));
            }
            _ => {}
        }
    }
    let callers: Vec<Row> = rows.into_values().collect();
    if series.is_empty() {
        remarks.push("no series of plainsight: the filter is not loaded in this sidecar, or this is not /stats/prometheus".into());
    } else {
        let distinct = |strict: Option<&str>| {
            let chosen = callers
                .iter()
                .filter(|row| strict.is_none_or(|strict| row.strict == strict));
            chosen
                .map(|row| row.caller.as_str())
                .collect::<BTreeSet<_>>()
                .len()
        };
        let exempt = match distinct(Some("exempt")) {
            0 => String::new(),
            count => format!("; {count} on exempt ports"),
        };
        remarks.insert(
            0,
            format!(
                "{} of {} callers would break under STRICT{exempt}",
                distinct(Some("reject")),
                distinct(None)
            ),
        );
    }
    Callers {
        api_version: API_VERSION,
        kind: "Callers",
        source: source.into(),
        version,
        callers,
        remarks,
        now: Timestamp::now(),
    }
}

/// The best name that the sidecar itself knows.
fn caller(labels: &SeriesLabels) -> String {
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty());
    match (
        label("source_name"),
        label("source_principal"),
        label("source_ip"),
    ) {
        (Some(name), _, Some(ip)) => format!("{name} ({ip})"),
        (Some(name), _, None) => name.clone(),
        (None, Some(principal), _) => principal.clone(),
        (None, None, Some(ip)) => ip.clone(),
        (None, None, None) => "-".into(),
    }
}

impl Answer for Callers {
    fn basis(&self) -> Option<&Basis> {
        None
    }

    fn grid(&self, wide: bool) -> Grid {
        let mut columns = vec![
            "DESTINATION",
            ">PORT",
            "CALLER",
            "SPEAKS",
            "UNDER STRICT",
            ">CONNECTIONS",
            ">REQUESTS",
            "LAST SEEN",
        ];
        if wide {
            columns.extend(["PEER", "TRAFFIC"]);
        }
        let mut grid = Grid::new(&columns);
        for row in &self.callers {
            let (verdict, tone) = match row.strict.as_str() {
                "allow" => ("works", Tone::Good),
                "exempt" => ("exempt", Tone::Fair),
                _ => ("BREAKS", Tone::Bad),
            };
            let seen = match row.last_seen {
                None => "-".into(),
                some => ago(some, self.now),
            };
            let mut fields: Vec<Field> = vec![
                row.destination.as_str().into(),
                row.port.as_str().into(),
                row.caller.as_str().into(),
                row.speaks().into(),
                Field::toned(verdict, tone),
                row.connections.into(),
                if row.requests > 0 {
                    row.requests.into()
                } else {
                    "-".into()
                },
                seen.into(),
            ];
            if wide {
                fields.push(row.peer.as_str().into());
                fields.push(
                    row.traffic
                        .iter()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(",")
                        .into(),
                );
            }
            grid.row(fields);
        }
        grid
    }

    fn records(&self) -> Records {
        let header = vec![
            "destination",
            "port",
            "caller",
            "peer",
            "strict",
            "traffic",
            "connections",
            "requests",
            "last_seen",
        ];
        let rows = self.callers.iter().map(|row| {
            vec![
                row.destination.clone(),
                row.port.clone(),
                row.caller.clone(),
                row.peer.clone(),
                row.strict.clone(),
                row.traffic.iter().cloned().collect::<Vec<_>>().join(" "),
                row.connections.to_string(),
                row.requests.to_string(),
                row.last_seen
                    .map(|moment| moment.to_string())
                    .unwrap_or_default(),
            ]
        });
        Records {
            header,
            rows: rows.collect(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}
