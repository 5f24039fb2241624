//! The command at the size that the design promises: 500 workloads, 25,000 callers, a real Prometheus on loopback.
//! Run by hand (`make bench-cli`): it prints times, memory and sizes beside the goals, and fails on none of them.

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::{Command, Stdio};
use std::time::Instant;

use common::Prometheus;
use common::mesh::Mesh;

fn mesh() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.rules();
    for number in 0..500 {
        let (namespace, workload) = (format!("ns-{}", number % 40), format!("workload-{number}"));
        mesh.workload(&namespace, &workload, (2, 2), 30);
        for caller in 0..50 {
            let name = format!("team-{}/caller-{caller}", caller % 25);
            mesh.caller(
                &name,
                "Deployment",
                &format!("{namespace}/{workload}:8080"),
                60 + caller * 600,
                "",
            );
        }
    }
    mesh
}

/// The highest resident memory of the process, as the kernel counted it.
fn run(prometheus: &Prometheus, arguments: &[&str]) -> (f64, u64, usize) {
    let start = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args([
            "-f",
            "%M",
            env!("CARGO_BIN_EXE_plainsight"),
            "--prometheus",
            &prometheus.url,
            "--no-cluster",
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("/usr/bin/time: install the package time");
    let seconds = start.elapsed().as_secs_f64();
    let error = String::from_utf8_lossy(&output.stderr);
    // GNU time adds a line of its own about exit codes other than 0.
    let memory = error
        .lines()
        .rev()
        .find_map(|line| line.trim().parse::<u64>().ok());
    (
        seconds,
        memory.unwrap_or_else(|| panic!("no memory: {error}")),
        output.stdout.len(),
    )
}

fn main() {
    let mesh = mesh();
    // A shorter history makes the same instant queries: they see one sample per series.
    let prometheus = Prometheus::with(&mesh.samples(mesh.now + 300));
    println!(
        "{:<28} {:>9} {:>12} {:>12}   goal",
        "command", "seconds", "memory MB", "output MB"
    );
    for (arguments, goal) in [
        (&["report", "-A"][..], "2 s, 150 MB"),
        (&["report", "-A", "-o", "html"], "5 s, 10 MB of file"),
        (&["report", "-A", "-o", "json"], "-"),
        (&["report", "-n", "ns-1"], "-"),
        (&["explain", "ns-1"], "-"),
    ] {
        // The first run warms Prometheus's cache; the median of five counts.
        run(&prometheus, arguments);
        let mut runs: Vec<(f64, u64, usize)> =
            (0..5).map(|_| run(&prometheus, arguments)).collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (seconds, kilobytes, bytes) = runs[2];
        #[expect(clippy::cast_precision_loss, reason = "megabytes for a table")]
        let (memory, size) = (kilobytes as f64 / 1e3, bytes as f64 / 1e6);
        println!(
            "{:<28} {seconds:>9.2} {memory:>12.0} {size:>12.2}   {goal}",
            arguments.join(" ")
        );
    }
}
