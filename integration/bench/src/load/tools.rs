//! wrk and h2load, and the counts in their output.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::bootstrap::DIRECT;
use crate::load::client::USER_AGENT;

/// Runs wrk for this time, in whole seconds, and returns the number of requests served.
///
/// # Errors
/// wrk is missing (Debian's `wrk`), fails, or counts an error or a status other than 2xx and 3xx.
pub async fn wrk(address: SocketAddr, connections: usize, time: Duration) -> Result<u64> {
    let output = run(Command::new("wrk").args([
        "--threads=1",
        // By default wrk reports answers after two seconds as errors, which happens on a busy machine.
        "--timeout=60s",
        &format!("--connections={connections}"),
        &format!("--duration={}s", time.as_secs()),
        &format!("--header=user-agent: {USER_AGENT}"),
        &format!("http://{address}{DIRECT}"),
    ]))
    .await?;
    wrk_requests(&output)
}

fn wrk_requests(output: &str) -> Result<u64> {
    ensure!(
        !output.contains("Socket errors") && !output.contains("Non-2xx"),
        "wrk: {output}"
    );
    output
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(requests, _)| requests.parse().ok())
        .with_context(|| format!("wrk: expected a line 'N requests in T', got {output}"))
}

/// Runs h2load for this number of HTTP/2 requests without TLS and returns the number served.
///
/// # Errors
/// h2load is missing (Debian's `nghttp2-client`), fails, or not every request is answered with 2xx.
pub async fn h2load(address: SocketAddr, connections: usize, requests: u64) -> Result<u64> {
    let output = run(Command::new("h2load").args([
        "--threads=1",
        "--max-concurrent-streams=4",
        &format!("--clients={connections}"),
        &format!("--requests={requests}"),
        &format!("--header=user-agent: {USER_AGENT}"),
        &format!("http://{address}{DIRECT}"),
    ]))
    .await?;
    let served = h2load_served(&output)?;
    ensure!(served == requests, "h2load: asked for {requests}: {output}");
    Ok(served)
}

fn h2load_served(output: &str) -> Result<u64> {
    output
        .lines()
        .find_map(|line| line.strip_prefix("status codes: ")?.split_once(" 2xx"))
        .and_then(|(served, _)| served.parse().ok())
        .with_context(|| format!("h2load: expected a line 'status codes: N 2xx', got {output}"))
}

async fn run(command: &mut Command) -> Result<String> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{name}: cannot be started"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {text}{errors}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_served_requests_are_read_from_the_summary_of_wrk() {
        let summary = "Running 1s test\n  1 threads and 16 connections\n  44812 requests in 1.00s, 5.9MB read\n";
        assert_eq!(wrk_requests(summary).unwrap(), 44_812);
    }

    #[test]
    fn a_wrk_run_with_errors_is_rejected() {
        let refused = "  7 requests in 1.00s, 1MB read\n  Non-2xx or 3xx responses: 7\n";
        assert!(wrk_requests(refused).is_err());
        let reset = "  7 requests in 1.00s, 1MB read\n  Socket errors: connect 0, read 3\n";
        assert!(wrk_requests(reset).is_err());
        assert!(wrk_requests("unable to connect").is_err());
    }

    #[test]
    fn the_requests_answered_with_2xx_are_read_from_the_summary_of_h2load() {
        let summary = "requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed\nstatus codes: 8 2xx, 0 3xx, 0 4xx, 1 5xx\n";
        assert_eq!(h2load_served(summary).unwrap(), 8);
        assert!(h2load_served("could not connect").is_err());
    }
}
