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
/// A fleet that is never quiet has told the most of itself after so long.
const BUSY: Duration = Duration::from_secs(5);
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

/// What the present connection has told of what the broker keeps. What was known before it was cut may not hold any more.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// Nothing yet, since then.
    Nothing(Instant),
    /// What the group is to run, and at the second moment the last of everything else.
    Desired(Instant, Instant),
}

impl Told {
    /// Something was told; `desired` says whether it was what the group is to run.
    fn note(&mut self, desired: bool) {
        let now = Instant::now();
        *self = match *self {
            Self::Nothing(_) if desired => Self::Desired(now, now),
            Self::Nothing(since) => Self::Nothing(since),
            Self::Desired(since, _) => Self::Desired(since, now),
        };
    }

    /// Whether nothing more of it is to be expected.
    fn all(self) -> bool {
        matches!(self, Self::Desired(since, last) if last.elapsed() >= QUIET || since.elapsed() >= BUSY)
    }

    /// Whether the group is to run nothing any more.
    fn is_nothing(self) -> bool {
        matches!(self, Self::Nothing(since) if since.elapsed() > PATIENCE)
    }
}

/// A group, as the broker knows it.
pub struct Coordinator {
    line: Line,
    group: String,
    kind: ReleaseKind,
    connected: bool,
    told: Told,
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
        let begun = Instant::now();
        let mut own = Self {
            line,
            group: group.into(),
            kind,
            connected: false,
            told: Told::Nothing(begun),
            heard: Fleet::new(),
            desired: None,
        };
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
                self.told = Told::Nothing(Instant::now());
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
        let desired = topic == desired_topic(self.kind, &self.group);
        self.told.note(desired);
        if desired {
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
        while !self.try_put(&desired).await? {}
        self.told.note(true);
        self.desired = Some(desired);
        Ok(())
    }

    /// Writes it once; whether it arrived, as far as is known.
    async fn try_put(&mut self, desired: &Desired) -> Result<bool, CoordinatorError> {
        let topic = desired_topic(self.kind, &self.group);
        let payload = Bytes::from(serde_json::to_vec(desired).unwrap_or_default());
        let sent = self.line.sender().publish(&topic, payload, Delivery::AtLeastOnce, true).await;
        let Some(mut receipt) = sent else { return Err(CoordinatorError::Away) };
        let outcome = loop {
            tokio::select! {
                outcome = &mut receipt => break outcome,
                () = self.next() => {}
            }
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(NotDelivered::Lost) => Ok(false),
            Err(NotDelivered::Refused(reason)) => Err(CoordinatorError::Refused(topic, reason)),
        }
    }

    /// Writes the `next` stage. Where the connection was cut meanwhile it is looked at anew whether it is still the next; where
    /// somebody wrote something else meanwhile, that holds.
    async fn step(&mut self, next: Desired) -> Result<(), CoordinatorError> {
        let before = self.desired.clone();
        if !self.try_put(&next).await? {
            self.told = Told::Nothing(Instant::now());
            return Ok(());
        }
        match self.desired.take() {
            Some(other) if Some(&other) != before.as_ref() && other != next => self.put(other).await,
            _ => {
                self.told.note(true);
                self.desired = Some(next);
                Ok(())
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
            let Some(desired) = self.desired.clone().filter(|_| !self.connected || !self.told.is_nothing())
            else {
                return Ok(None);
            };
            let fleet = self.fleet();
            tell(&desired, &fleet);
            // Another state may have been written by somebody else.
            if desired.state != RolloutState::Running {
                return Ok(Some(desired));
            }
            if self.connected
                && self.told.all()
                && let Some(next) = advance(&desired, &fleet, jiff::Timestamp::now())
            {
                self.step(next).await?;
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
