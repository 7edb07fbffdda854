//! `fieldmark release`: making, signing and publishing a release repository.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::listen::{passing_by, settings};
use super::{AccessArguments, BrokerArguments, Failure};
use crate::publish::line::Line;
use crate::release::{
    CHUNK, Depot, Expiries, Outcome, Progress, PublicKey, Repository, RoleName, RoleSetup, Shelf, SigningKey,
    Truster,
};

#[derive(Debug, Args)]
pub(super) struct ReleaseArguments {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
enum ReleaseCommand {
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
struct ExpiryArguments {
    /// Days a signed root holds.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().root)]
    root_days: i64,
    /// Days a signed list of releases holds.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().targets)]
    targets_days: i64,
    /// Days a signed snapshot holds.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().snapshot)]
    snapshot_days: i64,
    /// Days a signed timestamp holds: for so long a node that is shown nothing new goes on taking updates.
    #[arg(long, value_name = "DAYS", default_value_t = Expiries::default().timestamp)]
    timestamp_days: i64,
}

impl ExpiryArguments {
    fn days(&self) -> Expiries {
        Expiries {
            root: self.root_days,
            targets: self.targets_days,
            snapshot: self.snapshot_days,
            timestamp: self.timestamp_days,
        }
    }
}

#[derive(Debug, Args)]
struct InitArguments {
    /// Folder of the repository.
    folder: PathBuf,
    /// Keys of the root; private ones sign, public ones (.pub.json) wait for `sign`.
    #[arg(long, value_name = "FILE", required = true)]
    root_key: Vec<PathBuf>,
    /// Signatures the root needs.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    root_threshold: u64,
    /// Keys that may release.
    #[arg(long, value_name = "FILE", required = true)]
    targets_key: Vec<PathBuf>,
    /// Signatures a release needs.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    targets_threshold: u64,
    /// Keys of snapshot and timestamp, which renew what is the latest.
    #[arg(long, value_name = "FILE", required = true)]
    online_key: Vec<PathBuf>,
    #[command(flatten)]
    expiry: ExpiryArguments,
}

#[derive(Debug, Args)]
struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
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
struct AddArguments {
    /// Folder of the repository.
    folder: PathBuf,
    /// The package, or a configuration called NAME-VERSION.toml.
    file: PathBuf,
    /// Private keys to sign with.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Release a package that this fieldmark cannot open, for nodes that run another one.
    #[arg(long)]
    unopened: bool,
    /// Bytes of a chunk.
    #[arg(long, value_name = "BYTES", default_value_t = CHUNK, value_parser = clap::value_parser!(u32).range(1024..=8_388_608))]
    chunk: u32,
    #[command(flatten)]
    expiry: ExpiryArguments,
    #[command(flatten)]
    to: OptionalBroker,
}

#[derive(Debug, Args)]
struct WithdrawArguments {
    /// Folder of the repository.
    folder: PathBuf,
    /// Name of the release's file, such as garden-0.2.0.fieldmark.
    name: String,
    /// Private keys to sign with.
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    #[command(flatten)]
    expiry: ExpiryArguments,
    #[command(flatten)]
    to: OptionalBroker,
}

#[derive(Debug, Args)]
struct SignArguments {
    /// Folder of the repository.
    folder: PathBuf,
    /// Private keys to sign with.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    #[command(flatten)]
    expiry: ExpiryArguments,
    #[command(flatten)]
    to: OptionalBroker,
}

#[derive(Debug, Args)]
struct PublishArguments {
    /// Folder of the repository.
    folder: PathBuf,
    #[command(flatten)]
    broker: BrokerArguments,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// Folder, file:// or http(s):// URL of the repository.
    repository: String,
    /// The root a node is given.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// What is found, as JSON.
    #[arg(long)]
    json: bool,
}

/// A broker to publish on, where one is wanted.
#[derive(Debug, Args)]
struct OptionalBroker {
    /// Publish on this broker afterwards: mqtt://host:port and so on.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    #[command(flatten)]
    access: AccessArguments,
}

impl OptionalBroker {
    fn given(&self) -> Option<BrokerArguments> {
        Some(BrokerArguments { broker: self.broker.clone()?, access: self.access.clone() })
    }
}

pub(super) fn execute(arguments: &ReleaseArguments) -> Result<(), Failure> {
    match &arguments.command {
        ReleaseCommand::Init(arguments) => init(arguments),
        ReleaseCommand::Key(KeyArguments { command: KeyCommand::New { file } }) => {
            let key = SigningKey::generate(file)?;
            println!("{}", key.public().id());
            Ok(())
        }
        ReleaseCommand::Key(KeyArguments {
            command: KeyCommand::Change { folder, role, add, remove, threshold, key, expiry },
        }) => {
            let mut repository = open(folder, expiry)?;
            let add = add.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>()?;
            let outcome = repository.change_keys(*role, &add, remove, *threshold, &private(key)?)?;
            told(&outcome)
        }
        ReleaseCommand::Add(arguments) => {
            let mut repository = open(&arguments.folder, &arguments.expiry)?;
            let (file, chunk, keys) = (&arguments.file, arguments.chunk, private(&arguments.key)?);
            let (name, outcome) = match arguments.unopened {
                true => repository.add_unopened(file, chunk, &keys)?,
                false => repository.add(file, chunk, &keys)?,
            };
            println!("{name}");
            concluded(&repository, &outcome, &arguments.to)
        }
        ReleaseCommand::Withdraw(arguments) => {
            let mut repository = open(&arguments.folder, &arguments.expiry)?;
            let outcome = repository.withdraw(&arguments.name, &private(&arguments.key)?)?;
            concluded(&repository, &outcome, &arguments.to)
        }
        ReleaseCommand::Sign(arguments) => {
            let mut repository = open(&arguments.folder, &arguments.expiry)?;
            let outcome = repository.sign(&private(&arguments.key)?)?;
            concluded(&repository, &outcome, &arguments.to)
        }
        ReleaseCommand::Refresh(arguments) => {
            let mut repository = open(&arguments.folder, &arguments.expiry)?;
            let outcome = repository.refresh(&private(&arguments.key)?)?;
            concluded(&repository, &outcome, &arguments.to)
        }
        ReleaseCommand::Publish(arguments) => {
            let repository =
                Repository::open(&arguments.folder, Expiries::default(), jiff::Timestamp::now())?;
            publish(&repository, &arguments.broker)
        }
        ReleaseCommand::Verify(arguments) => verify(arguments),
    }
}

fn open(folder: &Path, expiry: &ExpiryArguments) -> Result<Repository, Failure> {
    Ok(Repository::open(folder, expiry.days(), jiff::Timestamp::now())?)
}

fn private(paths: &[PathBuf]) -> Result<Vec<SigningKey>, Failure> {
    Ok(paths.iter().map(|path| SigningKey::read(path)).collect::<Result<_, _>>()?)
}

fn init(arguments: &InitArguments) -> Result<(), Failure> {
    let setup = |role, paths: &[PathBuf], threshold| -> Result<RoleSetup, Failure> {
        let keys = paths.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?;
        Ok(RoleSetup { role, keys, threshold })
    };
    let roles = [
        setup(RoleName::Root, &arguments.root_key, arguments.root_threshold)?,
        setup(RoleName::Targets, &arguments.targets_key, arguments.targets_threshold)?,
        setup(RoleName::Snapshot, &arguments.online_key, 1)?,
        setup(RoleName::Timestamp, &arguments.online_key, 1)?,
    ];
    let all = arguments.root_key.iter().chain(&arguments.targets_key).chain(&arguments.online_key);
    // Public halves cannot sign; whoever has the others signs later.
    let mut signers = Vec::new();
    for path in all {
        if std::fs::read(path).is_ok_and(|text| text.first() != Some(&b'{')) {
            signers.push(SigningKey::read(path)?);
        }
    }
    let now = jiff::Timestamp::now();
    let (_, outcome) = Repository::init(&arguments.folder, &roles, &signers, arguments.expiry.days(), now)?;
    told(&outcome)
}

fn told(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Complete => println!("complete: nodes may see it"),
        Outcome::Lacks(role, have, need) => {
            println!("staged: {role} has {have} of {need} signatures; fieldmark release sign adds more");
        }
    }
    Ok(())
}

fn concluded(repository: &Repository, outcome: &Outcome, to: &OptionalBroker) -> Result<(), Failure> {
    told(outcome)?;
    match (outcome, to.given()) {
        (Outcome::Complete, Some(broker)) => publish(repository, &broker),
        _ => Ok(()),
    }
}

fn publish(repository: &Repository, broker: &BrokerArguments) -> Result<(), Failure> {
    let depot = Depot::of(repository)?;
    let mqtt = settings(broker)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let published = threads.block_on(async {
        let mut line = Line::open(&mqtt, &passing_by("release"))?;
        let mut last = Progress { done: 0, all: 0 };
        depot
            .publish(&mut line, &mut |progress| {
                // A line a tenth: it is read in logs as well.
                if progress.done * 10 / progress.all.max(1) != last.done * 10 / last.all.max(1) {
                    eprintln!("{} of {} messages", progress.done, progress.all);
                }
                last = progress;
            })
            .await?;
        line.close().await;
        Ok::<_, Failure>(last)
    })?;
    println!("published: {} messages on {}", published.all, mqtt.url);
    Ok(())
}

fn verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let root = std::fs::read(&arguments.root).map_err(|error| {
        anyhow::anyhow!("cannot read {}: {error}; give the root nodes are given", arguments.root.display())
    })?;
    let shelf = Shelf::at(&arguments.repository).map_err(Failure::usage)?;
    let folder = std::env::temp_dir().join(format!("fieldmark-verify-{}", ulid::Ulid::generate()));
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let truster = Truster::new(root, &folder);
    let trusted = threads.block_on(truster.verify(&shelf, jiff::Timestamp::now()));
    let _ = std::fs::remove_dir_all(&folder);
    let trusted = trusted?;
    if !arguments.json {
        println!("ok    metadata: timestamp {}, until {:.0}", trusted.version, trusted.expires);
    }
    let mut good = true;
    for listed in &trusted.releases {
        let checked = threads.block_on(crate::update::fetch_whole(&shelf, listed));
        let wrong = checked.as_ref().err().map(ToString::to_string);
        good &= wrong.is_none();
        if arguments.json {
            println!(
                "{}",
                serde_json::json!({ "target": listed.target, "release": listed.release, "wrong": wrong })
            );
        } else if let Some(wrong) = wrong {
            println!("FAIL  {}: {wrong}", listed.target);
        } else {
            println!(
                "ok    {}: {} bytes, sha256 {}",
                listed.target, listed.release.size, listed.release.sha256
            );
        }
    }
    if good { Ok(()) } else { Err(Failure::told()) }
}
