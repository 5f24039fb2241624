//! CPU time of a process from the scheduler's nanosecond counters, and the choice of CPUs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// The CPU time that the live threads of the process have used so far.
///
/// The first number of `schedstat` is the time on the CPU in nanoseconds:
/// <https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat>.
///
/// # Errors
/// The process is gone, or the kernel was built without these statistics.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).with_context(|| format!("{folder}: cannot be read"))?;
    let mut total = 0;
    for task in tasks {
        let path = task?.path().join("schedstat");
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(&path) {
            total += on_cpu(&text).with_context(|| format!("{}", path.display()))?;
        }
    }
    ensure!(total > 0, "{folder}: schedstat: expected CPU time, got 0");
    Ok(Duration::from_nanos(total))
}

fn on_cpu(text: &str) -> Result<u64> {
    text.split_ascii_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .with_context(|| format!("expected three numbers, got {text:?}"))
}

/// The CPUs of the measured Envoy and of everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Envoy's CPU.
    pub envoy: usize,
    /// The CPUs of the load generators and backends, as `taskset` takes them.
    pub load: String,
}

impl Placement {
    /// The last of this process's CPUs for Envoy, all others for the load.
    ///
    /// # Errors
    /// Fewer than two CPUs: load and Envoy would compete for caches and time.
    pub fn choose() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .context("/proc/self/status: Cpus_allowed_list: expected a list, got nothing")?;
        Self::split(&cpus(list.trim())?)
    }

    fn split(cpus: &[usize]) -> Result<Self> {
        let [load @ .., envoy] = cpus else {
            bail!("cpus: expected at least 2, got none")
        };
        ensure!(!load.is_empty(), "cpus: expected at least 2, got 1");
        let load: Vec<String> = load.iter().map(usize::to_string).collect();
        Ok(Self {
            envoy: *envoy,
            load: load.join(","),
        })
    }

    /// Moves this process, and all processes that it starts from now on, to the load's CPUs.
    ///
    /// # Errors
    /// `taskset` (util-linux) is missing or refuses.
    pub fn pin_this_process(&self) -> Result<()> {
        let pid = std::process::id().to_string();
        let output = Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid", &self.load, &pid])
            .output()
            .context("taskset: cannot be started")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "taskset: {}", stderr.trim());
        Ok(())
    }
}

/// The CPUs of a kernel list such as `0-2,5`.
fn cpus(list: &str) -> Result<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse::<usize>().and_then(|first| {
            let last = last.parse::<usize>()?;
            Ok(first..=last)
        });
        cpus.extend(range.with_context(|| format!("cpu list: expected 0-2,5, got {list:?}"))?);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_kernel_cpu_list_names_ranges_and_single_cpus() {
        assert_eq!(cpus("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert_eq!(cpus("7").unwrap(), [7]);
        assert!(cpus("a-b").is_err());
    }

    #[test]
    fn envoy_has_a_cpu_that_no_load_runs_on() {
        let placement = Placement::split(&[0, 1, 3]).unwrap();
        assert_eq!(placement.envoy, 3);
        assert_eq!(placement.load, "0,1");
        assert!(Placement::split(&[0]).is_err());
        assert!(Placement::split(&[]).is_err());
    }

    #[test]
    fn the_first_number_of_schedstat_is_the_time_on_the_cpu() {
        assert_eq!(on_cpu("1832456 9921 17\n").unwrap(), 1_832_456);
        assert!(on_cpu("").is_err());
        assert!(on_cpu("x 1 2").is_err());
    }

    #[test]
    fn work_of_a_process_shows_in_its_cpu_time() {
        // A separate process, because the threads of this one end with their tests and no longer count.
        let mut child = Command::new("yes").stdout(Stdio::null()).spawn().unwrap();
        let time = || loop {
            // The scheduler may account late; until then there is no time.
            if let Ok(time) = cpu_time(child.id()) {
                break time;
            }
        };
        let before = time();
        // If the time never grows, the test runner's timeout ends this loop.
        while time() <= before {}
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
