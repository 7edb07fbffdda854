//! Arguments and what each subcommand does.

mod board;
mod cameras;
mod check;
mod classify;
mod cmd;
mod exit;
mod export;
mod keys;
mod listen;
mod nodes;
mod record;
mod run;
mod shell_files;
mod snapshot;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use exit::{Failure, conclude};
#[cfg(test)]
pub(crate) use record::SCHEMA as RECORD_SCHEMA;

/// Names the organism a camera sees, as specifically as it can be sure of, and publishes that over MQTT.
#[derive(Debug, Parser)]
#[command(
    name = "fieldmarkd",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Example: fieldmarkd --config /etc/fieldmark/fieldmark.toml"
)]
pub struct Fieldmarkd {
    #[command(subcommand)]
    command: Option<DaemonCommand>,
    /// Configuration file; `conf.d/*.toml` beside it and FIELDMARK__… variables lie over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What the daemon's binary does.
#[derive(Debug, Subcommand)]
enum DaemonCommand {
    /// Run the daemon (the default).
    #[command(after_help = "Example: fieldmarkd run --config configs/demo.toml")]
    Run(run::RunArguments),
    /// Say whether a configuration, its model and its cameras are in order.
    #[command(after_help = "Example: fieldmarkd check --config configs/demo.toml")]
    Check(check::CheckArguments),
    /// Name what pictures show.
    #[command(after_help = "Example: fieldmarkd classify --json --prior Plantae leaf.jpg")]
    Classify(classify::ClassifyArguments),
    /// List the cameras of this machine.
    #[command(after_help = "Example: fieldmarkd cameras --json")]
    Cameras(cameras::CamerasArguments),
    /// Say what can be configured: every key with its default, unit and range.
    #[command(after_help = "Example: fieldmarkd keys mqtt")]
    Keys(keys::KeysArguments),
    /// Write the manual pages and the completions of shells into a folder.
    #[command(hide = true, after_help = "Example: fieldmarkd shell-files /tmp/files")]
    ShellFiles(shell_files::ShellFilesArguments),
    /// Write one picture of a camera as JPEG.
    #[command(after_help = "Example: fieldmarkd snapshot --camera /dev/video0 out.jpg")]
    Snapshot(snapshot::SnapshotArguments),
}

impl Fieldmarkd {
    /// Does what was asked.
    ///
    /// # Errors
    /// With what to tell the user, and the exit code.
    pub fn execute(self) -> Result<(), Failure> {
        match (self.command, self.config) {
            (Some(DaemonCommand::Run(arguments)), _) => run::execute(&arguments),
            (Some(DaemonCommand::Check(arguments)), _) => check::execute(&arguments),
            (Some(DaemonCommand::Classify(arguments)), _) => classify::execute(&arguments),
            (Some(DaemonCommand::Cameras(arguments)), _) => cameras::execute(&arguments),
            (Some(DaemonCommand::Snapshot(arguments)), _) => snapshot::execute(&arguments),
            (Some(DaemonCommand::Keys(arguments)), _) => keys::execute(&arguments),
            (Some(DaemonCommand::ShellFiles(arguments)), _) => shell_files::execute(&arguments),
            (None, Some(config)) => run::execute(&run::RunArguments { config }),
            (None, None) => Err(Failure::usage(anyhow::anyhow!(
                "nothing to do: give --config FILE to run the daemon, or see fieldmarkd --help"
            ))),
        }
    }
}

/// Shows what fieldmark nodes publish, and asks them to do things.
#[derive(Debug, Parser)]
#[command(
    name = "fieldmark",
    version,
    after_help = "Example: fieldmark watch --broker mqtt://broker.local:1883"
)]
pub struct Fieldmark {
    #[command(subcommand)]
    command: OperatorCommand,
}

/// What the operators' binary does.
#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Print events as they arrive, as a table.
    #[command(after_help = "Example: fieldmark watch --broker mqtt://127.0.0.1:1883")]
    Watch(watch::WatchArguments),
    /// List the nodes the broker knows.
    #[command(after_help = "Example: fieldmark nodes --broker mqtt://127.0.0.1:1883")]
    Nodes(nodes::NodesArguments),
    /// Ask a node to do something; its configuration says what it allows.
    #[command(after_help = "Example: fieldmark cmd pond-node snapshot '{\"camera\":\"pond\"}'")]
    Cmd(cmd::CmdArguments),
    /// Write events into a SQLite table or Parquet files, each once by its id.
    #[command(
        after_help = "Example: fieldmark record --out events.sqlite --group archive --name archive-1\n         fieldmark record --format parquet --out events/"
    )]
    Record(record::RecordArguments),
    /// Write a recorded survey for maps and data portals, one feature a track.
    #[command(after_help = "Example: fieldmark export events.sqlite --format geojson --out survey.geojson")]
    Export(export::ExportArguments),
}

impl Fieldmark {
    /// Does what was asked.
    ///
    /// # Errors
    /// With what to tell the user, and the exit code.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            OperatorCommand::Watch(arguments) => watch::execute(&arguments),
            OperatorCommand::Nodes(arguments) => nodes::execute(&arguments),
            OperatorCommand::Cmd(arguments) => cmd::execute(&arguments),
            OperatorCommand::Record(arguments) => record::execute(&arguments),
            OperatorCommand::Export(arguments) => export::execute(&arguments),
        }
    }
}

/// Which broker.
#[derive(Debug, Args)]
struct BrokerArguments {
    /// The broker: mqtt://host:port, mqtts://host:port for TLS, ws:// or wss:// for WebSocket.
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883", env = "FIELDMARK_BROKER")]
    broker: String,
    /// User name.
    #[arg(long)]
    username: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Certificates to believe, PEM; the system's when absent.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Own certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
}
