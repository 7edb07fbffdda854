//! The page of one node: [`state`] is what it shows, sent on by [`bulletin`] whenever something has changed; [`live`]
//! are the pictures; [`act`] hands what people ask for to the desk where commands from the broker go; [`exposition`] is
//! all of it in numbers, for Prometheus.

mod act;
mod bulletin;
mod exposition;
mod live;
mod routes;
mod state;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Guard, PageError, Server, serve};
use crate::capture::LatestFrames;
use crate::command::Equipment;
use crate::config::PageConfig;
use crate::observe::Observer;
use crate::publish::Connection;
use crate::publish::line::Incoming;

/// What the page looks at.
pub struct Sources {
    /// Name of the node.
    pub node: String,
    /// What commands are carried out with: cameras, settings, what may be asked for, and where replies come from.
    pub equipment: Arc<Equipment>,
    /// What the frame path and the node say.
    pub observer: Arc<Observer>,
    /// What became of frames.
    pub frames: Arc<LatestFrames>,
    /// Where the outbox lies, where it lies on a disk.
    pub folder: Option<PathBuf>,
    /// The session's connection.
    pub connection: Arc<Connection>,
    /// Where commands go.
    pub commands: mpsc::Sender<Incoming>,
    /// Temperatures, memory, whether the clock is set.
    pub machine: Box<dyn Fn() -> Machine + Send + Sync>,
}

/// How the machine is.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Machine {
    /// Who sets the clock.
    pub time_source: &'static str,
    /// Degrees Celsius by thermal zone.
    pub temperatures_c: std::collections::BTreeMap<String, f64>,
    /// Memory in use, bytes.
    pub rss_bytes: Option<u64>,
    /// Processor time of the process, seconds.
    pub cpu_seconds: Option<f64>,
}

/// What routes share.
pub(super) struct Shared {
    sources: Sources,
    read_only: bool,
    live: live::Live,
    bulletin: bulletin::Bulletin,
}

/// A page that is shown.
pub struct NodePage {
    server: Server,
    tasks: Vec<JoinHandle<()>>,
}

impl NodePage {
    /// Shows what `sources` give, as `config` says.
    ///
    /// # Errors
    /// If the address cannot be had, or there is no usable token.
    pub async fn start(config: &PageConfig, sources: Sources) -> Result<Self, PageError> {
        let guard = Arc::new(Guard::new(config)?);
        let live = live::Live::new(&sources, config);
        let bulletin = bulletin::Bulletin::new(config.max_viewers, config.live_every);
        let shared = Arc::new(Shared { sources, read_only: config.read_only, live, bulletin });
        let mut tasks = shared.live.start(config.live_width);
        tasks.push(tokio::spawn(bulletin::run(Arc::clone(&shared))));
        let routes = routes::routes(shared);
        let server = serve(config.listen, routes, guard, config.max_viewers).await;
        let server = server.inspect_err(|_| tasks.iter().for_each(JoinHandle::abort))?;
        tracing::info!(listen = %server.listen, read_only = config.read_only, "page");
        Ok(Self { server, tasks })
    }

    /// Closes all connections.
    pub async fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.server.stop().await;
    }
}
