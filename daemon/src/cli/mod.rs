//! Arguments and what each subcommand does.

mod bench;
mod board;
mod called;
mod cameras;
mod check;
mod classify;
mod cmd;
mod engine;
mod engine_selftest;
mod exit;
mod export;
mod keys;
mod listen;
mod nodes;
mod page;
mod printable;
mod record;
mod release;
mod rollout;
mod run;
mod shell_files;
mod snapshot;
mod trial;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use called::called;
pub use exit::{Failure, conclude};
#[cfg(test)]
pub(crate) use record::SCHEMA as RECORD_SCHEMA;

use crate::config::MqttVersion;

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
    /// Measure what a frame costs here, stage by stage.
    #[command(after_help = "Example: fieldmarkd bench --engine tract --frames /data/survey --json")]
    Bench(bench::BenchArguments),
    /// Show an engine the golden pictures, compare it with tract, and time it. Run by root, it leaves TensorRT's plan in
    /// the cache for the daemon.
    #[command(after_help = "Example: fieldmarkd engine-selftest --engine onnxruntime")]
    EngineSelftest(engine_selftest::SelfTestArguments),
    /// List the cameras of this machine.
    #[command(after_help = "Example: fieldmarkd cameras --json")]
    Cameras(cameras::CamerasArguments),
    /// Say what can be configured: every key with its default, unit and range.
    #[command(after_help = "Example: fieldmarkd keys mqtt")]
    Keys(keys::KeysArguments),
    /// Write the manual pages and the completions of shells into a folder.
    #[command(hide = true, after_help = "Example: fieldmarkd shell-files /tmp/files")]
    ShellFiles(shell_files::ShellFilesArguments),
    /// Look for TensorRT or build a plan, for the daemon that started this.
    #[cfg(feature = "tensorrt")]
    #[command(hide = true)]
    TensorrtWorker {
        /// What to do, as JSON.
        job: String,
    },
    /// Write one picture of a camera as JPEG.
    #[command(after_help = "Example: fieldmarkd snapshot --camera /dev/video0 out.jpg")]
    Snapshot(snapshot::SnapshotArguments),
    /// Try a released package, for the daemon that started this.
    #[command(hide = true)]
    Trial(trial::TrialArguments),
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
            (Some(DaemonCommand::Bench(arguments)), _) => bench::execute(&arguments),
            (Some(DaemonCommand::EngineSelftest(arguments)), _) => engine_selftest::execute(&arguments),
            (Some(DaemonCommand::Cameras(arguments)), _) => cameras::execute(&arguments),
            (Some(DaemonCommand::Snapshot(arguments)), _) => snapshot::execute(&arguments),
            (Some(DaemonCommand::Keys(arguments)), _) => keys::execute(&arguments),
            (Some(DaemonCommand::ShellFiles(arguments)), _) => shell_files::execute(&arguments),
            #[cfg(feature = "tensorrt")]
            (Some(DaemonCommand::TensorrtWorker { job }), _) => {
                let job = serde_json::from_str(&job).map_err(Failure::usage)?;
                crate::engine::tensorrt::serve(&job);
                Ok(())
            }
            (Some(DaemonCommand::Trial(arguments)), _) => trial::execute(&arguments),
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
    /// Show the whole fleet in a browser: nodes, models, updates, cameras, drift.
    #[command(
        after_help = "Example: fieldmark page --broker mqtt://127.0.0.1:1883, then open http://127.0.0.1:8081"
    )]
    Page(page::PageArguments),
    /// Ask a node to do something; its configuration says what it allows.
    #[command(after_help = "Example: fieldmark cmd pond-node snapshot '{\"camera\":\"pond\"}'")]
    Cmd(cmd::CmdArguments),
    /// Write events into a SQLite table or Parquet files, each once by its id.
    #[command(
        after_help = "Example: fieldmark record --out events.sqlite --group archive --name archive-1\n         fieldmark record --format parquet --out events/"
    )]
    Record(record::RecordArguments),
    /// Make, sign and publish releases.
    #[command(
        after_help = "Example: fieldmark release add fleet garden-0.2.0.fieldmark --key targets.pem --key online.pem"
    )]
    Release(release::ReleaseArguments),
    /// Bring a release to a group of nodes, in stages.
    #[command(
        after_help = "Example: fieldmark rollout start garden@0.2.0 --group ponds --stages 5,25,100 --hold 30m --max-failures 2 --root root.json"
    )]
    Rollout(rollout::RolloutArguments),
    /// Take a group back to the model it ran before its last rollout.
    #[command(after_help = "Example: fieldmark rollback --group ponds")]
    Rollback(rollout::GroupArguments),
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
            OperatorCommand::Page(arguments) => page::execute(&arguments),
            OperatorCommand::Cmd(arguments) => cmd::execute(&arguments),
            OperatorCommand::Record(arguments) => record::execute(&arguments),
            OperatorCommand::Release(arguments) => release::execute(&arguments),
            OperatorCommand::Rollout(arguments) => rollout::execute(&arguments),
            OperatorCommand::Rollback(arguments) => rollout::roll_back(&arguments),
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
    #[command(flatten)]
    access: AccessArguments,
}

/// How a broker lets one in.
#[derive(Debug, Clone, Args)]
struct AccessArguments {
    /// Version of the protocol that the broker speaks: 5 or 3.1.1.
    #[arg(long, value_name = "VERSION", default_value = "5")]
    mqtt_version: MqttVersion,
    /// User name at the broker.
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
