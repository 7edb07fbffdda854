//! The line to the broker: connects and connects again, says who is there, sends what the outbox holds and
//! settles it when the broker has acknowledged it. The MQTT client stays inside this file and `cli/listen.rs`.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, PublishNotice, PublishNoticeError,
    PublishOptions, Transport,
};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::messages::status;
use super::outbox::{Delivery, Message, Ordinal, Outbox};
use super::topics::Topics;
use crate::config::{MqttConfig, NodeName};

/// Largest packet taken from the broker; the client's own limit is 10 KiB.
const MAX_INCOMING_BYTES: u32 = 1 << 20;
/// Messages sent and not acknowledged at one time.
const IN_FLIGHT: usize = 100;
/// More than can be in flight and in a greeting together, so that handing over never waits for the broker.
const REQUESTS: usize = 1024;

/// Why a broker cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The password is not to be had.
    #[error("cannot read mqtt.password_file {path}: {source}; put the password into its first line")]
    Password {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No TLS.
    #[error("cannot prepare TLS: {0}; install the system's certificates (package ca-certificates)")]
    Tls(String),
    /// Settings that do not go together.
    #[error("the MQTT client refuses its settings: {0}; check [mqtt]")]
    Options(String),
}

/// Connection settings for the broker of `mqtt` under the client id `id`.
///
/// # Errors
/// If the password file or the system's certificates cannot be read.
pub fn options(mqtt: &MqttConfig, id: &str) -> Result<MqttOptions, SessionError> {
    let mut options = MqttOptions::new(id, (mqtt.url.host.as_str(), mqtt.url.port));
    let keep_alive = u16::try_from(mqtt.keep_alive.as_secs()).unwrap_or(u16::MAX);
    options.set_keep_alive(keep_alive);
    options.set_max_packet_size(Some(MAX_INCOMING_BYTES));
    if mqtt.url.tls {
        let tls = Transport::try_tls_with_default_config();
        options.set_transport(tls.map_err(|error| SessionError::Tls(error.to_string()))?);
    }
    if let Some(username) = &mqtt.username {
        options.set_credentials(username.as_str(), password(mqtt)?);
    }
    Ok(options)
}

/// The MQTT client identifier of `node`.
#[must_use]
pub fn client_id(node: &NodeName) -> String {
    format!("fieldmark-{}", node.as_str())
}

fn password(mqtt: &MqttConfig) -> Result<String, SessionError> {
    let Some(path) = &mqtt.password_file else { return Ok(String::new()) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| SessionError::Password { path: path.clone(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Waits between attempts: half a second to half a minute, with jitter so that a fleet does not come at once.
#[must_use]
pub fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(30))
        .without_max_times()
        .with_jitter()
        .build()
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// Messages acknowledged over the session's life.
    pub acknowledged: u64,
    /// Messages that were not delivered and are lost.
    pub lost: u64,
    /// Whether the broker acknowledged `stopped`.
    pub announced: bool,
}

type Outcome = (Ordinal, Message, Result<(), PublishNoticeError>);

/// The session of a node.
pub struct Session {
    client: AsyncClient,
    polling: JoinHandle<()>,
    connected: watch::Receiver<u64>,
    outbox: Arc<Outbox>,
    greeting: watch::Receiver<Vec<Message>>,
    topics: Topics,
    flying: JoinSet<Outcome>,
    /// Number of the connection on which the greeting was sent.
    greeted: u64,
}

impl Session {
    /// Starts connecting; never fails for a broker that is away. `greeting` is published, after `online`, on every
    /// connection: what the broker has to keep of this node.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn start(
        mqtt: &MqttConfig,
        node: &NodeName,
        outbox: Arc<Outbox>,
        greeting: watch::Receiver<Vec<Message>>,
    ) -> Result<Self, SessionError> {
        let topics = Topics::new(node);
        let mut options = options(mqtt, &client_id(node))?;
        options.set_last_will(LastWill::new(topics.status(), status::OFFLINE, QoS::AtLeastOnce, true, None));
        let (client, events) = AsyncClient::builder(options)
            .capacity(REQUESTS)
            .try_build()
            .map_err(|error| SessionError::Options(error.to_string()))?;
        let (connections, connected) = watch::channel(0);
        let polling = tokio::spawn(poll(events, connections, mqtt.url.to_string()));
        Ok(Self { client, polling, connected, outbox, greeting, topics, flying: JoinSet::new(), greeted: 0 })
    }

    /// Sends until `stop` turns true, then everything that is left, then `stopped`; all of that for at most
    /// `patience`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, patience: Duration) -> Farewell {
        self.serve(&mut stop).await;
        let announced = tokio::time::timeout(patience, self.finish(&mut stop)).await.is_ok();
        if !announced {
            tracing::warn!(
                "the broker did not acknowledge everything within {patience:?}; what it has not got is lost"
            );
        }
        // With a broker that does not answer there is nothing to be polite to.
        let _ = self.client.try_disconnect();
        if tokio::time::timeout(Duration::from_secs(1), &mut self.polling).await.is_err() {
            self.polling.abort();
        }
        let counts = self.outbox.counts();
        Farewell { acknowledged: counts.acknowledged, lost: counts.waiting + counts.in_flight, announced }
    }

    async fn finish(&mut self, stop: &mut watch::Receiver<bool>) {
        while !self.is_empty() {
            self.step(stop).await;
        }
        // Resolves when the broker has it; a lost connection is tried again until patience ends.
        while !self.announce(status::STOPPED).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn is_empty(&self) -> bool {
        let counts = self.outbox.counts();
        self.flying.is_empty() && counts.waiting + counts.in_flight == 0
    }

    async fn serve(&mut self, stop: &mut watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            self.step(stop).await;
        }
    }

    /// Sends what can be sent, then waits for anything to happen.
    async fn step(&mut self, stop: &mut watch::Receiver<bool>) {
        let connection = *self.connected.borrow_and_update();
        if connection > 0 && connection != self.greeted {
            self.greet().await;
            self.greeted = connection;
        }
        while connection > 0 && self.flying.len() < IN_FLIGHT {
            let Some((ordinal, message)) = self.outbox.take() else { break };
            self.send(ordinal, message).await;
        }
        if *stop.borrow() && self.is_empty() {
            return;
        }
        tokio::select! {
            Some(outcome) = self.flying.join_next() => {
                if let Ok(outcome) = outcome { self.settle(outcome) }
            }
            _ = self.connected.changed() => {}
            () = self.outbox.filled() => {}
            _ = stop.changed() => {}
        }
    }

    async fn greet(&mut self) {
        let _ = self.publish(&self.status(status::ONLINE)).await;
        let messages = self.greeting.borrow().clone();
        for message in messages {
            let _ = self.publish(&message).await;
        }
    }

    fn status(&self, status: &'static str) -> Message {
        let (topic, payload) = (self.topics.status(), bytes::Bytes::from_static(status.as_bytes()));
        Message { topic, payload, delivery: Delivery::AtLeastOnce, retain: true }
    }

    async fn announce(&self, status: &'static str) -> bool {
        match self.publish(&self.status(status)).await {
            Some(notice) => notice.wait_completion_async().await.is_ok(),
            None => false,
        }
    }

    async fn send(&mut self, ordinal: Ordinal, message: Message) {
        match self.publish(&message).await {
            Some(notice) => {
                self.flying.spawn(async move { (ordinal, message, notice.wait_completion_async().await) });
            }
            None => self.outbox.put_back(ordinal, message),
        }
    }

    async fn publish(&self, message: &Message) -> Option<PublishNotice> {
        let qos = match message.delivery {
            Delivery::AtMostOnce => QoS::AtMostOnce,
            Delivery::AtLeastOnce => QoS::AtLeastOnce,
        };
        let options = PublishOptions::new(qos).retain(message.retain);
        let sent =
            self.client.publish_tracked(message.topic.as_str(), message.payload.clone(), options).await;
        sent.inspect_err(|error| tracing::warn!("the MQTT client is not running: {error}")).ok()
    }

    fn settle(&self, (ordinal, message, outcome): Outcome) {
        match outcome {
            Ok(()) => self.outbox.settle(),
            Err(PublishNoticeError::V5PubAck(reason)) => {
                tracing::error!(topic = %message.topic, "the broker refused a message: {reason:?}; check its access rules");
                self.outbox.give_up();
            }
            Err(_) if message.delivery == Delivery::AtMostOnce => self.outbox.give_up(),
            Err(_) => self.outbox.put_back(ordinal, message),
        }
    }
}

/// Drives the connection. Tells the number of the present connection, 0 while there is none.
async fn poll(mut events: EventLoop, connections: watch::Sender<u64>, url: String) {
    let mut pauses_left = pauses();
    let mut number = 0;
    let mut told = false;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                number += 1;
                (pauses_left, told) = (pauses(), false);
                tracing::info!("connected to the broker {url}");
                connections.send_replace(number);
            }
            Ok(_) => {}
            Err(ConnectionError::RequestsDone) => return,
            Err(error) => {
                connections.send_replace(0);
                if !told {
                    tracing::error!(
                        "no connection to the broker {url}: {}; trying again, messages wait in memory",
                        reason(&error)
                    );
                    told = true;
                }
                tokio::time::sleep(pauses_left.next().unwrap_or(Duration::from_secs(30))).await;
            }
        }
    }
}

/// What went wrong and what to do about it.
#[must_use]
pub fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(error) => format!("{error} (is it running, and is mqtt.url right?)"),
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
        ) => format!("{code:?} (check mqtt.username and mqtt.password_file)"),
        other => other.to_string(),
    }
}
