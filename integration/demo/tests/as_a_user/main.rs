//! The demo as a user runs it.

mod answer;
mod life;
mod rules;

use std::process::Command;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plainsight-demo"));
    command.env_remove("KEEP");
    command
}
