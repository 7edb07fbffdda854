//! Everything the page shows, as JSON.

use serde_json::{Value, json};

use super::Shared;
use crate::capture::CameraState;
use crate::config::CommandKind;
use crate::decide::Sureness;
use crate::publish::messages::wire_time;

/// Tracks shown.
const TRACKS: usize = 24;

/// What the page shows now.
pub(super) fn state(shared: &Shared) -> Value {
    let sources = &shared.sources;
    let reported = sources.observer.reported();
    let machine = (sources.machine)();
    let cameras: Vec<_> = (0..sources.equipment.cameras.len()).map(|number| camera(shared, number)).collect();
    json!({
        "node": sources.node,
        "time": wire_time(jiff::Timestamp::now()),
        "info": reported.info,
        "model": reported.model,
        "dial": dial(shared),
        "watch": sources.equipment.settings.get().watch,
        "commands": commands(shared),
        "read_only": shared.read_only,
        "cameras": cameras,
        "tracks": sources.observer.tracks(TRACKS),
        "day": sources.observer.day(),
        "outbox": sources.equipment.outbox.counts(),
        "broker": sources.connection.now(),
        "machine": machine,
        "disk": disk(shared),
        "viewers": { "live": shared.live.viewers(), "pages": shared.bulletin.readers() },
    })
}

fn camera(shared: &Shared, number: usize) -> Value {
    let sources = &shared.sources;
    let name = sources.equipment.cameras.get(number);
    let settings = sources.equipment.settings.get();
    let own = settings.cameras.get(number).cloned().unwrap_or_default();
    let status = sources.observer.reported().cameras.into_iter().nth(number).flatten();
    let counts = name.and_then(|name| sources.frames.counts(&sources.equipment.cameras).get(name).copied());
    json!({
        "name": name,
        "state": if own.paused { Some(CameraState::Paused) } else { status.as_ref().map(|status| status.state) },
        "status": status,
        "frames": counts,
        "region": own.region.map(fieldmark_models::views::FractionBox::edges),
        "gate": own.gate.in_full(),
        "decision": sources.observer.seen(number),
        "drift": sources.observer.reported().drifts.into_iter().nth(number).flatten(),
    })
}

/// How sure answers have to be, and what may be asked for instead.
fn dial(shared: &Shared) -> Value {
    let vocabulary = shared.sources.equipment.vocabulary.load();
    let settings = shared.sources.equipment.settings.get();
    let points = vocabulary.calibration.curve().iter().map(|point| {
        json!({
            "target": point.target,
            "threshold": point.threshold_for(settings.dial.guarantee).value(),
            "accuracy": point.accuracy,
            "accuracy_low": point.accuracy_low,
            "accuracy_high": point.accuracy_high,
            "mean_depth": point.mean_depth,
            "ranks": point.ranks,
        })
    });
    let asked = match settings.dial.everywhere {
        Sureness::Target(target) => json!({ "target": target }),
        Sureness::Threshold(threshold) => json!({ "threshold": threshold.value() }),
    };
    json!({ "asked": asked, "points": points.collect::<Vec<_>>(), "pictures": vocabulary.calibration.n() })
}

/// What may be asked for here.
fn commands(shared: &Shared) -> Vec<&'static str> {
    let allowed =
        |kind: &CommandKind| !shared.read_only && shared.sources.equipment.allow.load().contains(kind);
    CommandKind::ALL.into_iter().filter(allowed).map(CommandKind::name).collect()
}

/// Room where events are kept.
pub(super) fn disk(shared: &Shared) -> Value {
    let Some(folder) = &shared.sources.folder else { return Value::Null };
    match rustix::fs::statvfs(folder) {
        Ok(found) => json!({
            "free_bytes": found.f_bavail.saturating_mul(found.f_frsize),
            "size_bytes": found.f_blocks.saturating_mul(found.f_frsize),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}
