//! The daemon from start to clean stop.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::inference::Inference;
use super::node::Node;
use crate::capture::{self, CaptureThread, LatestFrames, SourceError};
use crate::config::Config;
use crate::decide::Decider;
use crate::publish::broker::{EmbeddedBroker, EmbeddedBrokerError};
use crate::publish::outbox::Outbox;
use crate::publish::session::{Farewell, Session, SessionError, client_id};

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system gives no thread or no signal.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// No embedded broker.
    #[error(transparent)]
    Broker(#[from] EmbeddedBrokerError),
    /// No session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No source.
    #[error("camera {camera}: {source}")]
    Source {
        /// Name of the camera.
        camera: String,
        /// What is wrong.
        source: SourceError,
    },
}

/// Runs until SIGTERM or SIGINT, then stops in order: cameras, inference, and the session when everything that
/// was decided is acknowledged. A broker or a camera that is away is waited for.
///
/// # Errors
/// If something is missing that waiting will not bring.
pub async fn run(config: &Config, decider: Decider) -> Result<Farewell, RunError> {
    let mut signals = Signals::new()?;
    let broker = match &config.broker {
        Some(broker) => Some(EmbeddedBroker::start(broker.listen).await?),
        None => None,
    };
    let outbox = Arc::new(Outbox::new(config.mqtt.queue));
    let node = Arc::new(Node::new(config, &decider, Arc::clone(&outbox)));
    let session = Session::start(&config.mqtt, &config.node, outbox, node.greeting())?;
    let (stop, stopped) = watch::channel(false);
    let session = tokio::spawn(session.run(stopped, config.mqtt.stop_timeout));
    let path = FramePath::start(config, decider, &node)?;
    let measuring = tokio::spawn(measure(Arc::clone(&node), Arc::clone(&path.frames), config.mqtt.metrics));

    let signal = signals.next().await;
    tracing::info!("{signal}: stopping");
    measuring.abort();
    let frames = Arc::clone(&path.frames);
    // Waits for the frame in the engine; the network goes on meanwhile.
    let _ = tokio::task::spawn_blocking(move || path.stop()).await;
    node.measured(frames.counts(node.camera_names()));
    stop.send_replace(true);
    let lost = Farewell { acknowledged: 0, lost: 0, announced: false };
    let farewell = session.await.unwrap_or(lost);
    if let Some(broker) = broker {
        broker.stop(&client_id(&config.node)).await;
    }
    let Farewell { acknowledged, lost, announced } = farewell;
    tracing::info!(acknowledged, lost, announced, "stopped");
    Ok(farewell)
}

/// The threads between cameras and outbox.
struct FramePath {
    frames: Arc<LatestFrames>,
    captures: Vec<CaptureThread>,
    inference: JoinHandle<()>,
}

impl FramePath {
    fn start(config: &Config, decider: Decider, node: &Arc<Node>) -> Result<Self, RunError> {
        let failed = |source| RunError::System { what: "a thread", source };
        let frames = Arc::new(LatestFrames::new(config.cameras.len()));
        let inference = Inference::new(decider, Arc::clone(&frames), Arc::clone(node), &config.cameras);
        let inference = std::thread::Builder::new().name("inference".into()).spawn(move || inference.run());
        let mut captures = Vec::new();
        for (number, camera) in config.cameras.iter().enumerate() {
            let name = camera.name.as_str();
            let source =
                capture::open(camera).map_err(|source| RunError::Source { camera: name.into(), source })?;
            let node = Arc::clone(node);
            let tell = move |change| node.camera_changed(change);
            let capture =
                CaptureThread::start(number, name, source, camera.stall_timeout, Arc::clone(&frames), tell);
            captures.push(capture.map_err(failed)?);
        }
        Ok(Self { frames, captures, inference: inference.map_err(failed)? })
    }

    fn stop(self) {
        self.captures.into_iter().for_each(CaptureThread::stop);
        self.frames.close();
        if self.inference.join().is_err() {
            tracing::error!("the inference thread had panicked; the lines above say where");
        }
    }
}

async fn measure(node: Arc<Node>, frames: Arc<LatestFrames>, period: std::time::Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    // The first tick comes at once, before there is anything to tell.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        node.measured(frames.counts(node.camera_names()));
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let on = |kind| signal(kind).map_err(|source| RunError::System { what: "signal handling", source });
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
