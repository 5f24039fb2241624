//! A demo that is kept running, is ended, or cannot start: no process outlives it, and each error names the problem.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::demo;

const DEADLINE: Duration = Duration::from_secs(120);

fn assert_failed_with(output: &Output, expected: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "the demo ended well although it could not"
    );
    for part in expected {
        assert!(errors.contains(part), "{part}: not in: {errors}");
    }
}

/// A demo that keeps running; killed if a test ends early.
pub struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Kept {
    /// Starts the demo and returns its output up to the last line.
    pub fn start() -> (Self, String) {
        let mut command = demo();
        command
            .env("KEEP", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut kept = Self(command.spawn().unwrap());
        let mut text = String::new();
        for line in BufReader::new(kept.0.stdout.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            text += &line;
            text.push('\n');
            if line == "Running until Ctrl-C." {
                return (kept, text);
            }
        }
        let mut errors = String::new();
        kept.0
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        panic!("the demo ended by itself:\n{text}\n{errors}");
    }

    fn output(mut self) -> (std::process::ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < DEADLINE, "the demo is still there");
            std::thread::sleep(Duration::from_millis(50));
        };
        let mut errors = String::new();
        self.0
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        (status, errors)
    }
}

/// The addresses of all servers in the demo's output.
fn addresses(text: &str) -> Vec<&str> {
    let is_part = |c: char| !(c.is_ascii_digit() || c == '.' || c == ':');
    let mut found: Vec<&str> = text
        .split(is_part)
        .filter(|word| word.starts_with("127.0.0.1:") && !word.ends_with(':'))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn a_kept_demo_serves_until_it_is_ended_and_leaves_no_process() {
    let (kept, text) = Kept::start();
    // Six listeners, two admin interfaces and Prometheus.
    let addresses = addresses(&text);
    assert_eq!(addresses.len(), 9, "{addresses:?}\n{text}");
    for address in &addresses {
        TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}\n{text}"));
    }
    let answers: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once("; rows now: ")?.1))
        .collect();
    assert_eq!(answers.len(), 3, "{text}");
    assert!(
        !answers.contains(&"0"),
        "a query to try has no answer:\n{text}"
    );

    let children = children(kept.0.id());
    assert_eq!(
        children.len(),
        3,
        "two Envoys and a Prometheus: {children:?}"
    );
    let status = Command::new("kill")
        .args(["-TERM", &kept.0.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let (status, errors) = kept.output();
    assert!(status.success(), "{status}: {errors}");
    for (pid, started) in children {
        assert_ne!(
            parent_and_start(pid).map(|(_, start)| start),
            Some(started),
            "{pid}: still runs"
        );
    }
}

/// The child processes of `parent` with their start times: both together identify a process.
fn children(parent: u32) -> Vec<(u32, u64)> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| {
        let (its_parent, start) = parent_and_start(pid)?;
        (its_parent == parent).then_some((pid, start))
    })
    .collect()
}

/// Fields 4 and 22 of /proc/PID/stat, proc_pid_stat(5); `None` if there is no such process.
fn parent_and_start(pid: u32) -> Option<(u32, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 2 is the name in parentheses, which may contain any character.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields[1].parse().ok()?, fields[19].parse().ok()?))
}

#[test]
fn an_envoy_that_dies_ends_the_demo_with_the_end_of_its_log() {
    let (kept, text) = Kept::start();
    let admin = text
        .split("Admin: server http://")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap();
    let mut stream = TcpStream::connect(admin).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"POST /quitquitquit HTTP/1.1\r\nhost: admin\r\n\r\n",
    )
    .unwrap();
    let (status, errors) = kept.output();
    assert!(!status.success(), "the demo ended well without its Envoy");
    assert!(
        errors.contains("the server's Envoy has ended; the last lines of its log:"),
        "{errors}"
    );
    // Envoy begins each line of its log with the date.
    assert!(
        errors.lines().any(|line| line.starts_with("[20")),
        "{errors}"
    );
}

#[test]
fn an_unknown_value_of_keep_is_rejected() {
    assert_failed_with(
        &demo().env("KEEP", "yes").output().unwrap(),
        &["demo: error: KEEP: expected 1 to keep everything running, or nothing, got: yes"],
    );
}

#[test]
fn a_missing_module_is_named_with_the_target_that_builds_it() {
    assert_failed_with(
        &demo()
            .env("PLAINSIGHT_WASM", "/nowhere/plainsight.wasm")
            .output()
            .unwrap(),
        &["PLAINSIGHT_WASM", "/nowhere/plainsight.wasm", "make demo"],
    );
}

#[test]
fn an_envoy_that_does_not_start_is_an_error_and_not_a_hang() {
    assert_failed_with(
        &demo()
            .env("PLAINSIGHT_ENVOY", "/bin/false")
            .output()
            .unwrap(),
        &["the server's sidecar", "ended at start"],
    );
}
