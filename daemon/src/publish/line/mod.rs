//! The line to a broker: one connection over MQTT 5 or 3.1.1, made again whenever it is lost. The MQTT client stays
//! inside this folder.
//!
//! What was sent and not acknowledged when a connection is lost is given back to the sender: the outbox, not the
//! client, sends it again, so that order and the mark `replay` are kept.

mod pause;
mod secure;
mod v3;
mod v5;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::outbox::Delivery;
use crate::config::{MqttConfig, MqttVersion};

pub use secure::{LineError, check_secrets};

/// More than can be in flight and in a greeting together, so that handing over never waits for the broker.
const REQUESTS: usize = 4096;
/// Happenings not yet looked at; a sender of many commands waits rather than filling memory.
const HAPPENINGS: usize = 64;

/// Who connects, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// Client id; the broker lets each in once.
    pub client_id: String,
    /// Topic and payload the broker publishes, retained, when the connection is lost.
    pub will: Option<(String, &'static str)>,
    /// Messages are acknowledged by [`Incoming::acknowledge`], not when they arrive.
    pub manual_acks: bool,
    /// The broker keeps the subscriptions and what came for them over a restart of this process.
    pub resume: bool,
}

/// What a packet has beside topic and payload, bytes, at most.
pub(super) const PACKET_OVERHEAD: usize = 32;

/// Bytes of the packet that has `payload` for `topic`, at most.
pub(super) fn packet_bytes(topic: &str, payload: &[u8]) -> usize {
    topic.len() + payload.len() + PACKET_OVERHEAD
}

/// What a broker allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Largest packet it takes, bytes; `None` where it did not say.
    pub max_packet: Option<u32>,
}

impl BrokerLimits {
    /// Largest packet, bytes; no limit where the broker names none.
    #[must_use]
    pub fn largest(self) -> usize {
        self.max_packet.map_or(usize::MAX, |most| most as usize)
    }
}

/// Something happened on the line.
pub enum Happening {
    /// There is a connection.
    Connected(BrokerLimits),
    /// There is none any more; it is tried again.
    Lost(Lost),
    /// A message came.
    Message(Incoming),
}

/// A connection that was lost.
pub struct Lost {
    /// Why, and what to do.
    pub reason: String,
    /// Gone when whoever sends knows: until then messages are handed over that must come back before the next
    /// connection, or they would overtake the ones that were in flight.
    _noted: oneshot::Sender<()>,
}

impl Lost {
    /// What to tell, and what resolves when it was heard.
    fn new(reason: String) -> (Self, oneshot::Receiver<()>) {
        let (sender, heard) = oneshot::channel();
        (Self { reason, _noted: sender }, heard)
    }
}

/// A message that came.
pub struct Incoming {
    /// Its topic.
    pub topic: String,
    /// Its content.
    pub payload: Bytes,
    /// Whether the broker had kept it.
    pub retained: bool,
    acknowledge: Option<Box<dyn FnOnce() + Send>>,
}

impl Incoming {
    /// A message that came from nowhere and need not be acknowledged.
    pub(crate) fn unacknowledged(topic: &str, payload: Vec<u8>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), retained: false, acknowledge: None }
    }

    /// Tells the broker that the message is safe.
    pub fn acknowledge(self) {
        if let Some(acknowledge) = self.acknowledge {
            acknowledge();
        }
    }
}

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDelivered {
    /// The connection was lost first: send it again.
    Lost,
    /// The broker refused it, and will again.
    Refused(String),
}

/// Resolves when the broker has acknowledged a message.
pub type Receipt = Pin<Box<dyn Future<Output = Result<(), NotDelivered>> + Send>>;

#[derive(Clone)]
enum Client {
    V3(rumqttc_v4::AsyncClient),
    V5(rumqttc::AsyncClient),
}

/// Sends over a line.
#[derive(Clone)]
pub struct Sender(Client);

/// A line, from the first attempt to connect.
pub struct Line {
    sender: Sender,
    happenings: mpsc::Receiver<Happening>,
    polling: JoinHandle<()>,
}

impl Line {
    /// Starts connecting; never fails for a broker that is away.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn open(mqtt: &MqttConfig, manner: &Manner) -> Result<Self, LineError> {
        let (tell, happenings) = mpsc::channel(HAPPENINGS);
        let (client, polling) = match mqtt.version {
            MqttVersion::V5 => {
                let (client, polling) = v5::open(mqtt, manner, tell)?;
                (Client::V5(client), polling)
            }
            MqttVersion::V3 => {
                let (client, polling) = v3::open(mqtt, manner, tell)?;
                (Client::V3(client), polling)
            }
        };
        Ok(Self { sender: Sender(client), happenings, polling })
    }

    /// A sender over this line.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// What happens next; `None` after the line was closed.
    pub async fn next(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }

    /// What has happened already; `None` where nothing waits.
    pub fn try_next(&mut self) -> Option<Happening> {
        self.happenings.try_recv().ok()
    }

    /// Disconnects in order; waits at most a second for that.
    pub async fn close(mut self) {
        // With a broker that does not answer there is nothing to be polite to.
        match &self.sender.0 {
            Client::V3(client) => drop(client.try_disconnect()),
            Client::V5(client) => drop(client.try_disconnect()),
        }
        let polite = std::time::Duration::from_secs(1);
        let gone = async { while self.happenings.recv().await.is_some() {} };
        let _ = tokio::time::timeout(polite, gone).await;
        self.polling.abort();
    }
}

impl Sender {
    /// Hands a message over; `None` when the line is closed.
    pub async fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        delivery: Delivery,
        retain: bool,
    ) -> Option<Receipt> {
        match &self.0 {
            Client::V3(client) => v3::publish(client, topic, payload, delivery, retain).await,
            Client::V5(client) => v5::publish(client, topic, payload, delivery, retain).await,
        }
    }

    /// Asks for no more messages on `filter`.
    pub async fn unsubscribe(&self, filter: &str) {
        let outcome = match &self.0 {
            Client::V3(client) => client.unsubscribe(filter).await.map_err(|error| error.to_string()),
            Client::V5(client) => client.unsubscribe(filter).await.map_err(|error| error.to_string()),
        };
        if let Err(error) = outcome {
            tracing::error!(filter, "cannot unsubscribe: {error}");
        }
    }

    /// Asks for the messages on `filter`, with QoS 1.
    pub async fn subscribe(&self, filter: &str) {
        // Whoever does not wait hears what comes, from whenever the broker has it.
        let _ = self.subscribed(filter).await;
    }

    /// As [`Self::subscribe`]; the receipt resolves when the subscription is in force. The client sends messages past
    /// subscriptions that were asked for earlier: an answer to a message can come before the subscription to it.
    pub async fn subscribed(&self, filter: &str) -> Option<Receipt> {
        match &self.0 {
            Client::V3(client) => v3::subscribe(client, filter).await,
            Client::V5(client) => v5::subscribe(client, filter).await,
        }
    }
}
