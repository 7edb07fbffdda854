//! Drives a rollout over a broker. Everything it knows it has read there, so another one goes on where it stopped.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::coordinate::{Fleet, advance};
use super::desired::{Desired, RolloutState, desired_topic};
use crate::config::MqttConfig;
use crate::publish::line::{Happening, Line, LineError, Manner, NotDelivered};
use crate::publish::messages::ModelState;
use crate::publish::outbox::Delivery;
use crate::publish::topics::{Heard, heard};
use crate::release::ReleaseKind;

/// A broker that says nothing for so long has said what it keeps.
const QUIET: Duration = Duration::from_millis(700);
/// For so long a broker is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(500);

/// Why a rollout cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The line cannot be opened.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The broker is away.
    #[error("the broker does not answer within {} s: is it running, and is --broker right?", PATIENCE.as_secs())]
    Away,
    /// The broker refuses what is to be written.
    #[error("the broker refused {0}: {1}; check its access rules")]
    Refused(String, String),
}

/// A group, as the broker knows it.
pub struct Coordinator {
    line: Line,
    group: String,
    kind: ReleaseKind,
    connected: bool,
    /// Every node that was heard of, members or not.
    heard: Fleet,
    /// What the group is to run.
    pub desired: Option<Desired>,
}

impl Coordinator {
    /// Reads what the broker keeps of `group` and its releases of `kind`.
    ///
    /// # Errors
    /// If the broker is away.
    pub async fn open(
        mqtt: &MqttConfig,
        manner: &Manner,
        kind: ReleaseKind,
        group: &str,
    ) -> Result<Self, CoordinatorError> {
        let line = Line::open(mqtt, manner)?;
        let mut own =
            Self { line, group: group.into(), kind, connected: false, heard: Fleet::new(), desired: None };
        let begun = Instant::now();
        loop {
            let patience = if own.connected { QUIET } else { PATIENCE };
            match tokio::time::timeout(patience, own.next()).await {
                Ok(()) => {}
                Err(_) if own.connected => return Ok(own),
                Err(_) => return Err(CoordinatorError::Away),
            }
            // A busy fleet is never quiet.
            if own.connected && begun.elapsed() > PATIENCE {
                return Ok(own);
            }
        }
    }

    /// Nodes of the group.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let of_group = |member: &super::Member| {
            member.state.as_ref().and_then(|state| state.group.as_ref()).is_some_and(|own| *own == self.group)
        };
        self.heard
            .iter()
            .filter(|(_, member)| of_group(member))
            .map(|(name, member)| (name.clone(), member.clone()))
            .collect()
    }

    async fn next(&mut self) {
        match self.line.next().await {
            Some(Happening::Connected(_)) => {
                self.connected = true;
                let desired = desired_topic(self.kind, &self.group);
                let states = format!("fieldmark/+/{}/state", self.kind.name());
                for filter in [desired.as_str(), "fieldmark/+/status", states.as_str()] {
                    self.line.sender().subscribe(filter).await;
                }
            }
            Some(Happening::Lost(lost)) => {
                if self.connected {
                    tracing::warn!("no connection to the broker: {}; trying again", lost.reason);
                }
                self.connected = false;
            }
            Some(Happening::Message(message)) => self.note(&message.topic, &message.payload),
            None => std::future::pending().await,
        }
    }

    fn note(&mut self, topic: &str, payload: &Bytes) {
        if topic == desired_topic(self.kind, &self.group) {
            self.desired = serde_json::from_slice(payload).ok();
            return;
        }
        match heard(topic) {
            Heard::Status(node) => {
                self.heard.entry(node.into()).or_default().status =
                    Some(String::from_utf8_lossy(payload).into_owned());
            }
            Heard::ModelState(node) | Heard::ConfigState(node) => {
                let state = serde_json::from_slice::<ModelState>(payload).ok();
                self.heard.entry(node.into()).or_default().state = state;
            }
            _ => {}
        }
    }

    /// Writes what the group is to run, and waits until the broker has it.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn put(&mut self, desired: Desired) -> Result<(), CoordinatorError> {
        let topic = desired_topic(self.kind, &self.group);
        let payload = Bytes::from(serde_json::to_vec(&desired).unwrap_or_default());
        loop {
            let sent = self.line.sender().publish(&topic, payload.clone(), Delivery::AtLeastOnce, true).await;
            let Some(mut receipt) = sent else { return Err(CoordinatorError::Away) };
            let outcome = loop {
                tokio::select! {
                    outcome = &mut receipt => break outcome,
                    () = self.next() => {}
                }
            };
            match outcome {
                Ok(()) => {
                    self.desired = Some(desired);
                    return Ok(());
                }
                Err(NotDelivered::Lost) => {}
                Err(NotDelivered::Refused(reason)) => return Err(CoordinatorError::Refused(topic, reason)),
            }
        }
    }

    /// Drives the rollout until it runs no more; `tell` hears of every step, and of every look at the fleet.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn drive(
        &mut self,
        tell: &mut dyn FnMut(&Desired, &Fleet),
    ) -> Result<Option<Desired>, CoordinatorError> {
        loop {
            let Some(desired) = self.desired.clone() else { return Ok(None) };
            let fleet = self.fleet();
            tell(&desired, &fleet);
            // Another state may have been written by somebody else.
            if desired.state != RolloutState::Running {
                return Ok(Some(desired));
            }
            if self.connected
                && let Some(next) = advance(&desired, &fleet, jiff::Timestamp::now())
            {
                self.put(next).await?;
                continue;
            }
            let _ = tokio::time::timeout(TICK, self.next()).await;
        }
    }

    /// Disconnects in order.
    pub async fn close(self) {
        self.line.close().await;
    }
}
