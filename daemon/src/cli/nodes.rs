//! `fieldmark nodes`: what the broker keeps of every node.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::listen::listen;
use super::{BrokerArguments, Failure};
use crate::publish::messages::{Info, ModelState};
use crate::publish::topics::{Heard, heard};

#[derive(Debug, Args)]
pub(super) struct NodesArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Seconds to wait for the broker's answers.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    wait: f64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Default)]
struct Node {
    status: Option<String>,
    info: Option<Info>,
    state: Option<ModelState>,
}

pub(super) fn execute(arguments: &NodesArguments) -> Result<(), Failure> {
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let wait = Duration::try_from_secs_f64(arguments.wait).map_err(Failure::usage)?;
    let filters = ["fieldmark/+/status", "fieldmark/+/info", "fieldmark/+/model/state"];
    listen(&arguments.broker, &filters, Some(wait), |topic, payload| match heard(topic) {
        Heard::Status(node) => {
            nodes.entry(node.into()).or_default().status =
                Some(String::from_utf8_lossy(payload).escape_debug().to_string());
        }
        Heard::Info(node) => {
            nodes.entry(node.into()).or_default().info = serde_json::from_slice(payload).ok();
        }
        Heard::ModelState(node) => {
            nodes.entry(node.into()).or_default().state = serde_json::from_slice(payload).ok();
        }
        Heard::ConfigState(_)
        | Heard::Detection(..)
        | Heard::Last(..)
        | Heard::CameraStatus(..)
        | Heard::Drift(..)
        | Heard::Other => {}
    })?;
    if nodes.is_empty() && !arguments.json {
        println!("the broker knows of no node");
    }
    let width = nodes.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    if !arguments.json && !nodes.is_empty() {
        println!(
            "{:width$}  {:8}  {:20}  {:12}  {:>4}  {:>7}",
            "NODE", "STATUS", "MODEL", "PHASE", "DONE", "AGE"
        );
    }
    for (name, node) in nodes {
        print(&name, &node, arguments.json, width);
    }
    Ok(())
}

fn print(name: &str, node: &Node, json: bool, width: usize) {
    let status = node.status.as_deref().unwrap_or("unknown");
    if json {
        let line =
            serde_json::json!({ "node": name, "status": status, "info": node.info, "model": node.state });
        println!("{line}");
        return;
    }
    let model =
        node.info.as_ref().map(|info| &info.model).or(node.state.as_ref().map(|state| &state.running));
    let model = model.map(|model| format!("{} {}", model.name, model.version)).unwrap_or_default();
    let state = node.state.as_ref();
    let phase = state.and_then(|state| serde_json::to_value(state.phase).ok());
    let phase = phase.as_ref().and_then(|phase| phase.as_str()).unwrap_or_default();
    let done = state.and_then(|state| state.progress).map(|done| format!("{:.0} %", done * 100.0));
    // Of the phase where there is one, of the daemon's run otherwise.
    let since = state
        .and_then(|state| state.since.as_deref())
        .or(node.info.as_ref().map(|info| info.started.as_str()));
    let what =
        node.info.as_ref().map(|info| format!("{}  cameras: {}", info.engine, info.cameras.join(", ")));
    let mut rest = what.unwrap_or_default();
    if let Some(state) = state {
        if let Some(desired) = state.desired.as_ref().filter(|desired| desired.sha256 != state.running.sha256)
        {
            rest += &format!("  -> {} {}", desired.name, desired.version);
        }
        if let Some(error) = &state.error {
            rest += &format!("  {error}");
        }
    }
    println!(
        "{:width$}  {status:8}  {:20}  {phase:12}  {:>4}  {:>7}  {}",
        name.escape_debug().to_string(),
        model.escape_debug().to_string(),
        done.unwrap_or_default(),
        since.and_then(age).unwrap_or_default(),
        rest.escape_debug()
    );
}

/// How long ago `time` was, in its largest unit.
fn age(time: &str) -> Option<String> {
    let time: jiff::Timestamp = time.parse().ok()?;
    let seconds = jiff::Timestamp::now().duration_since(time).as_secs().max(0);
    Some(match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    })
}
