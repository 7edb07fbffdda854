//! `fieldmark cmd`: asks a node to do something and shows its replies.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::listen::{passing_by, settings};
use super::{BrokerArguments, Failure};
use crate::command::Request;
use crate::config::{CommandKind, NodeName};
use crate::publish::line::{Happening, Line, NotDelivered, Receipt};
use crate::publish::messages::{Reply, ReplyState};
use crate::publish::outbox::Delivery;
use crate::publish::topics::Topics;

#[derive(Debug, Args)]
pub(super) struct CmdArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Name of the node.
    node: String,
    /// snapshot, target, threshold, prior, region, gate, watch, pause, resume, restart or install.
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
    let (sender, id) = (line.sender(), ulid::Ulid::generate().to_string());
    let reply = topics.reply(&id);
    let (mut subscribing, mut sent): (Option<Receipt>, bool) = (None, false);
    loop {
        let subscribed = async {
            match &mut subscribing {
                Some(receipt) => receipt.await,
                None => std::future::pending().await,
            }
        };
        let happening = tokio::select! {
            outcome = subscribed => {
                subscribing = None;
                match outcome {
                    // Not before: a node can be quicker than the broker is with the subscription.
                    Ok(()) if !sent => {
                        sent = true;
                        let (topic, payload) = (topics.command(kind.name(), &id), arguments.payload.clone());
                        let _ = sender.publish(&topic, Bytes::from(payload), Delivery::AtLeastOnce, false).await;
                    }
                    Err(NotDelivered::Refused(reason)) => {
                        return Err(anyhow::anyhow!("the broker does not let us read {reply}: {reason}").into());
                    }
                    Ok(()) | Err(NotDelivered::Lost) => {}
                }
                continue;
            }
            happening = line.next() => happening,
        };
        match happening {
            Some(Happening::Connected(_)) => subscribing = sender.subscribed(&reply).await,
            Some(Happening::Lost(lost)) => {
                eprintln!("no connection to the broker {}: {}; trying again", mqtt.url, lost.reason);
            }
            Some(Happening::Message(message)) => {
                let Ok(reply) = serde_json::from_slice::<Reply>(&message.payload) else { continue };
                show(&reply, arguments.json);
                if matches!(reply.state, ReplyState::Done | ReplyState::Failed) {
                    line.close().await;
                    return Ok(reply.state);
                }
            }
            None => return Err(Failure::told()),
        }
    }
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
