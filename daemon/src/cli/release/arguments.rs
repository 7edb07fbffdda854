//! What `fieldmark release` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::{AccessArguments, BrokerArguments};
use crate::release::{CHUNK, Expiries, RoleName};

#[derive(Debug, Args)]
pub(in crate::cli) struct ReleaseArguments {
    #[command(subcommand)]
    pub(super) command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ReleaseCommand {
    /// Begin a repository: which keys speak for what, and how many of them must.
    #[command(
        after_help = "Example: fieldmark release init fleet --root-key root.pem --targets-key targets.pem --online-key online.pem"
    )]
    Init(InitArguments),
    /// Make keys, and change the keys of roles.
    Key(KeyArguments),
    /// Release a package (or a configuration NAME-VERSION.toml), and publish it where --broker says.
    #[command(
        after_help = "Example: fieldmark release add fleet garden-0.2.0.fieldmark --key targets.pem --key online.pem --broker mqtt://broker.local:1883"
    )]
    Add(AddArguments),
    /// Take a release back: no node begins to run it any more.
    #[command(
        after_help = "Example: fieldmark release withdraw fleet garden-0.2.0.fieldmark --key targets.pem --key online.pem"
    )]
    Withdraw(WithdrawArguments),
    /// Add signatures to what still lacks some.
    #[command(after_help = "Example: fieldmark release sign fleet --key second-root.pem")]
    Sign(SignArguments),
    /// Renew the timestamp before it expires.
    #[command(
        after_help = "Example: fieldmark release refresh fleet --key online.pem --broker mqtt://broker.local:1883"
    )]
    Refresh(SignArguments),
    /// Put the repository on a broker: what is not there yet.
    #[command(after_help = "Example: fieldmark release publish fleet --broker mqtt://broker.local:1883")]
    Publish(PublishArguments),
    /// Check a repository as a node does, and every released file with it.
    #[command(after_help = "Example: fieldmark release verify fleet --root fleet/metadata/1.root.json")]
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(super) struct ExpiryArguments {
    /// Days a signed root holds.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().root)]
    pub(super) root_days: i64,
    /// Days a signed list of releases holds.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().targets)]
    pub(super) targets_days: i64,
    /// Days a signed snapshot holds.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().snapshot)]
    pub(super) snapshot_days: i64,
    /// Days a signed timestamp holds: for so long a node that is shown nothing new goes on taking updates.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().timestamp)]
    pub(super) timestamp_days: i64,
}

impl ExpiryArguments {
    pub(super) fn days(&self) -> Expiries {
        Expiries {
            root: self.root_days,
            targets: self.targets_days,
            snapshot: self.snapshot_days,
            timestamp: self.timestamp_days,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Folder of the repository.
    pub(super) folder: PathBuf,
    /// Keys of the root; private ones sign, public ones (.pub.json) wait for `sign`.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) root_key: Vec<PathBuf>,
    /// Signatures the root needs.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) root_threshold: u64,
    /// Keys that may release.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) targets_key: Vec<PathBuf>,
    /// Signatures a release needs.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(super) targets_threshold: u64,
    /// Keys of snapshot and timestamp, which renew what is the latest.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) online_key: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) expiry: ExpiryArguments,
}

#[derive(Debug, Args)]
pub(super) struct KeyArguments {
    #[command(subcommand)]
    pub(super) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make an Ed25519 key: FILE and, to be given away, FILE.pub.json.
    #[command(after_help = "Example: fieldmark release key new root.pem")]
    New {
        /// Where the private key goes.
        file: PathBuf,
    },
    /// Change the keys of a role, or its threshold; the root's keys sign that.
    #[command(
        after_help = "Example: fieldmark release key change fleet targets --add new.pub.json --remove 3f8a90 --key root.pem"
    )]
    Change {
        /// Folder of the repository.
        folder: PathBuf,
        /// Which role.
        role: RoleName,
        /// Keys that are to speak for it.
        #[arg(long, value_name = "FILE")]
        add: Vec<PathBuf>,
        /// Ids, or beginnings of ids, of keys that are not to any more.
        #[arg(long, value_name = "ID")]
        remove: Vec<String>,
        /// Signatures the role is to need.
        #[arg(long, value_name = "COUNT")]
        threshold: Option<u64>,
        /// Private keys to sign with.
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        #[command(flatten)]
        expiry: ExpiryArguments,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// Folder of the repository.
    pub(super) folder: PathBuf,
    /// The package, or a configuration called NAME-VERSION.toml.
    pub(super) file: PathBuf,
    /// Private keys to sign with.
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
    /// Release a package that this fieldmark cannot open, for nodes that run another one.
    #[arg(long)]
    pub(super) unopened: bool,
    /// Bytes of a chunk.
    #[arg(long, value_name = "BYTES", default_value_t = CHUNK, value_parser = clap::value_parser!(u32).range(1024..=8_388_608))]
    pub(super) chunk: u32,
    #[command(flatten)]
    pub(super) expiry: ExpiryArguments,
    #[command(flatten)]
    pub(super) to: OptionalBroker,
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArguments {
    /// Folder of the repository.
    pub(super) folder: PathBuf,
    /// Name of the release's file, such as garden-0.2.0.fieldmark.
    pub(super) name: String,
    /// Private keys to sign with.
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) expiry: ExpiryArguments,
    #[command(flatten)]
    pub(super) to: OptionalBroker,
}

#[derive(Debug, Args)]
pub(super) struct SignArguments {
    /// Folder of the repository.
    pub(super) folder: PathBuf,
    /// Private keys to sign with.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) expiry: ExpiryArguments,
    #[command(flatten)]
    pub(super) to: OptionalBroker,
}

#[derive(Debug, Args)]
pub(super) struct PublishArguments {
    /// Folder of the repository.
    pub(super) folder: PathBuf,
    /// Send everything, also what the broker seems to have: after a chunk was lost there or written over.
    #[arg(long)]
    pub(super) again: bool,
    #[command(flatten)]
    pub(super) broker: BrokerArguments,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// Folder, file:// or http(s):// URL of the repository.
    pub(super) repository: String,
    /// The root a node is given.
    #[arg(long, value_name = "FILE")]
    pub(super) root: PathBuf,
    /// What is found, as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A broker to publish on, where one is wanted.
#[derive(Debug, Args)]
pub(super) struct OptionalBroker {
    /// Publish on this broker afterwards: mqtt://host:port and so on.
    #[arg(long, value_name = "URL")]
    pub(super) broker: Option<String>,
    #[command(flatten)]
    pub(super) access: AccessArguments,
}

impl OptionalBroker {
    pub(super) fn given(&self) -> Option<BrokerArguments> {
        Some(BrokerArguments { broker: self.broker.clone()?, access: self.access.clone() })
    }
}
