//! The commands: facts in, decision, answer out.

mod context;
mod doctor;
mod explain;
mod gate;
mod peek;
pub mod plan;
mod report;
mod snapshot;
mod verify;

pub mod schema;

use std::io::Write;

use crate::args::{Cli, Command, Common};
use crate::model::span::MEMORY;
use crate::output::render::{Answer, Format, render};
use crate::{Error, Exit};

/// Runs one command. `out` receives the answer.
pub fn run(cli: &Cli, out: &mut dyn Write) -> Result<Exit, Error> {
    let common = &cli.common;
    if common.window > MEMORY {
        return Err(Error::Usage(format!(
            "--window: the rules remember {MEMORY}, got: {}",
            common.window
        )));
    }
    if !matches!(cli.command, Command::Snapshot { .. }) {
        let allowed = match common.format()? {
            Format::Html => ("report", matches!(cli.command, Command::Report { .. })),
            Format::Junit | Format::Github => ("gate", matches!(cli.command, Command::Gate { .. })),
            _ => ("", true),
        };
        if let (command, false) = allowed {
            let format = &common.output;
            return Err(Error::Usage(format!("-o {format}: only for `{command}`")));
        }
    }
    let exit = match &cli.command {
        Command::Doctor => doctor::run(common, out),
        Command::Report { scope, files } => report::run(common, scope, files, out),
        Command::Explain {
            target,
            files,
            runbook_url,
        } => explain::run(common, target, files, runbook_url, out),
        Command::Plan {
            namespace,
            dir,
            part,
            files,
        } => plan::run(common, namespace, dir.as_deref(), *part, files, out),
        Command::Gate {
            namespace,
            file,
            current,
        } => gate::run(common, namespace, file, current, out),
        Command::Verify {
            namespace,
            since,
            files,
        } => verify::run(common, namespace, *since, files, out),
        Command::Peek { input } => peek::run(common, input, out),
        Command::Snapshot {
            scope,
            since,
            files,
        } => snapshot::run(common, scope, *since, files, out),
        Command::Completion { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(*shell, &mut command, "plainsight", &mut Writer(out));
            Ok(Exit::Ready)
        }
    }?;
    Ok(if common.exit_zero { Exit::Ready } else { exit })
}

/// `clap_complete` wants a sized writer.
struct Writer<'a>(&'a mut dyn Write);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Shows an answer in the format asked for.
fn show(answer: &impl Answer, common: &Common, out: &mut dyn Write) -> Result<(), Error> {
    let text = render(answer, common.format()?, common.color.on(), common.quiet)?;
    out.write_all(text.as_bytes()).map_err(Error::output)
}
