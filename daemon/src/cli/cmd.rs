//! `fieldmark cmd`: asks a node to do something and shows its replies.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::listen::{passing_by, settings};
use super::{BrokerArguments, Failure};
use crate::command::{CommandKind, Request};
use crate::config::NodeName;
use crate::publish::line::{Happening, Line};
use crate::publish::messages::{Reply, ReplyState};
use crate::publish::outbox::Delivery;
use crate::publish::topics::Topics;

#[derive(Debug, Args)]
pub(super) struct CmdArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Name of the node.
    node: String,
    /// snapshot, target, threshold, prior, region, gate, watch, pause, resume or restart.
    command: String,
    /// Its JSON, such as '{"camera":"pond"}'.
    #[arg(default_value = "{}")]
    payload: String,
    /// Seconds to wait for the last reply.
    #[arg(long, value_name = "SECONDS", default_value_t = 40.0)]
    wait: f64,
    /// Print the replies as JSON, one a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &CmdArguments) -> Result<(), Failure> {
    let node = NodeName::new(&arguments.node).map_err(Failure::usage)?;
    let kind = CommandKind::from_name(&arguments.command).ok_or_else(|| {
        let known = CommandKind::ALL.map(CommandKind::name).join(", ");
        Failure::usage(anyhow::anyhow!("there is no command {:?}: give one of {known}", arguments.command))
    })?;
    Request::parse(kind, arguments.payload.as_bytes()).map_err(Failure::usage)?;
    let wait = Duration::try_from_secs_f64(arguments.wait).map_err(Failure::usage)?;
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let topics = Topics::new(&node);
    let asking = ask(arguments, &topics, kind);
    let state = threads.block_on(async { tokio::time::timeout(wait, asking).await });
    match state {
        Ok(Ok(ReplyState::Done)) => Ok(()),
        Ok(Ok(_)) => Err(Failure::told()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(anyhow::anyhow!(
            "{} did not answer within {wait:?}: is it online (fieldmark nodes), and does the broker let it read its commands?",
            arguments.node
        )
        .into()),
    }
}

async fn ask(arguments: &CmdArguments, topics: &Topics, kind: CommandKind) -> Result<ReplyState, Failure> {
    let mqtt = settings(&arguments.broker)?;
    let mut line = Line::open(&mqtt, &passing_by("cmd"))?;
    let sender = line.sender();
    let id = ulid::Ulid::generate().to_string();
    let mut sent = false;
    while let Some(happening) = line.next().await {
        match happening {
            Happening::Connected(_) => {
                sender.subscribe(&topics.reply(&id)).await;
                if !sent {
                    sent = true;
                    let (topic, payload) = (topics.command(kind.name(), &id), arguments.payload.clone());
                    let payload = Bytes::from(payload);
                    let _ = sender.publish(&topic, payload, Delivery::AtLeastOnce, false).await;
                }
            }
            Happening::Lost(lost) => {
                eprintln!("no connection to the broker {}: {}; trying again", mqtt.url, lost.reason);
            }
            Happening::Message(message) => {
                let Ok(reply) = serde_json::from_slice::<Reply>(&message.payload) else { continue };
                show(&reply, arguments.json);
                if matches!(reply.state, ReplyState::Done | ReplyState::Failed) {
                    line.close().await;
                    return Ok(reply.state);
                }
            }
        }
    }
    Err(Failure::told())
}

fn show(reply: &Reply, json: bool) {
    if json {
        println!("{}", serde_json::to_string(reply).unwrap_or_default());
        return;
    }
    let state = serde_json::to_string(&reply.state).unwrap_or_default();
    let reason = reply.reason.as_ref().map(|reason| format!(": {}", reason.escape_debug()));
    println!("{}{}", state.trim_matches('"'), reason.unwrap_or_default());
}
