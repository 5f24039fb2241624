//! The `plainsight` command, built beside the demo.

use std::process::Command;

use anyhow::{Context, bail};

/// Its exit codes for an answer: ready, blocked, not proven. 1 is an error.
const ANSWERS: [i32; 3] = [0, 2, 3];

/// Prints a command line, runs it and leaves its output to the terminal.
///
/// # Errors
/// It is not built, or it failed.
pub fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name("plainsight");
    println!("$ plainsight {}", arguments.join(" "));
    let status = Command::new(&program)
        .args(arguments)
        .status()
        .with_context(|| format!("{}: run `make demo`, which builds it", program.display()))?;
    match status.code() {
        Some(code) if ANSWERS.contains(&code) => Ok(()),
        _ => bail!("plainsight {}: {status}", arguments.join(" ")),
    }
}
