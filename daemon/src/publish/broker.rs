//! The broker inside the daemon, for a demonstration or a station of its own: MQTT 5 and 3.1.1, retained
//! messages and wills, everything in memory, anybody may connect.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::AllowAllAuthProvider;
use mqtt5::broker::config::{AuthConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{
    BrokerConfig, BrokerEventHandler, BrokerShutdownHandle, ClientDisconnectEvent, MqttBroker,
};
use tokio::sync::watch;

/// Largest packet it takes.
const MAX_PACKET_BYTES: usize = 4 << 20;

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
    /// Starts listening on `listen`.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn start(listen: SocketAddr) -> Result<Self, EmbeddedBrokerError> {
        let failed = |reason: String| EmbeddedBrokerError { listen, reason };
        // The broker tells of a taken port in its log only; a bind of our own tells here.
        drop(std::net::TcpListener::bind(listen).map_err(|error| failed(error.to_string()))?);
        if !listen.ip().is_loopback() {
            tracing::warn!(%listen, "the embedded broker lets anybody on this network read and write");
        }
        let storage = StorageConfig::new().with_backend(StorageBackend::Memory).with_persistence(false);
        let auth = AuthConfig { allow_anonymous: true, ..AuthConfig::default() };
        let (leaving, left) = watch::channel(String::new());
        let config = BrokerConfig::default()
            .with_event_handler(Arc::new(Departures(leaving)))
            .with_bind_address(listen)
            .with_max_packet_size(MAX_PACKET_BYTES)
            .with_storage(storage)
            .with_sys_topics_enabled(false)
            .with_auth(auth);
        let broker = MqttBroker::with_config(config).await.map_err(|error| failed(error.to_string()))?;
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
