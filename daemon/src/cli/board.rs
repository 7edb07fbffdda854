//! The newest answer of every camera, as a table for a terminal.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::printable::printable;
use crate::publish::messages::Detection;

/// What was heard last of every node and camera.
#[derive(Debug, Default)]
pub(super) struct Board {
    statuses: BTreeMap<String, String>,
    newest: BTreeMap<(String, String), Row>,
}

#[derive(Debug)]
struct Row {
    taxon: String,
    rank: String,
    probability: f64,
    /// When the frame was taken; none where the message has no such time.
    time: Option<Timestamp>,
    events: u64,
    /// The newest event comes twice: as it happens, and retained.
    id: String,
}

impl Board {
    /// A node says how it is.
    pub(super) fn status(&mut self, node: &str, status: &str) {
        self.statuses.insert(node.into(), status.into());
    }

    /// A camera answers. Of two answers the one of the newer frame stays: those of an outage come late.
    pub(super) fn detection(&mut self, detection: &Detection) {
        let place = (detection.node.clone(), detection.camera.clone());
        let time = detection.time.parse().ok();
        let before = self.newest.get(&place);
        if before.is_some_and(|row| row.id == detection.id) {
            return;
        }
        let events = before.map_or(0, |row| row.events) + 1;
        let row = Row {
            taxon: detection.taxon.name.clone(),
            rank: detection.taxon.rank.clone(),
            probability: detection.probability,
            time,
            events,
            id: detection.id.clone(),
        };
        match self.newest.get_mut(&place) {
            Some(before) if before.time > time => before.events = events,
            _ => {
                self.newest.insert(place, row);
            }
        }
    }

    /// The lines of the table at `now`, each at most `width` characters; what is left of the width is the taxon's.
    pub(super) fn lines(&self, now: Timestamp, width: usize) -> Vec<String> {
        let row = |cells: [&str; 8]| row(cells, width.saturating_sub(OTHERS).clamp(14, 40));
        let mut lines = vec![row(["NODE", "CAMERA", "TAXON", "RANK", "PROB", "AGE", "STATUS", "EVENTS"])];
        for ((node, camera), answer) in &self.newest {
            let status = self.statuses.get(node).map_or("unknown", String::as_str);
            let probability = format!("{:.2}", answer.probability);
            let age = answer.time.map_or_else(|| "?".into(), |time| age(now, time));
            let events = answer.events.to_string();
            let Row { taxon, rank, .. } = answer;
            lines.push(row([node, camera, taxon, rank, &probability, &age, status, &events]));
        }
        let silent =
            self.statuses.iter().filter(|(node, _)| !self.newest.keys().any(|(heard, _)| heard == *node));
        lines.extend(silent.map(|(node, status)| row([node, "", "", "", "", "", status, ""])));
        for line in &mut lines {
            *line = printable(line).chars().take(width).collect();
        }
        lines
    }
}

/// Characters of all columns but the taxon's.
const OTHERS: usize = 61;

fn row([node, camera, taxon, rank, probability, age, status, events]: [&str; 8], width: usize) -> String {
    let line = format!(
        "{node:12.12} {camera:10.10} {taxon:width$.width$} {rank:7.7} {probability:>4} {age:>6}  {status:8.8} {events:>6}"
    );
    line.trim_end().to_owned()
}

/// In the largest unit that is not zero. A clock ahead of ours is no negative age.
fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// The time is its id too.
    fn detection(camera: &str, taxon: &str, time: &str) -> Detection {
        let event = serde_json::json!({
            "v": 1, "id": time, "boot": "01JDBZ3V7WQ2M0X5C8R9T4K6HA", "seq": 812,
            "type": "new", "node": "n1", "camera": camera, "time": time, "time_source": "ntp", "replay": false,
            "taxon": {"id": "t", "name": taxon, "rank": "genus", "depth": 1, "lineage": [taxon]},
            "probability": 0.93, "threshold": 0.88, "stop": "threshold",
            "best_leaf": {"name": taxon, "probability": 0.41}, "track": {"id": 7, "hits": 9},
            "region": {"box": [0.0, 0.0, 1.0, 1.0], "name": "region"}, "watch": [],
            "model": {"name": "toy", "version": "0.1.0", "sha256": "00".repeat(32)},
            "engine": "tract-f32", "latency_ms": 18.2,
        });
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn every_camera_has_one_line_with_its_newest_answer_and_its_age() {
        let mut board = Board::default();
        board.status("n1", "online");
        board.status("n2", "offline");
        board.detection(&detection("pond", "Apis mellifera", "2026-11-23T05:00:00Z"));
        board.detection(&detection("pond", "Quercus", "2026-11-23T05:10:00Z"));
        // An answer from before an outage comes late and is not the newest.
        board.detection(&detection("pond", "Plantae", "2026-11-23T05:05:00Z"));
        board.detection(&detection("gate", "Rosa", "no time"));
        board.detection(&detection("gate", "Rosa", "no time"));
        let lines = board.lines(at("2026-11-23T05:12:30Z"), 200);
        assert_eq!(lines.len(), 4, "{lines:#?}");
        let gate = lines[1].split_whitespace().collect::<Vec<_>>();
        assert!(
            lines[1].contains("gate") && gate.ends_with(&["?", "online", "1"]),
            "retained, it comes again: {lines:#?}"
        );
        let pond = lines[2].split_whitespace().collect::<Vec<_>>();
        assert!(lines[2].contains("Quercus") && pond.ends_with(&["2", "min", "online", "3"]), "{lines:#?}");
        assert!(lines[3].starts_with("n2") && lines[3].ends_with("offline"), "{lines:#?}");
        assert!(board.lines(at("2026-11-23T05:12:30Z"), 20).iter().all(|line| line.chars().count() <= 20));
    }

    #[test]
    fn an_age_is_short_and_never_negative() {
        let then = at("2026-11-23T05:00:00Z");
        let later =
            |seconds: i64| age(Timestamp::from_second(then.as_second() + seconds).expect("a time"), then);
        assert_eq!(
            [later(-9), later(59), later(60), later(7200), later(200_000)],
            ["0 s", "59 s", "1 min", "2 h", "2 d"]
        );
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut board = Board::default();
        board.status("\x1b[2J", "on\nline");
        assert!(
            board.lines(Timestamp::UNIX_EPOCH, 200).iter().all(|line| !line.chars().any(char::is_control))
        );
    }
}
