//! `fieldmark rollout` and `fieldmark rollback`: what a group of nodes is to run.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::listen::{passing_by, settings};
use super::{BrokerArguments, Failure};
use crate::config::group_name;
use crate::release::{Listed, ReleaseKind, Shelf, Truster};
use crate::rollout::{Coordinator, Desired, Fleet, RolloutState, begin, desired_topic, survey};
use crate::update::Feed;

#[derive(Debug, Args)]
pub(super) struct RolloutArguments {
    #[command(subcommand)]
    command: RolloutCommand,
}

#[derive(Debug, Subcommand)]
enum RolloutCommand {
    /// Begin, and drive until every stage is through or too many nodes failed.
    #[command(
        after_help = "Example: fieldmark rollout start garden@0.2.0 --group ponds --stages 5,25,100 --hold 30m --max-failures 2 --root root.json"
    )]
    Start(StartArguments),
    /// Drive a rollout that somebody else began.
    #[command(after_help = "Example: fieldmark rollout drive --group ponds")]
    Drive(GroupArguments),
    /// Say how it is, and how its nodes are.
    #[command(after_help = "Example: fieldmark rollout status --group ponds")]
    Status(GroupArguments),
    /// Let no further node begin.
    #[command(after_help = "Example: fieldmark rollout pause --group ponds")]
    Pause(GroupArguments),
    /// Go on with one that was paused or has stopped.
    #[command(after_help = "Example: fieldmark rollout resume --group ponds")]
    Resume(GroupArguments),
    /// Call it off: nodes on which it does not answer yet leave it.
    #[command(after_help = "Example: fieldmark rollout abort --group ponds")]
    Abort(GroupArguments),
}

#[derive(Debug, Args)]
pub(super) struct GroupArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// The group.
    #[arg(long)]
    group: String,
    /// What is rolled out.
    #[arg(long, value_enum, default_value_t = ReleaseKind::Model)]
    kind: ReleaseKind,
    /// What there is, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct StartArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// The release: NAME@VERSION.
    release: String,
    /// The group.
    #[arg(long)]
    group: String,
    /// What is rolled out.
    #[arg(long, value_enum, default_value_t = ReleaseKind::Model)]
    kind: ReleaseKind,
    /// Percentages of the group, one a stage.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 25, 100])]
    stages: Vec<u32>,
    /// How long a stage has to be well before the next begins: 90s, 30m, 12h.
    #[arg(long, default_value = "30m")]
    hold: String,
    /// Nodes that may fail before it stops.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    max_failures: u32,
    /// The root that releases are checked with.
    #[arg(long, value_name = "FILE", env = "FIELDMARK_ROOT")]
    root: PathBuf,
    /// Where releases are listed: `mqtt` for the broker, a path or a URL.
    #[arg(long, value_name = "PLACE", default_value = "mqtt")]
    repository: String,
    /// Begin, and leave the driving to `rollout drive`.
    #[arg(long)]
    detach: bool,
}

pub(super) fn execute(arguments: &RolloutArguments) -> Result<(), Failure> {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &arguments.command {
        RolloutCommand::Start(arguments) => threads.block_on(start(arguments)),
        RolloutCommand::Drive(arguments) => threads.block_on(drive(arguments)),
        RolloutCommand::Status(arguments) => threads.block_on(status(arguments)),
        RolloutCommand::Pause(arguments) => {
            threads.block_on(turn(arguments, &[RolloutState::Running], RolloutState::Paused))
        }
        RolloutCommand::Resume(arguments) => {
            let from = [RolloutState::Paused, RolloutState::Stopped];
            threads.block_on(turn(arguments, &from, RolloutState::Running))
        }
        RolloutCommand::Abort(arguments) => {
            let from = [RolloutState::Running, RolloutState::Paused, RolloutState::Stopped];
            threads.block_on(turn(arguments, &from, RolloutState::Aborted))
        }
    }
}

pub(super) fn roll_back(arguments: &GroupArguments) -> Result<(), Failure> {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from = [
        RolloutState::Running,
        RolloutState::Paused,
        RolloutState::Stopped,
        RolloutState::Aborted,
        RolloutState::Done,
    ];
    threads.block_on(turn(arguments, &from, RolloutState::RolledBack))
}

async fn start(arguments: &StartArguments) -> Result<(), Failure> {
    let group = group_name("--group", &arguments.group).map_err(Failure::usage)?;
    let (name, version) = release_name(&arguments.release)?;
    let hold = duration(&arguments.hold)?;
    let rising =
        arguments.stages.is_sorted() && arguments.stages.iter().all(|&stage| (1..=100).contains(&stage));
    if !rising || arguments.stages.last() != Some(&100) {
        let rule = "--stages: give rising percentages that end in 100, such as 5,25,100";
        return Err(Failure::usage(anyhow::anyhow!(rule)));
    }
    let listed = find(arguments, &group, &name, &version).await?;
    let mqtt = settings(&arguments.broker)?;
    let mut coordinator = Coordinator::open(&mqtt, &passing_by("rollout"), arguments.kind, &group).await?;
    if let Some(present) =
        coordinator.desired.as_ref().filter(|desired| desired.state == RolloutState::Running)
    {
        return Err(anyhow::anyhow!(
            "the rollout of {} over {group} is running: drive it (fieldmark rollout drive) or call it off (abort)",
            present.release()
        )
        .into());
    }
    let rollout = ulid::Ulid::generate().to_string();
    let fleet = coordinator.fleet();
    if fleet.is_empty() && !arguments.detach {
        return Err(anyhow::anyhow!(
            "{}: no node of {group} is known to the broker; nodes are of the group that `update.group` of their \
             configuration names, and --detach begins it for nodes that come later",
            listed.release
        )
        .into());
    }
    let (hold, now) = (hold.as_secs(), jiff::Timestamp::now());
    let desired =
        begin(&listed.release, &rollout, &arguments.stages, hold, arguments.max_failures, &fleet, now);
    println!("{rollout}: {} to {} nodes of {group}", listed.release, fleet.len());
    coordinator.put(desired).await?;
    if arguments.detach {
        coordinator.close().await;
        return Ok(());
    }
    driven(coordinator).await
}

/// The signed release of that name.
async fn find(
    arguments: &StartArguments,
    group: &str,
    name: &str,
    version: &semver::Version,
) -> Result<Listed, Failure> {
    let root = std::fs::read(&arguments.root).map_err(|error| {
        let path = arguments.root.display();
        Failure::usage(anyhow::anyhow!("cannot read --root {path}: {error}; give the root nodes are given"))
    })?;
    let shelf = if arguments.repository == "mqtt" {
        let mqtt = settings(&arguments.broker)?;
        let mut feed =
            Feed::open(&mqtt, passing_by("rollout").client_id, &desired_topic(arguments.kind, group))?;
        let files = feed.metadata().await?;
        feed.close().await;
        Shelf::gathered(files)
    } else {
        Shelf::at(&arguments.repository).map_err(Failure::usage)?
    };
    let folder = std::env::temp_dir().join(format!("fieldmark-rollout-{}", ulid::Ulid::generate()));
    let trusted = Truster::new(root, &folder).verify(&shelf, jiff::Timestamp::now()).await;
    let _ = std::fs::remove_dir_all(&folder);
    let trusted = trusted?;
    trusted.named(arguments.kind, name, version).cloned().ok_or_else(|| {
        let all =
            trusted.releases.iter().map(|listed| listed.release.to_string()).collect::<Vec<_>>().join(", ");
        anyhow::anyhow!("{name}@{version} is not released; there are: {all}").into()
    })
}

async fn open(arguments: &GroupArguments) -> Result<Coordinator, Failure> {
    let group = group_name("--group", &arguments.group).map_err(Failure::usage)?;
    let mqtt = settings(&arguments.broker)?;
    Ok(Coordinator::open(&mqtt, &passing_by("rollout"), arguments.kind, &group).await?)
}

fn none(group: &str) -> Failure {
    anyhow::anyhow!("nothing was ever rolled out to {group}; begin with fieldmark rollout start").into()
}

async fn drive(arguments: &GroupArguments) -> Result<(), Failure> {
    let coordinator = open(arguments).await?;
    if coordinator.desired.is_none() {
        return Err(none(&arguments.group));
    }
    driven(coordinator).await
}

async fn driven(mut coordinator: Coordinator) -> Result<(), Failure> {
    let mut last = String::new();
    let ended = coordinator
        .drive(&mut |desired, fleet| {
            let line = summary(desired, fleet);
            if line != last {
                println!("{line}");
                last = line;
            }
        })
        .await?;
    coordinator.close().await;
    match ended {
        Some(desired) if desired.state == RolloutState::Stopped => {
            let reason = desired.reason.unwrap_or_default();
            Err(anyhow::anyhow!("stopped: {reason}; fieldmark rollback takes the nodes back that run it")
                .into())
        }
        Some(desired) if desired.state == RolloutState::Aborted => Err(anyhow::anyhow!(
            "aborted: no further node begins; fieldmark rollback takes the nodes back that run it"
        )
        .into()),
        Some(desired) if desired.state == RolloutState::RolledBack => {
            Err(anyhow::anyhow!("rolled back: the nodes return to the model before").into())
        }
        _ => Ok(()),
    }
}

async fn status(arguments: &GroupArguments) -> Result<(), Failure> {
    let coordinator = open(arguments).await?;
    let fleet = coordinator.fleet();
    let desired = coordinator.desired.clone().ok_or_else(|| none(&arguments.group))?;
    coordinator.close().await;
    if arguments.json {
        let nodes: std::collections::BTreeMap<_, _> = fleet
            .iter()
            .map(|(name, member)| {
                (name, serde_json::json!({ "status": member.status, "state": member.state }))
            })
            .collect();
        println!("{}", serde_json::json!({ "desired": desired, "nodes": nodes }));
        return Ok(());
    }
    println!("{}", summary(&desired, &fleet));
    for (name, member) in &fleet {
        let Some(state) = &member.state else { continue };
        let part = if desired.includes(name) { "takes part" } else { "waits" };
        let phase = serde_json::to_value(state.phase).unwrap_or_default();
        println!(
            "{}  {:8}  {:10}  {:12}  {} {}  {}",
            name.escape_debug(),
            member.status.as_deref().unwrap_or("unknown").escape_debug(),
            part,
            phase.as_str().unwrap_or_default(),
            state.running.name.escape_debug(),
            state.running.version.escape_debug(),
            state.error.as_deref().unwrap_or_default().escape_debug(),
        );
    }
    Ok(())
}

fn summary(desired: &Desired, fleet: &Fleet) -> String {
    let found = survey(desired, fleet);
    let state = serde_json::to_value(desired.state).unwrap_or_default();
    let reason =
        desired.reason.as_ref().map(|reason| format!(": {}", reason.escape_debug())).unwrap_or_default();
    format!(
        "{}  {}{reason}  stage {} of {}  {} of {} nodes take part: {} confirmed, {} failed, {} away",
        desired.release(),
        state.as_str().unwrap_or_default(),
        (desired.stage + 1).min(desired.stages.len()),
        desired.stages.len(),
        found.part,
        found.members,
        found.confirmed,
        found.failed,
        found.away
    )
}

async fn turn(arguments: &GroupArguments, from: &[RolloutState], to: RolloutState) -> Result<(), Failure> {
    let mut coordinator = open(arguments).await?;
    let mut desired = coordinator.desired.clone().ok_or_else(|| none(&arguments.group))?;
    if desired.state == to {
        println!("{}", summary(&desired, &coordinator.fleet()));
        return Ok(());
    }
    if !from.contains(&desired.state) {
        return Err(
            anyhow::anyhow!("that cannot be done now: {}", summary(&desired, &coordinator.fleet())).into()
        );
    }
    desired.state = to;
    (desired.reason, desired.well_since) = (None, None);
    if to == RolloutState::Running {
        // Nodes that failed are known to have; what resumes does so for the others.
        let failed = survey(&desired, &coordinator.fleet()).failed;
        desired.max_failures =
            desired.max_failures.max(u32::try_from(failed).unwrap_or(u32::MAX).saturating_add(1));
    }
    coordinator.put(desired.clone()).await?;
    println!("{}", summary(&desired, &coordinator.fleet()));
    coordinator.close().await;
    Ok(())
}

fn release_name(text: &str) -> Result<(String, semver::Version), Failure> {
    let parsed =
        text.split_once('@').and_then(|(name, version)| Some((name, semver::Version::parse(version).ok()?)));
    let (name, version) = parsed.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Failure::usage(anyhow::anyhow!("{text:?} is no release: give NAME@VERSION, such as garden@0.2.0"))
    })?;
    Ok((name.into(), version))
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let wrong =
        || Failure::usage(anyhow::anyhow!("--hold {text:?}: give a number with s, m, h or d, such as 30m"));
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = number.parse().map_err(|_| wrong())?;
    count
        .checked_mul(seconds)
        .filter(|&seconds| seconds <= 366 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_releases_are_read_or_refused() {
        assert_eq!(duration("30m").ok(), Some(Duration::from_secs(1800)));
        assert_eq!(duration("0s").ok(), Some(Duration::ZERO));
        for wrong in ["", "30", "m", "1w", "-1s", "99999999999999999999s", "1µ"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(release_name("a-b@1.2.3").ok().map(|(name, _)| name), Some("a-b".into()));
        assert!(release_name("a").is_err() && release_name("@1.0.0").is_err());
    }
}
