//! What every node last said, as rows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::capture::CameraState;
use crate::publish::messages::{CameraStatus, Drift, DriftState, Info, Metrics, ModelState, wire_time};
use crate::publish::topics::{Heard, heard};
use crate::rollout::Desired;

/// Nodes kept; messages of further ones are passed over and counted.
const NODES: usize = 50_000;
/// Cameras of a node kept.
const CAMERAS: usize = 64;
/// Longest text taken from a message for a cell.
const TEXT: usize = 300;

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub node: String,
    /// `online`, `stopped`, `offline`; empty where it never said.
    pub status: String,
    /// When it was last heard of: RFC 3339, UTC, milliseconds; empty where nothing tells.
    pub seen: String,
    /// Name and version of the model that answers.
    pub model: String,
    /// The engine that runs it.
    pub engine: String,
    /// Version of the daemon.
    pub version: String,
    /// The cut-off in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The group it follows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// How far an update is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// How far that is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// The release that is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub desired: String,
    /// Name and version of the configuration that came by a rollout.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// How far an update of that is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config_phase: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Cameras, and how each is.
    pub cameras: BTreeMap<String, String>,
    /// Cameras that depart, and in what.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<String, String>,
    /// Decisions a second, of all cameras.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Events that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// The hottest zone, degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hottest: Option<f64>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct FleetTable {
    rows: BTreeMap<String, (u64, Row)>,
    rollouts: BTreeMap<String, Desired>,
    revision: u64,
    rollouts_at: u64,
    passed_over: u64,
}

impl FleetTable {
    /// Takes a message in, heard at `now`. What cannot be read is passed over: it says nothing.
    pub fn hear(&mut self, topic: &str, payload: &[u8], retained: bool, now: jiff::Timestamp) {
        if let Some(group) = topic.strip_prefix("fieldmark/fleet/") {
            return self.rolled(group, payload);
        }
        let (node, told) = match heard(topic) {
            Heard::Status(node) => (node, of_text(payload, |row: &mut Row, text| row.status = text)),
            Heard::Info(node) => (node, of(payload, informed)),
            Heard::ModelState(node) => (node, of(payload, updated)),
            Heard::CameraStatus(node, camera) => {
                (node, of(payload, |row, status| filmed(row, camera, &status)))
            }
            Heard::Drift(node, camera) => (node, of(payload, |row, drift| drifted(row, camera, &drift))),
            Heard::ConfigState(node) => (node, of(payload, configured)),
            Heard::Detection(..) | Heard::Last(..) => return,
            Heard::Other => match topic.split('/').collect::<Vec<_>>().as_slice() {
                ["fieldmark", node, "metrics"] => (*node, of(payload, measured)),
                _ => return,
            },
        };
        let Some(told) = told else { return };
        if self.rows.len() >= NODES && !self.rows.contains_key(node) {
            self.passed_over += 1;
            return;
        }
        self.revision += 1;
        let (at, row) = self.rows.entry(node.into()).or_default();
        row.node = node.into();
        let said = told(row);
        // What the broker kept was said at some time before: what its message tells counts, where that is later.
        let time = if retained { said.unwrap_or_default() } else { wire_time(now) };
        if time > row.seen {
            row.seen = time;
        }
        *at = self.revision;
    }

    fn rolled(&mut self, topic: &str, payload: &[u8]) {
        let Some(group) = topic.strip_suffix("/desired") else { return };
        self.revision += 1;
        self.rollouts_at = self.revision;
        match serde_json::from_slice(payload) {
            Ok(desired) => _ = self.rollouts.insert(group.into(), desired),
            // An empty message takes it back.
            Err(_) => _ = self.rollouts.remove(group),
        }
    }

    /// Changes with every message that counted.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Rows that have changed since `revision`.
    pub fn since(&self, revision: u64) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(move |(at, _)| *at > revision).map(|(_, row)| row)
    }

    /// What groups are to run, where that has changed since `revision`.
    #[must_use]
    pub fn rollouts_since(&self, revision: u64) -> Option<&BTreeMap<String, Desired>> {
        (self.rollouts_at > revision).then_some(&self.rollouts)
    }

    /// Messages of nodes that had no room.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

/// What a message changes of its node's row, and when it says that it was written.
type Told<'a> = Box<dyn FnOnce(&mut Row) -> Option<String> + 'a>;

fn of<'a, M: DeserializeOwned + 'a>(
    payload: &[u8],
    change: impl FnOnce(&mut Row, M) -> Option<String> + 'a,
) -> Option<Told<'a>> {
    let message: M = serde_json::from_slice(payload).ok()?;
    Some(Box::new(move |row| change(row, message)))
}

fn of_text<'a>(payload: &[u8], change: impl FnOnce(&mut Row, String) + 'a) -> Option<Told<'a>> {
    let text = short(std::str::from_utf8(payload).ok()?);
    Some(Box::new(move |row| {
        change(row, text);
        None
    }))
}

fn short(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

/// As the wire has it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(Into::into)).unwrap_or_default()
}

fn informed(row: &mut Row, info: Info) -> Option<String> {
    row.model = short(&format!("{} {}", info.model.name, info.model.version));
    (row.engine, row.version) = (short(&info.engine), short(&info.fieldmark));
    row.threshold = Some(info.threshold);
    row.cameras.retain(|camera, _| info.cameras.contains(camera));
    row.drift.retain(|camera, _| info.cameras.contains(camera));
    for camera in info.cameras.into_iter().take(CAMERAS) {
        row.cameras.entry(camera).or_default();
    }
    Some(info.started)
}

fn updated(row: &mut Row, state: ModelState) -> Option<String> {
    row.model = short(&format!("{} {}", state.running.name, state.running.version));
    (row.phase, row.progress) = (word(&state.phase), state.progress);
    row.group = short(&state.group.unwrap_or_default());
    row.error = short(&state.error.unwrap_or_default());
    let running = state.running.sha256;
    let other = state.desired.filter(|desired| desired.sha256 != running);
    row.desired =
        other.map(|desired| short(&format!("{} {}", desired.name, desired.version))).unwrap_or_default();
    state.since
}

fn configured(row: &mut Row, state: ModelState) -> Option<String> {
    row.config = short(&format!("{} {}", state.running.name, state.running.version));
    row.config_phase = word(&state.phase);
    state.since
}

fn filmed(row: &mut Row, camera: &str, status: &CameraStatus) -> Option<String> {
    if row.cameras.len() < CAMERAS || row.cameras.contains_key(camera) {
        let reason = status.reason.as_ref().filter(|_| status.state == CameraState::Lost);
        let state = word(&status.state);
        let text = reason.map_or_else(|| state.clone(), |reason| format!("{state}: {reason}"));
        row.cameras.insert(camera.into(), short(&text));
    }
    Some(status.since.clone())
}

fn drifted(row: &mut Row, camera: &str, drift: &Drift) -> Option<String> {
    if drift.state == DriftState::Departed && row.drift.len() < CAMERAS {
        row.drift.insert(camera.into(), short(&drift.reasons.join(", ")));
    } else {
        row.drift.remove(camera);
    }
    Some(drift.time.clone())
}

fn measured(row: &mut Row, metrics: Metrics) -> Option<String> {
    let rate: f64 = metrics.rates.values().map(|rates| rates.inferred_hz).sum();
    row.rate = Some((rate * 100.0).round() / 100.0);
    row.waiting = Some(metrics.queue.waiting);
    row.hottest = metrics.temperatures_c.into_values().max_by(f64::total_cmp);
    Some(metrics.time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-11-25T05:00:00.000Z";

    fn hear(table: &mut FleetTable, topic: &str, payload: &str, retained: bool) {
        table.hear(topic, payload.as_bytes(), retained, NOW.parse().expect("a time"));
    }

    fn row(table: &FleetTable) -> Row {
        table.since(0).next().expect("a row").clone()
    }

    #[test]
    fn a_node_is_what_it_last_said() {
        let mut table = FleetTable::default();
        hear(&mut table, "fieldmark/n1/status", "online", true);
        assert_eq!((row(&table).status.as_str(), row(&table).seen.as_str()), ("online", ""));
        let status = r#"{"v":1,"state":"lost","since":"2026-11-24T01:00:00.000Z","format":"MJPG","losses":3,"reason":"no frame"}"#;
        hear(&mut table, "fieldmark/n1/pond/status", status, true);
        assert_eq!(row(&table).cameras["pond"], "lost: no frame");
        assert_eq!(row(&table).seen, "2026-11-24T01:00:00.000Z", "as old as what the broker kept");
        hear(&mut table, "fieldmark/n1/status", "offline", false);
        assert_eq!((row(&table).status.as_str(), row(&table).seen.as_str()), ("offline", NOW));
    }

    #[test]
    fn only_what_changed_is_told_again() {
        let mut table = FleetTable::default();
        for node in 0..100 {
            hear(&mut table, &format!("fieldmark/n{node}/status"), "online", true);
        }
        let before = table.revision();
        hear(&mut table, "fieldmark/n7/status", "offline", false);
        hear(&mut table, "fieldmark/n7/detection", "{}", false);
        hear(&mut table, "fieldmark/n9/info", "no JSON", false);
        let changed: Vec<_> = table.since(before).map(|row| row.node.as_str()).collect();
        assert_eq!((changed, table.since(0).count()), (vec!["n7"], 100));
        assert!(table.rollouts_since(0).is_none());
    }

    proptest! {
        #[test]
        fn no_message_brings_the_table_down(levels in proptest::collection::vec("[a-z/+#]{0,9}", 0..5), payload: Vec<u8>) {
            let mut table = FleetTable::default();
            let topic = format!("fieldmark/{}", levels.join("/"));
            table.hear(&topic, &payload, false, jiff::Timestamp::UNIX_EPOCH);
            for topic in ["n/status", "n/info", "n/metrics", "n/model/state", "n/c/status", "n/c/drift", "fleet/g/desired"] {
                table.hear(&format!("fieldmark/{topic}"), &payload, true, jiff::Timestamp::UNIX_EPOCH);
            }
            prop_assert!(table.since(0).count() <= 2);
        }
    }
}
