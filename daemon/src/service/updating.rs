//! Whoever updates this node: one worker for its model, one for its configuration.

use std::path::PathBuf;
use std::sync::Arc;

use fieldmark_models::package::Sha256Digest;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::node::Node;
use crate::capture::LatestFrames;
use crate::command::{Ending, SettingsCell};
use crate::config::{Config, UpdateConfig};
use crate::decide::Decider;
use crate::engine::ModelIdentity;
use crate::publish::line::LineError;
use crate::update::{Exchange, Ledger, Parts, Slot, Subject, Worker};

/// Where updates were left when the daemon started.
pub struct Updating {
    /// The configuration file.
    pub config_path: PathBuf,
    /// The journal of models, and what answers.
    pub model: (Ledger, Slot),
    /// The journal of configurations, and what is in force.
    pub config: (Ledger, Slot),
}

/// What the workers need of the daemon.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) decider: &'a Decider,
    pub(super) node: &'a Arc<Node>,
    pub(super) settings: &'a SettingsCell,
    pub(super) frames: &'a Arc<LatestFrames>,
    pub(super) ending: &'a watch::Sender<Ending>,
}

/// Workers that run.
pub(super) struct Updates {
    pub(super) exchange: Arc<Exchange>,
    pub(super) install: mpsc::Sender<()>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Updates {
    /// Begins to update as `update` says. Without a root nothing can be trusted: the node goes on without updates.
    ///
    /// # Errors
    /// If the broker's settings cannot be used.
    pub(super) fn start(
        update: &UpdateConfig,
        updating: Updating,
        around: &Surroundings<'_>,
    ) -> Result<Option<Self>, LineError> {
        let root = match std::fs::read(&update.root) {
            Ok(root) => root,
            Err(error) => {
                tracing::error!(
                    "cannot read update.root {}: {error}; nothing is updated until it can be: copy the root.json of \
                     the fleet's release repository to it, and start the daemon again",
                    update.root.display()
                );
                return Ok(None);
            }
        };
        let Updating { config_path, model: (ledger, live), config } = updating;
        let package = match &live {
            Slot::Released(kept) => Some(ledger.path(kept)),
            Slot::Configured => None,
        };
        let exchange = Arc::new(Exchange::default());
        let (install, installs) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let node = Arc::clone(around.node);
        let parts = |ledger, live, identity, subject, install, report| Parts {
            config: update.clone(),
            mqtt: around.config.mqtt.clone(),
            node: around.config.node.clone(),
            config_path: config_path.clone(),
            ledger,
            live,
            identity,
            subject,
            install,
            report,
        };
        let (settings, engine) = (around.settings.clone(), around.config.engine.clone());
        let subject = Subject::Model { settings, engine, exchange: Arc::clone(&exchange) };
        let report: Report = Box::new(move |state| node.model_state(&state));
        let identity = around.decider.identity().clone();
        let models = Worker::new(parts(ledger, live, identity, subject, installs, report), root.clone())?;

        let (node, frames, ending) =
            (Arc::clone(around.node), Arc::clone(around.frames), around.ending.clone());
        let names = node.camera_names().to_vec();
        let subject = Subject::Config {
            package,
            frames: Box::new(move || frames.counts(&names).values().map(|counts| counts.inferred).sum()),
            restart: Box::new(move || {
                ending.send_replace(Ending::Restart);
            }),
        };
        let report: Report = Box::new(move |state| node.config_state(&state));
        let (ledger, live) = config;
        let identity = configuration(&live, &config_path);
        // Configurations have no button of their own.
        let (_, installs) = mpsc::channel(1);
        let configs = Worker::new(parts(ledger, live, identity, subject, installs, report), root)?;
        let workers = vec![tokio::spawn(models.run(stopped.clone())), tokio::spawn(configs.run(stopped))];
        Ok(Some(Self { exchange, install, stop, workers }))
    }

    /// Stops in order: what is under way is left as it stands in the journals.
    pub(super) async fn stop(self, patience: std::time::Duration) {
        self.stop.send_replace(true);
        for worker in self.workers {
            let _ = tokio::time::timeout(patience, worker).await;
        }
    }
}

type Report = Box<dyn Fn(crate::publish::messages::ModelState) + Send + Sync>;

/// What the configuration in force is called.
fn configuration(live: &Slot, path: &std::path::Path) -> ModelIdentity {
    match live {
        Slot::Released(kept) => ModelIdentity {
            name: kept.release.name.clone(),
            version: kept.release.version.to_string(),
            sha256: kept.release.sha256,
        },
        Slot::Configured => ModelIdentity {
            name: "configured".into(),
            version: "0.0.0".into(),
            sha256: Sha256Digest::of(&std::fs::read(path).unwrap_or_default()),
        },
    }
}
