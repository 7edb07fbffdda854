//! `fieldmark release`: making, signing and publishing a release repository.

mod arguments;

use std::path::{Path, PathBuf};

use super::listen::{passing_by, settings};
use super::{BrokerArguments, Failure};
use crate::publish::line::Line;
use crate::publish::{Depot, Progress};
use crate::release::{
    Expiries, Outcome, PublicKey, Repository, RoleName, RoleSetup, Shelf, SigningKey, Truster,
};
pub(super) use arguments::ReleaseArguments;
use arguments::{
    ExpiryArguments, InitArguments, KeyArguments, KeyCommand, OptionalBroker, ReleaseCommand, VerifyArguments,
};

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
            publish(&repository, &arguments.broker, arguments.again)
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
        (Outcome::Complete, Some(broker)) => publish(repository, &broker, false),
        _ => Ok(()),
    }
}

fn publish(repository: &Repository, broker: &BrokerArguments, again: bool) -> Result<(), Failure> {
    let depot = Depot::of(repository)?;
    let mqtt = settings(broker)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let published = threads.block_on(async {
        let mut line = Line::open(&mqtt, &passing_by("release"))?;
        let mut last = Progress { done: 0, all: 0 };
        depot
            .publish(&mut line, again, &mut |progress| {
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
        for role in &trusted.roles {
            println!("      {}: {} of the keys {}", role.role.name(), role.threshold, role.keys.join(", "));
        }
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
