//! The broker inside the daemon, for a demonstration or a station of its own: MQTT 5 and 3.1.1, retained messages,
//! wills, sessions that survive a restart; anybody may connect.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::AllowAllAuthProvider;
use mqtt5::broker::config::{AuthConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{
    BrokerConfig, BrokerEventHandler, BrokerShutdownHandle, ClientDisconnectEvent, MqttBroker,
};
use tokio::sync::watch;

use crate::config;

/// Largest packet it takes.
const MAX_PACKET_BYTES: usize = 4 << 20;
/// What it keeps for a client that is away, at most.
const MOST_QUEUED: usize = 100_000;
const MOST_QUEUED_BYTES: usize = 128 << 20;

/// The broker could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "the embedded broker cannot listen on {listen}: {reason}; stop the program that uses this port, or change broker.listen"
)]
pub struct EmbeddedBrokerError {
    listen: SocketAddr,
    reason: String,
}

/// A running broker.
pub struct EmbeddedBroker {
    shutdown: BrokerShutdownHandle,
    task: tokio::task::JoinHandle<()>,
    left: watch::Receiver<String>,
}

/// Tells which client left last.
struct Departures(watch::Sender<String>);

impl BrokerEventHandler for Departures {
    fn on_client_disconnect<'a>(
        &'a self,
        event: ClientDisconnectEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.send_replace(event.client_id.to_string());
        Box::pin(async {})
    }
}

impl EmbeddedBroker {
    /// Starts listening. A folder that cannot be used is told, and the broker keeps everything in memory: the node
    /// works on.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn start(config: &config::BrokerConfig) -> Result<Self, EmbeddedBrokerError> {
        let listen = config.listen;
        let failed = |reason: String| EmbeddedBrokerError { listen, reason };
        // The broker tells of a taken port in its log only; a bind of our own tells here.
        drop(std::net::TcpListener::bind(listen).map_err(|error| failed(error.to_string()))?);
        if !listen.ip().is_loopback() {
            tracing::warn!(%listen, "the embedded broker lets anybody on this network read and write");
        }
        let (leaving, left) = watch::channel(String::new());
        let leaving = Arc::new(Departures(leaving));
        let broker = match &config.folder {
            None => with_storage(listen, &leaving, in_memory()).await,
            Some(folder) => match with_storage(listen, &leaving, in_folder(folder)).await {
                Err(error) => {
                    tracing::error!(
                        folder = %folder.display(),
                        "the embedded broker cannot keep anything: {error}; it keeps retained messages and sessions in memory"
                    );
                    with_storage(listen, &leaving, in_memory()).await
                }
                broker => broker,
            },
        };
        let broker = broker.map_err(|error| failed(error.to_string()))?;
        let mut broker = broker.with_auth_provider(Arc::new(AllowAllAuthProvider));
        let shutdown = broker.shutdown_handle();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!("the embedded broker ended: {error}; restart the daemon");
            }
        });
        tracing::info!(%listen, "embedded broker");
        Ok(Self { shutdown, task, left })
    }

    /// Closes all connections, once the client `last` has taken its leave: a broker that stops with a DISCONNECT
    /// still unread publishes that client's will.
    pub async fn stop(mut self, last: &str) {
        let gone = self.left.wait_for(|client| client == last);
        let _ = tokio::time::timeout(Duration::from_secs(1), gone).await;
        self.shutdown.shutdown();
        // Clients that do not answer are not waited for.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

fn in_memory() -> StorageConfig {
    StorageConfig::new().with_backend(StorageBackend::Memory).with_persistence(false)
}

fn in_folder(folder: &Path) -> StorageConfig {
    StorageConfig::new()
        .with_backend(StorageBackend::File)
        .with_base_dir(folder.into())
        .with_max_queued_messages_per_client(MOST_QUEUED)
        .with_max_queued_bytes_per_client(MOST_QUEUED_BYTES)
}

async fn with_storage(
    listen: SocketAddr,
    leaving: &Arc<Departures>,
    storage: StorageConfig,
) -> mqtt5::Result<MqttBroker> {
    let auth = AuthConfig { allow_anonymous: true, ..AuthConfig::default() };
    let config = BrokerConfig::default()
        .with_event_handler(Arc::clone(leaving) as Arc<dyn BrokerEventHandler>)
        .with_bind_address(listen)
        .with_max_packet_size(MAX_PACKET_BYTES)
        .with_storage(storage)
        .with_sys_topics_enabled(false)
        .with_auth(auth);
    MqttBroker::with_config(config).await
}
