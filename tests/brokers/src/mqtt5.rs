//! `mqtt5 PORT FOLDER`: the broker that the daemon embeds, with the daemon's settings.

use anyhow::{Context, Result};
use mqtt5::broker::auth::AllowAllAuthProvider;
use mqtt5::broker::config::{AuthConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().context("PORT")?.parse()?;
    let folder = arguments.next().context("FOLDER")?;
    let storage = StorageConfig::new()
        .with_backend(StorageBackend::File)
        .with_base_dir(folder.into())
        .with_max_queued_messages_per_client(100_000)
        .with_max_queued_bytes_per_client(128 << 20);
    let config = BrokerConfig::default()
        .with_bind_address(([127, 0, 0, 1], port))
        .with_max_packet_size(4 << 20)
        .with_storage(storage)
        .with_sys_topics_enabled(false)
        .with_auth(AuthConfig { allow_anonymous: true, ..AuthConfig::default() });
    let broker = MqttBroker::with_config(config).await?;
    broker.with_auth_provider(Arc::new(AllowAllAuthProvider)).run().await?;
    Ok(())
}
