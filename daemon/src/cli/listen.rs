//! A subscriber's line to the broker.

use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::Packet;
use rumqttc::{AsyncClient, Event};

use super::{BrokerArguments, Failure};
use crate::config::{BrokerUrl, MqttConfig};
use crate::publish::session;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Subscribes to `filters` and hands every message to `hear`, for at most `patience` where one is given. A broker
/// that is away is waited for.
pub(super) fn listen(
    arguments: &BrokerArguments,
    filters: &[&str],
    patience: Option<Duration>,
    hear: impl FnMut(&str, &[u8]),
) -> Result<(), Failure> {
    let url = BrokerUrl::parse("--broker", &arguments.broker).map_err(Failure::usage)?;
    let mqtt = MqttConfig {
        url,
        username: arguments.username.clone(),
        password_file: arguments.password_file.clone(),
        keep_alive: KEEP_ALIVE,
        queue: 0,
        stop_timeout: Duration::ZERO,
        metrics: Duration::ZERO,
    };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.block_on(async {
        let hearing = hear_all(&mqtt, filters, hear);
        match patience {
            // The time being up is the usual end.
            Some(patience) => tokio::time::timeout(patience, hearing).await.unwrap_or(Ok(())),
            None => hearing.await,
        }
    })
}

async fn hear_all(
    mqtt: &MqttConfig,
    filters: &[&str],
    mut hear: impl FnMut(&str, &[u8]),
) -> Result<(), Failure> {
    // Two watchers must not share a client id.
    let id = format!("fieldmark-watch-{}", ulid::Ulid::generate());
    let (client, mut events) = AsyncClient::builder(session::options(mqtt, &id)?).try_build()?;
    let mut pauses = session::pauses();
    let mut told = false;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                (pauses, told) = (session::pauses(), false);
                for filter in filters {
                    client.subscribe(*filter, QoS::AtLeastOnce).await?;
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                hear(&String::from_utf8_lossy(&message.topic), &message.payload);
            }
            Ok(_) => {}
            Err(error) => {
                if !told {
                    let reason = session::reason(&error);
                    eprintln!("no connection to the broker {}: {reason}; trying again", mqtt.url);
                    told = true;
                }
                tokio::time::sleep(pauses.next().unwrap_or(KEEP_ALIVE)).await;
            }
        }
    }
}
