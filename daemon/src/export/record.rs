//! The record of a survey, track by track.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::{ExportError, Occurrence};
use crate::publish::messages::Detection;

/// Which events are taken; what is absent takes all.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Of this node.
    pub node: Option<String>,
    /// Of this camera.
    pub camera: Option<String>,
    /// Of this start of the daemon.
    pub boot: Option<String>,
    /// From this time on: RFC 3339, UTC.
    pub since: Option<String>,
    /// Until before this time.
    pub until: Option<String>,
}

const EVENTS: &str = "SELECT message FROM event
    WHERE (?1 IS NULL OR node = ?1) AND (?2 IS NULL OR camera = ?2) AND (?3 IS NULL OR boot = ?3)
      AND (?4 IS NULL OR time >= ?4) AND (?5 IS NULL OR time < ?5)
    ORDER BY node, boot, camera, track, seq";

/// The tracks in the record at `path`, and how many of its events nobody can read.
///
/// # Errors
/// If it is no such record.
pub fn read(path: &Path, choice: &Choice) -> Result<(Vec<Occurrence>, usize), ExportError> {
    let failed = |source| ExportError::Record { path: path.into(), source };
    // Not to be made where it is not there.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let Choice { node, camera, boot, since, until } = choice;
    let mut statement = connection.prepare(EVENTS).map_err(failed)?;
    let mut rows = statement.query(params![node, camera, boot, since, until]).map_err(failed)?;
    let (mut occurrences, mut unreadable): (Vec<Occurrence>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let message: String = row.get(0).map_err(failed)?;
        let Ok(event) = serde_json::from_str::<Detection>(&message) else {
            unreadable += 1;
            continue;
        };
        match occurrences.last_mut().filter(|before| is_same(&before.last, &event)) {
            Some(before) => before.last = event,
            None => occurrences.push(Occurrence { first_seen: event.time.clone(), last: event }),
        }
    }
    Ok((occurrences, unreadable))
}

fn is_same(one: &Detection, other: &Detection) -> bool {
    (&one.node, &one.boot, &one.camera, one.track.id)
        == (&other.node, &other.boot, &other.camera, other.track.id)
}
