//! What is told of what is seen: tracks, alerts, pictures; and what may be asked.

use std::collections::BTreeSet;
use std::time::Duration;

use super::command::CommandKind;
use super::raw::{RawCamera, RawCommands, RawSnapshot, RawWatch};
use super::refusal::{ConfigError, number, refuse, whole};
use crate::alert::{AlertRules, NoveltyKind};
use crate::track::TrackRules;

/// Pictures of what cameras see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Least time between two pictures of events of a camera; `None` takes none of events.
    pub every: Option<Duration>,
    /// Greatest width, pixels.
    pub width: u32,
    /// Greatest size, bytes.
    pub max_bytes: usize,
}

pub(super) fn snapshot(raw: &RawSnapshot, metered: bool) -> Result<SnapshotConfig, ConfigError> {
    let every = number("snapshot.every_s", raw.every_s)?;
    if metered && every > 0.0 {
        return refuse("snapshot.every_s", every, "remove it: mqtt.metered sends no pictures of events");
    }
    Ok(SnapshotConfig {
        every: (every > 0.0).then(|| Duration::from_secs_f64(every)),
        width: whole("snapshot.width", raw.width)?,
        max_bytes: (whole("snapshot.max_kb", raw.max_kb)? as usize) << 10,
    })
}

pub(super) fn watch(raw: &RawWatch) -> Result<AlertRules, ConfigError> {
    let names = NoveltyKind::ALL.map(NoveltyKind::name);
    let kind = |name: &String| match NoveltyKind::ALL.into_iter().find(|kind| kind.name() == name) {
        Some(kind) => Ok(kind),
        None => refuse("watch.novelty", format!("{name:?}"), format!("give any of {}", names.join(", "))),
    };
    let cooldown = number("watch.cooldown_s", raw.cooldown_s)?;
    Ok(AlertRules {
        taxa: raw.taxa.clone(),
        novelty: raw.novelty.iter().map(kind).collect::<Result<_, _>>()?,
        cooldown: Duration::from_secs_f64(cooldown),
    })
}

pub(super) fn commands(raw: &RawCommands) -> Result<BTreeSet<CommandKind>, ConfigError> {
    let kind = |name: &String| match CommandKind::from_name(name) {
        Some(kind) => Ok(kind),
        None => {
            let known = CommandKind::ALL.map(CommandKind::name).join(", ");
            refuse("commands.allow", format!("{name:?}"), format!("give any of {known}"))
        }
    };
    raw.allow.iter().map(kind).collect()
}

/// What is followed where nothing is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    /// Tracks are the rule for cameras; the pictures of a folder have nothing to do with each other, unless they are
    /// taken over ground.
    pub(super) by_default: bool,
    /// Organisms are told apart by where on the ground they are: the next pass over them may be minutes away.
    pub(super) by_ground: bool,
    /// A frame has several regions.
    pub(super) several: bool,
}

pub(super) fn tracks(
    key: &impl Fn(&str) -> String,
    raw: &RawCamera,
    following: Following,
) -> Result<Option<TrackRules>, ConfigError> {
    if !raw.tracks.unwrap_or(following.by_default) {
        let idle = raw.track_gap_s.map(|_| "track_gap_s").or(raw.track_max_s.map(|_| "track_max_s"));
        return match idle {
            Some(idle) => refuse(key(idle), "…", "remove it, or set tracks = true"),
            None => Ok(None),
        };
    }
    let (gap, longest, most) = match following {
        Following { by_ground: true, .. } => (600.0, 86_400.0, 2048),
        Following { several: true, .. } => (3.0, 300.0, 64),
        _ => (3.0, 300.0, 8),
    };
    let gap = number(key("track_gap_s"), raw.track_gap_s.or(Some(gap)))?;
    let longest = number(key("track_max_s"), raw.track_max_s.or(Some(longest)))?;
    Ok(Some(TrackRules {
        gap: Duration::from_secs_f64(gap),
        longest: Duration::from_secs_f64(longest),
        most,
    }))
}
