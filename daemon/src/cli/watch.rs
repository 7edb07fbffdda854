//! `fieldmark watch`: a live table in a terminal, a line an event elsewhere.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use console::Term;
use jiff::Timestamp;

use super::board::Board;
use super::listen::listen;
use super::printable::printable;
use super::{BrokerArguments, Failure};
use crate::publish::messages::Detection;
use crate::publish::topics::{Heard, heard};

#[derive(Debug, Args)]
pub(super) struct WatchArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// One JSON object a line: topic and message, events only.
    #[arg(long)]
    json: bool,
    /// A line an event in a terminal too, instead of the live table.
    #[arg(long)]
    lines: bool,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Between two drawings of the live table: ages change by the second.
const REDRAW: Duration = Duration::from_secs(1);

pub(super) fn execute(arguments: &WatchArguments) -> Result<(), Failure> {
    let terminal = Term::stdout();
    if terminal.is_term() && !arguments.json && !arguments.lines {
        live(arguments, terminal)
    } else {
        lines(arguments)
    }
}

fn lines(arguments: &WatchArguments) -> Result<(), Failure> {
    let mut left = arguments.count;
    if !arguments.json {
        print_line(&row("TIME", "NODE/CAMERA", "TAXON", "RANK", "PROB", "LINEAGE"));
    }
    listen(&arguments.broker, &["fieldmark/+/status", "fieldmark/+/+/detection"], None, |topic, payload| {
        if let Some(line) = line(topic, payload, arguments.json) {
            print_line(&line);
        }
        if matches!(heard(topic), Heard::Detection(..)) {
            left = left.map(|left| left.saturating_sub(1));
        }
        if left == Some(0) {
            std::process::exit(0);
        }
    })
}

/// What the broker retains fills the table at once; a thread draws it again every second.
fn live(arguments: &WatchArguments, terminal: Term) -> Result<(), Failure> {
    let board = Arc::new(Mutex::new(Board::default()));
    let shown = Arc::clone(&board);
    std::thread::spawn(move || {
        let mut before = 0;
        loop {
            let lines = shown
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .lines(Timestamp::now(), terminal.size().1.into());
            let drawn =
                terminal.clear_last_lines(before).and_then(|()| terminal.write_line(&lines.join("\n")));
            if drawn.is_err() {
                std::process::exit(0);
            }
            before = lines.len();
            std::thread::sleep(REDRAW);
        }
    });
    let mut left = arguments.count;
    let topics = ["fieldmark/+/status", "fieldmark/+/+/detection", "fieldmark/+/+/last"];
    listen(&arguments.broker, &topics, None, |topic, payload| {
        let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
        match heard(topic) {
            Heard::Status(node) => board.status(node, &String::from_utf8_lossy(payload)),
            Heard::Detection(..) | Heard::Last(..) => {
                // What is no event is left out of a table of newest answers; `--lines` tells of it.
                let Ok(detection) = serde_json::from_slice::<Detection>(payload) else { return };
                board.detection(&detection);
            }
            Heard::Info(_)
            | Heard::ModelState(_)
            | Heard::ConfigState(_)
            | Heard::CameraStatus(..)
            | Heard::Drift(..)
            | Heard::Other => return,
        }
        if matches!(heard(topic), Heard::Detection(..)) {
            left = left.map(|left| left.saturating_sub(1));
        }
        if left == Some(0) {
            std::process::exit(0);
        }
    })
}

/// Ends quietly when whoever read the table is gone.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn line(topic: &str, payload: &[u8], json: bool) -> Option<String> {
    match heard(topic) {
        Heard::Detection(..) if json => {
            let message: serde_json::Value = serde_json::from_slice(payload).ok()?;
            Some(serde_json::json!({ "topic": topic, "message": message }).to_string())
        }
        Heard::Detection(node, camera) => Some(match serde_json::from_slice::<Detection>(payload) {
            Ok(detection) => detection_row(&detection),
            Err(error) => row("", &format!("{node}/{camera}"), "?", "", "", &format!("unreadable: {error}")),
        }),
        Heard::Status(node) if !json => {
            Some(row("", node, &format!("({})", printable(&String::from_utf8_lossy(payload))), "", "", ""))
        }
        _ => None,
    }
}

fn detection_row(detection: &Detection) -> String {
    let taxon = &detection.taxon;
    let time = detection.time.get(11..19).unwrap_or(&detection.time);
    let stop = serde_json::to_string(&detection.stop).unwrap_or_default();
    let lineage = format!("{}  stop: {}", taxon.lineage.join(" > "), stop.trim_matches('"'));
    let place = format!("{}/{}", detection.node, detection.camera);
    row(time, &place, &taxon.name, &taxon.rank, &format!("{:.2}", detection.probability), &lineage)
}

fn row(time: &str, place: &str, taxon: &str, rank: &str, probability: &str, lineage: &str) -> String {
    let line = format!("{time:8}  {place:20}  {taxon:28}  {rank:8}  {probability:4}  {lineage}");
    printable(line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_over_the_wire_cannot_steer_the_terminal() {
        let line = line("fieldmark/n1/status", b"\x1b[2Jgone", false).expect("a line");
        assert!(!line.contains('\x1b') && line.contains("gone"), "{line:?}");
    }

    #[test]
    fn a_message_that_is_none_is_told_as_such() {
        let line = line("fieldmark/n1/pond/detection", b"{", false).expect("a line");
        assert!(line.contains("n1/pond") && line.contains("unreadable"), "{line}");
    }
}
