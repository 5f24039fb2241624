//! The answer as a table, from the filter's metrics alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plainsight_harness::exposition::{Sample, Scrape};

/// One caller on one port.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `namespace/workload`.
    pub destination: String,
    /// The port it calls.
    pub port: u16,
    /// Its SPIFFE id, the operator's name for its address, or the address.
    pub caller: String,
    /// Its address, absent for mutual TLS.
    pub source_ip: Option<String>,
    /// The label `peer`.
    pub peer: String,
    /// The label `strict`.
    pub strict: String,
    /// The label `traffic` of its requests, absent without requests and for mutual TLS.
    pub traffic: BTreeSet<String>,
    /// How many connections.
    pub connections: u64,
    /// How many requests, 0 for a caller without HTTP.
    pub requests: u64,
    /// When it was last there, absent for mutual TLS.
    pub last_seen: Option<SystemTime>,
}

/// One row for each caller and port in `scrape`, those that would break first.
pub fn rows(scrape: &Scrape) -> Vec<Row> {
    let mut rows: BTreeMap<Vec<Option<String>>, Row> = BTreeMap::new();
    for sample in &scrape.samples {
        let is = |name: &str| sample.name == name;
        if !(is("plainsight_connections_total") || is("plainsight_requests_total") || is(LAST_SEEN))
        {
            continue;
        }
        let row = rows
            .entry(identity(sample))
            .or_insert_with(|| empty(sample));
        match sample.name.as_str() {
            "plainsight_connections_total" => row.connections += sample.value as u64,
            "plainsight_requests_total" => {
                row.requests += sample.value as u64;
                row.traffic
                    .extend(sample.label("traffic").map(str::to_owned));
            }
            _ if sample.value > 0.0 => {
                row.last_seen = Some(UNIX_EPOCH + Duration::from_secs_f64(sample.value))
            }
            _ => {}
        }
    }
    // A series is defined when its caller is first seen, some before they count anything.
    let mut rows: Vec<Row> = rows
        .into_values()
        .filter(|row| row.connections + row.requests > 0)
        .collect();
    rows.sort_by_key(|row| {
        (
            row.strict != "reject",
            row.destination.clone(),
            row.port,
            row.caller.clone(),
        )
    });
    rows
}

const LAST_SEEN: &str = "plainsight_last_seen_timestamp_seconds";

/// The labels that connections, requests and last_seen have in common.
const IDENTITY: [&str; 8] = [
    "peer",
    "strict",
    "source_ip",
    "source_name",
    "source_principal",
    "destination_workload",
    "destination_workload_namespace",
    "destination_port",
];

fn identity(sample: &Sample) -> Vec<Option<String>> {
    IDENTITY
        .iter()
        .map(|key| sample.label(key).map(str::to_owned))
        .collect()
}

fn empty(sample: &Sample) -> Row {
    let label = |key: &str| sample.label(key).unwrap_or_default().to_owned();
    let source_ip = sample.label("source_ip").map(str::to_owned);
    let caller = ["source_principal", "source_name", "source_ip"]
        .iter()
        .find_map(|key| sample.label(key));
    Row {
        destination: format!(
            "{}/{}",
            label("destination_workload_namespace"),
            label("destination_workload")
        ),
        port: label("destination_port").parse().unwrap_or_default(),
        caller: caller.unwrap_or("callers of the mesh").to_owned(),
        source_ip,
        peer: label("peer"),
        strict: label("strict"),
        traffic: BTreeSet::new(),
        connections: 0,
        requests: 0,
        last_seen: None,
    }
}

impl Row {
    /// Its protocol, in words.
    fn protocol(&self) -> String {
        let http = self.requests > 0;
        let mut words = match (self.peer.as_str(), http) {
            ("mutual_tls", true) => "mutual TLS, HTTP".to_owned(),
            ("mutual_tls", false) => "mutual TLS, TCP".to_owned(),
            ("plaintext", true) => "plaintext HTTP".to_owned(),
            ("plaintext", false) => "plaintext TCP".to_owned(),
            ("tls_passthrough", _) => "TLS of its own".to_owned(),
            ("tls_no_client_cert", _) => "TLS, no certificate".to_owned(),
            (other, _) => other.to_owned(),
        };
        for hint in self.traffic.iter().filter(|traffic| *traffic != "app") {
            let _ = write!(words, " ({hint})");
        }
        words
    }

    fn verdict(&self) -> &str {
        match self.strict.as_str() {
            "allow" => "works",
            "reject" => "BREAKS",
            other => other,
        }
    }

    fn who(&self) -> String {
        match &self.source_ip {
            Some(address) if *address != self.caller => format!("{} ({address})", self.caller),
            _ => self.caller.clone(),
        }
    }
}

/// The rows as text, `now` being what "last seen" counts from.
pub fn render(rows: &[Row], now: SystemTime) -> String {
    let header = [
        "DESTINATION",
        "PORT",
        "CALLER",
        "SPEAKS",
        "UNDER STRICT",
        "CONNECTIONS",
        "REQUESTS",
        "LAST SEEN",
    ];
    let lines = rows.iter().map(|row| {
        let requests = if row.requests > 0 {
            row.requests.to_string()
        } else {
            "-".to_owned()
        };
        [
            row.destination.clone(),
            row.port.to_string(),
            row.who(),
            row.protocol(),
            row.verdict().to_owned(),
            row.connections.to_string(),
            requests,
            ago(row.last_seen, now),
        ]
    });
    columns(header.map(str::to_owned), lines)
}

fn ago(moment: Option<SystemTime>, now: SystemTime) -> String {
    match moment.map(|moment| now.duration_since(moment).unwrap_or_default().as_secs()) {
        None => "-".to_owned(),
        Some(seconds) => format!("{seconds} s ago"),
    }
}

/// Columns two spaces apart, as wide as their widest cell, without spaces at a line's end.
pub fn columns<const N: usize>(
    header: [String; N],
    lines: impl Iterator<Item = [String; N]>,
) -> String {
    let lines: Vec<[String; N]> = std::iter::once(header).chain(lines).collect();
    let mut text = String::new();
    for line in &lines {
        let mut padded = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0);
            let _ = write!(padded, "  {cell:<width$}");
        }
        let _ = writeln!(text, "{}", padded.trim_end());
    }
    text
}

/// How many rows say that a caller would break.
pub fn breaking(rows: &[Row]) -> usize {
    rows.iter().filter(|row| row.strict == "reject").count()
}

/// The one line: who would break.
pub fn answer(rows: &[Row]) -> String {
    let all: BTreeSet<&str> = rows.iter().map(|row| row.caller.as_str()).collect();
    let breaking: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.strict == "reject")
        .map(|row| row.caller.as_str())
        .collect();
    match breaking.len() {
        0 => format!("None of {} callers would break under STRICT.", all.len()),
        broken => format!(
            "{broken} of {} callers would break under STRICT.",
            all.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
plainsight_build_info{tag="version=0.1.0"} 1
plainsight_connections_total{tag="peer=mutual_tls,strict=allow,source_principal=spiffe://cluster.local/ns/shop/sa/web,destination_workload=orders,destination_workload_namespace=shop,destination_port=8080"} 2
plainsight_requests_total{tag="peer=mutual_tls,strict=allow,source_principal=spiffe://cluster.local/ns/shop/sa/web,destination_workload=orders,destination_workload_namespace=shop,destination_port=8080"} 9
plainsight_connections_total{tag="peer=plaintext,strict=reject,source_ip=127.0.0.2,destination_workload=orders,destination_workload_namespace=shop,destination_port=8080"} 3
plainsight_requests_total{tag="peer=plaintext,strict=reject,source_ip=127.0.0.2,destination_workload=orders,destination_workload_namespace=shop,destination_port=8080,traffic=probe"} 4
plainsight_last_seen_timestamp_seconds{tag="peer=plaintext,strict=reject,source_ip=127.0.0.2,destination_workload=orders,destination_workload_namespace=shop,destination_port=8080"} 1000
plainsight_connections_total{tag="peer=tls_passthrough,strict=exempt,source_ip=127.0.0.3,source_name=vms,destination_workload=orders,destination_workload_namespace=shop,destination_port=9000"} 1
plainsight_connections_total{tag="peer=plaintext,strict=reject,source_ip=127.0.0.9,destination_workload=orders,destination_workload_namespace=shop,destination_port=9000"} 0
"#;

    fn read() -> Vec<Row> {
        rows(&Scrape::parse(SCRAPE).unwrap())
    }

    #[test]
    fn a_table_names_each_caller_once_with_what_would_happen_to_it() {
        let now = UNIX_EPOCH + Duration::from_secs(1007);
        assert_eq!(
            render(&read(), now),
            "  DESTINATION  PORT  CALLER                                 SPEAKS                  UNDER STRICT  CONNECTIONS  REQUESTS  LAST SEEN\n\
             \x20 shop/orders  8080  127.0.0.2                              plaintext HTTP (probe)  BREAKS        3            4         7 s ago\n\
             \x20 shop/orders  8080  spiffe://cluster.local/ns/shop/sa/web  mutual TLS, HTTP        works         2            9         -\n\
             \x20 shop/orders  9000  vms (127.0.0.3)                        TLS of its own          exempt        1            -         -\n"
        );
    }

    #[test]
    fn the_answer_counts_callers_and_not_rows() {
        let mut rows = read();
        assert_eq!(answer(&rows), "1 of 3 callers would break under STRICT.");
        let mut other_port = rows[0].clone();
        other_port.port = 7777;
        rows.push(other_port);
        assert_eq!(answer(&rows), "1 of 3 callers would break under STRICT.");
        rows.retain(|row| row.strict != "reject");
        assert_eq!(answer(&rows), "None of 2 callers would break under STRICT.");
    }
}
