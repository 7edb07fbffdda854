//! MQTT 5.

use bytes::Bytes;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use rumqttc::{
    AckMode, AsyncClient, Broker, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions,
    NoticeFailureReason, PublishNoticeError, PublishOptions, StateError, SubscribeNoticeError,
    TlsConfiguration, Transport as Carrier,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::pause::{Pauses, advised};
use super::secure::{certificates, credentials};
use super::{BrokerLimits, Happening, Incoming, LineError, Lost, Manner, NotDelivered, REQUESTS, Receipt};
use crate::config::{MqttConfig, Transport};
use crate::publish::outbox::Delivery;

pub(super) fn open(
    mqtt: &MqttConfig,
    manner: &Manner,
    tell: mpsc::Sender<Happening>,
) -> Result<(AsyncClient, JoinHandle<()>), LineError> {
    let options = options(mqtt, manner)?;
    let built = AsyncClient::builder(options).capacity(REQUESTS).try_build();
    let (client, events) = built.map_err(|error| LineError::Options(error.to_string()))?;
    let keep = !mqtt.session_expiry.is_zero();
    let acks = manner.manual_acks.then(|| client.clone());
    let polling = tokio::spawn(poll(events, tell, keep, manner.resume, acks));
    Ok((client, polling))
}

fn options(mqtt: &MqttConfig, manner: &Manner) -> Result<MqttOptions, LineError> {
    let refused = |error: &dyn std::fmt::Display| LineError::Options(error.to_string());
    let tls = certificates(mqtt)?.map(|found| TlsConfiguration::Simple {
        ca: found.authority,
        alpn: None,
        client_auth: found.own,
    });
    let url = &mqtt.url;
    let mut options = match (url.transport, tls) {
        (Transport::WebSocket, _) => {
            let broker = Broker::websocket(url.to_string()).map_err(|error| refused(&error))?;
            let mut options = MqttOptions::new(&manner.client_id, broker);
            options.set_transport(Carrier::ws());
            options
        }
        (Transport::SecureWebSocket, Some(tls)) => {
            MqttOptions::websocket_with_tls_config(&manner.client_id, url.to_string(), tls)
                .map_err(|error| refused(&error))?
        }
        (_, tls) => {
            let mut options = MqttOptions::new(&manner.client_id, (url.host.as_str(), url.port));
            if let Some(tls) = tls {
                options.set_transport(Carrier::tls_with_config(tls));
            }
            options
        }
    };
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(mqtt.connect_timeout.as_secs().max(1));
    options
        .set_keep_alive(u16::try_from(mqtt.keep_alive.as_secs()).unwrap_or(u16::MAX))
        .set_max_packet_size(Some(mqtt.max_packet))
        .set_connect_timeout(mqtt.connect_timeout)
        .set_network_options(network)
        .set_outgoing_inflight_upper_limit(mqtt.in_flight)
        .set_clean_start(!manner.resume);
    if !mqtt.session_expiry.is_zero() {
        let seconds = u32::try_from(mqtt.session_expiry.as_secs()).unwrap_or(u32::MAX);
        options.set_session_expiry_interval(Some(seconds));
    }
    if manner.resume {
        options.set_broker_session_resume_policy(rumqttc::BrokerSessionResumePolicy::AllowBrokerOnly);
    }
    if manner.manual_acks {
        options.set_ack_mode(AckMode::Manual);
    }
    if let Some((topic, payload)) = &manner.will {
        options.set_last_will(LastWill::new(topic.as_str(), *payload, QoS::AtLeastOnce, true, None));
    }
    if let Some((username, password)) = credentials(mqtt)? {
        options.set_credentials(username, password);
    }
    Ok(options)
}

pub(super) async fn publish(
    client: &AsyncClient,
    topic: &str,
    payload: Bytes,
    delivery: Delivery,
    retain: bool,
) -> Option<Receipt> {
    let qos = match delivery {
        Delivery::AtMostOnce => QoS::AtMostOnce,
        Delivery::AtLeastOnce => QoS::AtLeastOnce,
    };
    let sent = client.publish_tracked(topic, payload, PublishOptions::new(qos).retain(retain)).await;
    let notice = sent.inspect_err(|error| tracing::warn!("the MQTT client is not running: {error}")).ok()?;
    Some(Box::pin(async move {
        notice.wait_completion_async().await.map_err(|error| match error {
            PublishNoticeError::V5PubAck(reason) => NotDelivered::Refused(format!("{reason:?}")),
            PublishNoticeError::RetainNotSupported => {
                NotDelivered::Refused("it keeps no retained messages".into())
            }
            _ => NotDelivered::Lost,
        })
    }))
}

pub(super) async fn subscribe(client: &AsyncClient, filter: &str) -> Option<Receipt> {
    let sent = client.subscribe_tracked(filter, QoS::AtLeastOnce).await;
    let notice = sent.inspect_err(|error| tracing::error!(filter, "cannot subscribe: {error}")).ok()?;
    Some(Box::pin(async move {
        notice.wait_completion_async().await.map_err(|error| match error {
            SubscribeNoticeError::V5SubAckFailure(reasons) => NotDelivered::Refused(format!("{reasons:?}")),
            _ => NotDelivered::Lost,
        })
    }))
}

/// Whether the broker sent what is no packet. A connection that breaks off in the middle of one is told the same way, as an
/// error of reading.
fn is_unreadable(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(wrong)) => {
            // What this end sends and the broker would not take is no message that came.
            !matches!(wrong, mqttbytes::Error::Io(_) | mqttbytes::Error::OutgoingPacketTooLarge { .. })
        }
        _ => false,
    }
}

/// Drives the connection until it is closed or nobody listens any more.
async fn poll(
    mut events: EventLoop,
    tell: mpsc::Sender<Happening>,
    keep_session: bool,
    resume: bool,
    acks: Option<AsyncClient>,
) {
    let mut pauses = Pauses::new();
    loop {
        let happening = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                pauses = Pauses::new();
                // The first connection of a process starts anew, later ones go on.
                if keep_session {
                    events.options.set_clean_start(false);
                }
                let max_packet = connack.properties.and_then(|properties| properties.max_packet_size);
                Happening::Connected(BrokerLimits { max_packet })
            }
            Ok(Event::Incoming(Packet::Publish(message))) => incoming(message, acks.as_ref()),
            Ok(_) => continue,
            Err(ConnectionError::RequestsDone) => return,
            Err(error) => {
                // A broker that keeps the session sends what cannot be read again and again.
                if is_unreadable(&error) && !resume {
                    tracing::error!(
                        "a message for this node cannot be read: the broker is asked to forget what it keeps"
                    );
                    events.options.set_clean_start(true);
                }
                let (lost, heard) = Lost::new(reason(&error));
                if tell.send(Happening::Lost(lost)).await.is_err() {
                    return;
                }
                // What was sent, and what was handed over until the loss was heard of, goes back to the sender.
                let _ = heard.await;
                events.clean();
                events.drain_pending_as_failed(NoticeFailureReason::SessionReset);
                pauses.wait().await;
                continue;
            }
        };
        if tell.send(happening).await.is_err() {
            return;
        }
    }
}

fn incoming(message: Publish, acks: Option<&AsyncClient>) -> Happening {
    let acknowledge = acks.and_then(|client| {
        let (ack, client) = (client.prepare_ack(&message)?, client.clone());
        let acknowledge = move || {
            // With the connection lost meanwhile the broker sends the message again.
            let _ = client.try_manual_ack(ack);
        };
        Some(Box::new(acknowledge) as Box<dyn FnOnce() + Send>)
    });
    Happening::Message(Incoming {
        topic: String::from_utf8_lossy(&message.topic).into_owned(),
        payload: message.payload,
        retained: message.retain,
        acknowledge,
    })
}

fn reason(error: &ConnectionError) -> String {
    let refused = matches!(
        error,
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized
        )
    );
    advised(&error.to_string(), refused, matches!(error, ConnectionError::Io(_)))
}
