//! The `plainsight` command, also `kubectl plainsight`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use plainsight_cli::{Exit, args::Cli, run};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
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
