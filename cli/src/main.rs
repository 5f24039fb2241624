//! The `plainsight` command, also `kubectl plainsight`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};
use plainsight_cli::args::{Cli, examples};
use plainsight_cli::{Exit, run};

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version arrive here too; only real usage errors are errors.
            let failed = error.use_stderr();
            let _ = error.print();
            return if failed { Exit::Error } else { Exit::Ready }.into();
        }
    };
    match answer(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("plainsight: {error:#}");
            Exit::Error.into()
        }
    }
}

/// Help and usage name the command as it was called: kubectl runs `kubectl-plainsight`.
fn parse() -> Result<Cli, clap::Error> {
    let called = std::env::args_os().next().unwrap_or_default();
    let plugin = std::path::Path::new(&called)
        .file_stem()
        .is_some_and(|name| name == "kubectl-plainsight");
    let name = if plugin {
        "kubectl plainsight"
    } else {
        "plainsight"
    };
    let command = Cli::command().bin_name(name).after_help(examples(name));
    let mut matches = command.try_get_matches()?;
    Cli::from_arg_matches_mut(&mut matches)
}

/// Collects the whole answer before writing any of it, so a failure leaves no half-written output.
fn answer(cli: &Cli) -> anyhow::Result<Exit> {
    let mut out = Vec::new();
    let exit = run(cli, &mut out)?;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&out).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(exit),
        result => result.context("stdout").map(|()| exit),
    }
}
