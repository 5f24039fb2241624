//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum as _};

use crate::Error;
use crate::commands::plan::Part;
use crate::decide::readiness::Counted;
use crate::model::span::Length;
use crate::output::render::{Format, When};
use crate::source::kubernetes::KubernetesArgs;
use crate::source::prometheus::PrometheusArgs;

/// The end of the help, for the command as it was called.
pub fn examples(name: &str) -> String {
    let lines = [
        ("report", "where does every namespace stand?"),
        ("explain billing/ledger", "who is in the way, and why?"),
        (
            "plan -n billing --dir plan",
            "write the policies, the exceptions and the rollback",
        ),
    ];
    let mut text = String::from("Examples:\n");
    for (arguments, meaning) in lines {
        text.push_str(&format!("  {name} {arguments:<28}{meaning}\n"));
    }
    text + "\nExit codes: 0 ready or done, 1 error, 2 callers in the way, 3 not proven."
}

/// Which namespaces can move to STRICT mutual TLS, and which callers block the others (read-only)
#[derive(Debug, Parser)]
#[command(
    name = "plainsight",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Where Prometheus is.
    #[command(flatten, next_help_heading = "Prometheus")]
    pub prometheus: PrometheusArgs,
    /// Where the cluster is.
    #[command(flatten, next_help_heading = "Cluster")]
    pub kubernetes: KubernetesArgs,
    /// The cluster, where Prometheus holds several
    #[arg(help_heading = "Evidence", long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Read a snapshot instead of Prometheus and the cluster
    #[arg(help_heading = "Evidence", long, global = true, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// An older snapshot proves nothing
    #[arg(
        help_heading = "Evidence",
        long,
        global = true,
        value_name = "TIME",
        default_value = "1d"
    )]
    pub max_age: Length,
    /// How long no caller may have been seen; a monthly job needs 35d
    #[arg(
        help_heading = "Evidence",
        long,
        global = true,
        value_name = "TIME",
        default_value = "14d"
    )]
    pub window: Length,
    /// Whether probes and scrapes count as callers
    #[arg(
        help_heading = "Evidence",
        long,
        global = true,
        value_enum,
        default_value_t
    )]
    pub counted: Counted,
    /// Ports per workload that exceptions may keep open
    #[arg(
        help_heading = "Evidence",
        long,
        global = true,
        value_name = "N",
        default_value_t = 2
    )]
    pub max_exempt: usize,
    /// table, wide, json, yaml, csv, markdown, html (report), junit or github (gate); the file of `snapshot`
    #[arg(
        help_heading = "Output",
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub output: String,
    /// When to use color
    #[arg(
        help_heading = "Output",
        long,
        global = true,
        value_enum,
        default_value_t
    )]
    pub color: When,
    /// The table and remarks only
    #[arg(help_heading = "Output", short, long, global = true)]
    pub quiet: bool,
    /// Log each query and its duration to standard error
    #[arg(help_heading = "Output", short, long, global = true)]
    pub verbose: bool,
    /// Exit with 0 instead of 2 or 3
    #[arg(help_heading = "Output", long, global = true)]
    pub exit_zero: bool,
}

impl Common {
    /// The format asked for.
    pub fn format(&self) -> Result<Format, Error> {
        Format::from_str(&self.output, true).map_err(|_| {
            let known: Vec<String> = Format::value_variants()
                .iter()
                .filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()))
                .collect();
            Error::Usage(format!(
                "-o: expected one of {}, got: {}",
                known.join(", "),
                self.output
            ))
        })
    }
}

/// Which namespaces.
#[derive(Debug, Clone, Default, Args)]
pub struct Scope {
    /// A called namespace; may be repeated
    #[arg(short, long, value_name = "NS")]
    pub namespace: Vec<String>,
    /// All namespaces (the default)
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
}

/// Kubernetes objects in files.
#[derive(Debug, Clone, Default, Args)]
pub struct Files {
    /// Objects as `kubectl get -o yaml` prints them, instead of reading the cluster; a folder, or `-`
    #[arg(short, long = "filename", value_name = "FILE")]
    pub file: Vec<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the installation: scrape, rules, coverage, versions, permissions
    Doctor,
    /// One line per namespace, or per workload with -n
    Report {
        /// Which namespaces.
        #[command(flatten)]
        scope: Scope,
        /// Instead of the cluster.
        #[command(flatten)]
        files: Files,
    },
    /// Each caller: who, since when, how often, the likely cause, what to do
    Explain {
        /// What is called
        #[arg(value_name = "NS[/WORKLOAD[:PORT]]")]
        target: String,
        /// Instead of the cluster.
        #[command(flatten)]
        files: Files,
        /// The runbook to link to
        #[arg(long, value_name = "URL", default_value = crate::decide::explain::RUNBOOK)]
        runbook_url: String,
    },
    /// Policies for what is ready, exceptions, and the rollback
    Plan {
        /// The namespace
        #[arg(short, long, value_name = "NS")]
        namespace: String,
        /// Write files into this new folder instead of one stream
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The part of the stream to print
        #[arg(long, value_enum, default_value_t, conflicts_with = "dir")]
        part: Part,
        /// Instead of the cluster.
        #[command(flatten)]
        files: Files,
    },
    /// Check whether policies can be applied now
    Gate {
        /// A called namespace to check; default: all that the policies affect
        #[arg(short, long, value_name = "NS")]
        namespace: Vec<String>,
        /// Policies about to be applied; a folder, or `-`
        #[arg(short, long = "filename", value_name = "FILE", required = true)]
        file: Vec<PathBuf>,
        /// Current policies and pods in files, instead of reading the cluster
        #[arg(long, value_name = "FILE")]
        current: Vec<PathBuf>,
    },
    /// After the switch: callers that stopped, failed handshakes, mutual TLS traffic
    Verify {
        /// A switched namespace; may be repeated
        #[arg(short, long, value_name = "NS", required = true)]
        namespace: Vec<String>,
        /// How long ago the switch was
        #[arg(long, value_name = "TIME", default_value = "30m")]
        since: Length,
        /// Instead of the cluster.
        #[command(flatten)]
        files: Files,
    },
    /// The callers of one sidecar, from its /stats/prometheus, without Prometheus
    Peek {
        /// A file, `-`, or a URL
        #[arg(value_name = "FILE|-|URL", default_value = "-")]
        input: String,
    },
    /// Everything the other commands need, to be read with --from
    Snapshot {
        /// Which namespaces.
        #[command(flatten)]
        scope: Scope,
        /// How long ago a switch was, for `verify --from`
        #[arg(long, value_name = "TIME", default_value = "30m")]
        since: Length,
        /// Instead of the cluster.
        #[command(flatten)]
        files: Files,
    },
    /// Completion for a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_help_parses() {
        <Cli as clap::CommandFactory>::command().debug_assert();
        for line in [
            "doctor",
            "report -A",
            "report -n a -n b --window 7d --counted app -o wide",
            "explain shop/cart:80 -f objects.yaml",
            "plan -n shop --max-exempt 1 --dir plan",
            "gate -n shop -f policies.yaml --current objects.yaml -o junit",
            "verify -n shop --since 30m --no-cluster",
            "peek http://127.0.0.1:15020/stats/prometheus",
            "snapshot -o file.json -n shop",
            "completion zsh",
        ] {
            let words = std::iter::once("plainsight").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["plainsight", "report", "-A", "-n", "a"]).is_err());
    }
}
