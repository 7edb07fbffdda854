//! `fieldmark nodes`: what the broker keeps of every node.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::listen::listen;
use super::{BrokerArguments, Failure};
use crate::publish::messages::Info;
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
}

pub(super) fn execute(arguments: &NodesArguments) -> Result<(), Failure> {
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let wait = Duration::try_from_secs_f64(arguments.wait).map_err(Failure::usage)?;
    listen(&arguments.broker, &["fieldmark/+/status", "fieldmark/+/info"], Some(wait), |topic, payload| {
        match heard(topic) {
            Heard::Status(node) => {
                nodes.entry(node.into()).or_default().status =
                    Some(String::from_utf8_lossy(payload).escape_debug().to_string());
            }
            Heard::Info(node) => {
                nodes.entry(node.into()).or_default().info = serde_json::from_slice(payload).ok();
            }
            Heard::Detection(..) | Heard::Last(..) | Heard::Other => {}
        }
    })?;
    if nodes.is_empty() && !arguments.json {
        println!("the broker knows of no node");
    }
    for (name, node) in nodes {
        print(&name, &node, arguments.json);
    }
    Ok(())
}

fn print(name: &str, node: &Node, json: bool) {
    let status = node.status.as_deref().unwrap_or("unknown");
    if json {
        println!("{}", serde_json::json!({ "node": name, "status": status, "info": node.info }));
        return;
    }
    let info = node.info.as_ref().map(|info| {
        let cameras = info.cameras.join(", ");
        format!("{} {}  {}  cameras: {cameras}", info.model.name, info.model.version, info.engine)
    });
    println!("{}  {status:8}  {}", name.escape_debug(), info.unwrap_or_default().escape_debug());
}
