//! A subscriber's line to the broker.

use std::time::Duration;

use super::{BrokerArguments, Failure};
use crate::config::{BrokerUrl, MqttConfig};
use crate::publish::line::{Happening, Line, Manner, NotDelivered};

/// The settings `arguments` stand for.
pub(super) fn settings(arguments: &BrokerArguments) -> Result<MqttConfig, Failure> {
    let url = BrokerUrl::parse("--broker", &arguments.broker).map_err(Failure::usage)?;
    let access = arguments.access.clone();
    Ok(MqttConfig {
        version: access.mqtt_version,
        ca_file: access.ca_file,
        cert_file: access.cert_file,
        key_file: access.key_file,
        ..MqttConfig::subscriber(url, access.username, access.password_file)
    })
}

/// A client id of its own for each process: two watchers must not push each other out.
pub(super) fn passing_by(purpose: &str) -> Manner {
    let client_id = format!("fieldmark-{purpose}-{}", ulid::Ulid::generate());
    Manner { client_id, will: None, manual_acks: false, resume: false }
}

/// Subscribes to `filters` and hands every message to `hear`, for at most `patience` where one is given. A broker
/// that is away is waited for.
pub(super) fn listen(
    arguments: &BrokerArguments,
    filters: &[&str],
    patience: Option<Duration>,
    hear: impl FnMut(&str, &[u8]),
) -> Result<(), Failure> {
    let mqtt = settings(arguments)?;
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

/// Asks for what comes on `filter`, and tells of a broker that refuses it: waiting for its messages would be in vain.
pub(super) async fn subscribe(line: &Line, filter: &str) {
    let Some(receipt) = line.sender().subscribed(filter).await else { return };
    let filter = filter.to_owned();
    tokio::spawn(async move {
        if let Err(NotDelivered::Refused(reason)) = receipt.await {
            eprintln!("the broker refuses the subscription to {filter}: {reason}; look at its access rules");
        }
    });
}

async fn hear_all(
    mqtt: &MqttConfig,
    filters: &[&str],
    mut hear: impl FnMut(&str, &[u8]),
) -> Result<(), Failure> {
    let mut line = Line::open(mqtt, &passing_by("watch"))?;
    let mut told = false;
    while let Some(happening) = line.next().await {
        match happening {
            Happening::Connected(_) => {
                told = false;
                for filter in filters {
                    subscribe(&line, filter).await;
                }
            }
            Happening::Message(message) => hear(&message.topic, &message.payload),
            Happening::Lost(lost) => {
                if !told {
                    eprintln!("no connection to the broker {}: {}; trying again", mqtt.url, lost.reason);
                    told = true;
                }
            }
        }
    }
    Ok(())
}
