//! Carries out what the journal says is due, and puts down how it went. Whatever happens here, inference goes on.

mod changing;
mod fetching;
mod trying;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::boot::{Ledger, folder_of, patience};
use super::exchange::Exchange;
use super::feed::Feed;
use super::machine::{Journal, Offer, Outcome, Slot, Step};
use super::trial::TrialReport;
use super::vitals::{Limits, Vitals};
use crate::command::SettingsCell;
use crate::config::{MqttConfig, NodeName, UpdateConfig};
use crate::engine::{EngineSettings, ModelIdentity};
use crate::publish::line::LineError;
use crate::publish::messages::{DesiredModel, ModelState, wire_time};
use crate::publish::{Phase, ShadowReport};
use crate::release::{Release, ReleaseKind, TrustError, Trusted, Truster};
use crate::rollout::{Desired, RolloutState, desired_topic};

/// Between two looks at how a model does.
const TICK: Duration = Duration::from_millis(250);
/// Between two reports of it.
const REPORT: Duration = Duration::from_secs(2);
/// First and longest pause after something failed.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Between two looks when nothing is to be done.
const REST: Duration = Duration::from_secs(3600);

/// What a worker is given.
pub struct Parts {
    /// How updates are taken.
    pub config: UpdateConfig,
    /// The broker.
    pub mqtt: MqttConfig,
    /// This node.
    pub node: NodeName,
    /// The configuration file.
    pub config_path: PathBuf,
    /// The journal, as the start of the daemon left it.
    pub ledger: Ledger,
    /// What is in force.
    pub live: Slot,
    /// What that is called.
    pub identity: ModelIdentity,
    /// What is updated.
    pub subject: Subject,
    /// Somebody asks for what is offered.
    pub install: mpsc::Receiver<()>,
    /// Publishes how far it is.
    pub report: Box<dyn Fn(ModelState) + Send + Sync>,
}

/// What is updated.
pub enum Subject {
    /// The model.
    Model {
        /// Settings a new model has to fit.
        settings: SettingsCell,
        /// The engine it runs on.
        engine: EngineSettings,
        /// The way to the inference thread.
        exchange: Arc<Exchange>,
    },
    /// The configuration.
    Config {
        /// The released package that answers, which a new configuration has to fit; `None` where the configured one
        /// does.
        package: Option<PathBuf>,
        /// Frames that were decided on since the start of the daemon.
        frames: Box<dyn Fn() -> u64 + Send + Sync>,
        /// Starts the daemon anew.
        restart: Box<dyn Fn() + Send + Sync>,
    },
}

impl Subject {
    /// Which kind of release it takes.
    #[must_use]
    pub fn kind(&self) -> ReleaseKind {
        match self {
            Self::Model { .. } => ReleaseKind::Model,
            Self::Config { .. } => ReleaseKind::Config,
        }
    }
}

/// Updates one node.
pub struct Worker {
    parts: Parts,
    feed: Feed,
    truster: Truster,
    trusted: Option<Trusted>,
    limits: Limits,
    /// Somebody asked for the rollout with this name.
    asked: Option<String>,
    /// Why what is wanted is not even offered.
    note: Option<String>,
    progress: Option<f64>,
    shadow: Option<ShadowReport>,
    trial: Option<TrialReport>,
    /// The model in the shadow, and the one kept at hand.
    in_shadow: Option<Release>,
    at_hand: Option<(Slot, ModelIdentity)>,
    before: Option<Vitals>,
    /// What is in force stands in memory alone: the disk did not take it.
    unkept: bool,
    failures: u32,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Begins to listen for what the group is to run.
    ///
    /// # Errors
    /// If the broker's settings cannot be used.
    pub fn new(parts: Parts, root: Vec<u8>) -> Result<Self, LineError> {
        let kind = parts.subject.kind();
        let client_id = format!("fieldmark-{}-update-{}", parts.node.as_str(), kind.name());
        let feed = Feed::open(&parts.mqtt, client_id, &desired_topic(kind, &parts.config.group))?;
        let config = &parts.config;
        let limits = Limits {
            failures: config.max_failures,
            latency_ms: config.max_latency_ms,
            latency_factor: config.max_latency_factor,
            drift: config.max_drift,
            frames: config.probation_frames,
        };
        Ok(Self {
            truster: Truster::new(root, &folder_of(config, kind)),
            limits,
            feed,
            trusted: None,
            asked: None,
            note: None,
            progress: None,
            shadow: None,
            trial: None,
            in_shadow: None,
            at_hand: None,
            before: None,
            unkept: false,
            failures: 0,
            stop: Arc::new(AtomicBool::new(false)),
            parts,
        })
    }

    /// Updates until `stopped`.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let stop = Arc::clone(&self.stop);
        self.report();
        tokio::select! {
            () = self.work() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        stop.store(true, Ordering::Relaxed);
        let mut journal = self.parts.ledger.journal.clone();
        journal.stop();
        if let Err(error) = self.parts.ledger.keep(journal) {
            tracing::warn!("{error}");
        }
        self.feed.close().await;
    }

    async fn work(&mut self) {
        self.sweep();
        loop {
            self.consider().await;
            self.align().await;
            self.keep_at_last();
            let step = self.parts.ledger.journal.step();
            let outcome = match step {
                Step::Rest | Step::Wait => {
                    self.idle(if self.unkept { PAUSES.0 } else { REST }).await;
                    continue;
                }
                Step::Download => self.download().await,
                Step::Verify => self.verify().await,
                Step::Build => self.build().await,
                Step::SelfTest => self.judge_trial(),
                Step::Shadow => self.look_on().await,
                Step::Watch => self.watch().await,
            };
            let Some(outcome) = outcome else { continue };
            let pause = !matches!(outcome, Outcome::Done | Outcome::Never(_));
            self.told(step, &outcome);
            let patience = patience(&self.parts.config);
            let kept = self.change(|journal| journal.conclude(step, outcome, patience));
            if pause || !kept {
                self.failures += 1;
                let factor = 1_u32 << self.failures.min(6);
                self.idle((PAUSES.0 * factor / 2).min(PAUSES.1)).await;
            } else {
                self.failures = 0;
            }
        }
    }

    fn told(&self, step: Step, outcome: &Outcome) {
        let what = self.offer().map(|offer| offer.release.to_string()).unwrap_or_default();
        match outcome {
            Outcome::Done => tracing::info!(release = what, "{step:?}: done"),
            Outcome::Later(reason) => tracing::warn!(release = what, "{step:?}: later: {reason}"),
            Outcome::Again(reason) => tracing::warn!(release = what, "{step:?}: again: {reason}"),
            Outcome::Never(reason) => tracing::error!(release = what, "{step:?}: {reason}"),
        }
    }

    /// Changes the journal, on the disk first; whether that took it.
    fn change(&mut self, edit: impl FnOnce(&mut Journal)) -> bool {
        let mut journal = self.parts.ledger.journal.clone();
        edit(&mut journal);
        if journal == self.parts.ledger.journal {
            self.report();
            return true;
        }
        let moved = journal.phase != self.parts.ledger.journal.phase;
        let kept = self.parts.ledger.keep(journal.clone());
        match &kept {
            Ok(()) => {
                (self.note, self.unkept) = (None, false);
                if moved {
                    self.progress = None;
                }
            }
            Err(error) => {
                tracing::error!("{error}");
                // A model that is not well does not go on answering for want of room. Another configuration needs another
                // start, which reads the disk.
                if journal.phase == Phase::RolledBack && self.exchange().is_some() {
                    self.note = journal.error.as_ref().map(|reason| format!("{reason}; {error}"));
                    self.unkept = true;
                    self.parts.ledger.hold(journal);
                } else {
                    self.note = Some(error.to_string());
                }
            }
        }
        self.report();
        kept.is_ok()
    }

    /// Puts on the disk what it did not take before.
    fn keep_at_last(&mut self) {
        if self.unkept && self.parts.ledger.keep(self.parts.ledger.journal.clone()).is_ok() {
            (self.note, self.unkept) = (None, false);
            self.report();
        }
    }

    fn offer(&self) -> Option<&Offer> {
        self.parts.ledger.journal.offer.as_ref()
    }

    fn report(&self) {
        let journal = &self.parts.ledger.journal;
        let told = |release: &Release| DesiredModel {
            name: release.name.clone(),
            version: release.version.to_string(),
            sha256: release.sha256,
            size: release.size,
        };
        let previous = journal.previous.as_ref().and_then(|slot| match slot {
            Slot::Released(kept) => Some(told(&kept.release)),
            Slot::Configured => None,
        });
        (self.parts.report)(ModelState {
            previous,
            group: Some(self.parts.config.group.clone()),
            rollout: journal.offer.as_ref().map(|offer| offer.rollout.clone()),
            desired: journal.offer.as_ref().map(|offer| told(&offer.release)),
            progress: self.progress,
            tries: (journal.tries > 0).then_some(journal.tries),
            error: self.note.clone().or_else(|| journal.error.clone()),
            shadow: self.shadow.clone(),
            since: journal.since.map(wire_time),
            ..ModelState::idle(self.parts.identity.clone(), journal.phase)
        });
    }

    /// Waits for something to be wanted, for at most `patience`.
    async fn idle(&mut self, patience: Duration) {
        tokio::select! {
            () = self.feed.wait(patience) => {}
            Some(()) = self.parts.install.recv() => self.install(),
        }
    }

    /// Somebody asks for what is wanted.
    fn install(&mut self) {
        self.asked = self.feed.wanted.desired.as_ref().map(|desired| desired.rollout.clone());
        self.feed.wanted.changed = true;
    }

    /// Compares what the fleet wants with what is being done.
    async fn consider(&mut self) {
        if self.parts.install.try_recv().is_ok() {
            self.install();
        }
        if std::mem::take(&mut self.feed.wanted.released) {
            self.trusted = None;
        }
        self.feed.wanted.changed = false;
        let kind = self.parts.subject.kind();
        let desired = self.feed.wanted.desired.clone().filter(|desired| desired.kind == kind);
        match desired {
            None => {
                // A broker that was emptied wants nothing, and takes nothing away either.
                if self.parts.ledger.journal.phase == Phase::Offered {
                    self.change(|journal| {
                        journal.unwanted();
                    });
                }
            }
            Some(desired) => self.consider_rollout(&desired).await,
        }
    }

    async fn consider_rollout(&mut self, desired: &Desired) {
        let journal = &self.parts.ledger.journal;
        let stays = self.offer().is_some_and(|offer| offer.rollout == desired.rollout);
        let offered =
            Offer { release: desired.release(), target: String::new(), rollout: desired.rollout.clone() };
        match desired.state {
            RolloutState::RolledBack => {
                self.change(|journal| {
                    journal.take_back(&offered);
                });
                return;
            }
            RolloutState::Aborted => {
                if stays {
                    self.change(|journal| {
                        journal.unwanted();
                    });
                }
                return;
            }
            RolloutState::Running | RolloutState::Paused | RolloutState::Stopped | RolloutState::Done => {}
        }
        let asked = self.asked.as_deref() == Some(desired.rollout.as_str());
        let open = matches!(desired.state, RolloutState::Running | RolloutState::Done);
        let included = self.parts.config.automatic && open && desired.includes(self.parts.node.as_str());
        let turn = asked || included;
        // What is under way or over needs no second look.
        if stays && journal.phase != Phase::Offered && !asked {
            return;
        }
        if stays && journal.phase == Phase::Offered && !turn {
            return;
        }
        if journal.given_up.contains(&(desired.rollout.clone(), desired.sha256)) && !asked {
            return;
        }
        if !self.may_run(&desired.release()) {
            let reason = format!(
                "{} is older than {} {}, which runs: a node goes back only to what it ran before",
                desired.release(),
                self.parts.identity.name,
                self.parts.identity.version
            );
            self.asked = None;
            self.change(|journal| journal.refuse(&offered, reason));
            return;
        }
        match self.listed(&desired.release()).await {
            Ok(listed) => {
                self.note = None;
                let offer = Offer::of(&listed, &desired.rollout);
                self.change(|journal| {
                    if asked {
                        journal.forgive(&offer);
                    }
                    journal.want(&offer, turn);
                });
                // Asked for once is tried once: what is given up after that is not forgiven again.
                self.asked = None;
                self.failures = 0;
            }
            Err(TrustError::Refused(reason)) => {
                tracing::error!("{reason}");
                self.note = Some(reason);
                self.report();
                self.retry_soon().await;
            }
            Err(error) => {
                tracing::warn!("{error}");
                self.note = Some(error.to_string());
                self.report();
                self.retry_soon().await;
            }
        }
    }

    /// What is wanted cannot be believed or read now: it is looked at again after a pause.
    async fn retry_soon(&mut self) {
        self.failures += 1;
        let factor = 1_u32 << self.failures.min(6);
        self.idle((PAUSES.0 * factor / 2).min(PAUSES.1)).await;
        self.feed.wanted.changed = true;
    }

    /// Not below what runs; back to the one before is allowed.
    fn may_run(&self, release: &Release) -> bool {
        let journal = &self.parts.ledger.journal;
        let is_previous = matches!(&journal.previous, Some(Slot::Released(kept)) if kept.release == *release);
        let running = semver::Version::parse(&self.parts.identity.version).ok();
        let below =
            release.name == self.parts.identity.name && running.is_some_and(|own| release.version < own);
        is_previous || !below
    }
}

/// Off the network's threads; `None` if it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.inspect_err(|error| tracing::error!("{error}")).ok()
}
