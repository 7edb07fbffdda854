//! Finding out whether a release does what it should, before it answers and after.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fieldmark_models::package::Package;
use tokio::time::Instant;

use super::{REPORT, Subject, TICK, Worker, blocking};
use crate::alert::find_watched;
use crate::command::Settings;
use crate::release::ReleaseKind;
use crate::rollout::RolloutState;
use crate::update::exchange::{Change, Exchange};
use crate::update::machine::{Offer, Outcome, Slot};
use crate::update::store::digest;
use crate::update::trial::{TrialError, attempt};
use crate::update::vitals::{Verdict, share_of};

/// Beyond twice the probation, for a node that comes up slowly.
const GRACE: Duration = Duration::from_secs(10);

/// What a release has to fit.
enum Fits {
    Model(Arc<Settings>),
    Config(PathBuf, Option<PathBuf>),
}

impl Fits {
    fn check(&self, path: &Path, offer: &Offer) -> Result<(), String> {
        match self {
            Self::Model(settings) => fits_settings(path, offer, settings),
            Self::Config(base, package) => fits_node(path, base, package.as_deref()),
        }
    }
}

fn fits_settings(path: &Path, offer: &Offer, settings: &Settings) -> Result<(), String> {
    let package = Package::open(path).map_err(|error| error.to_string())?;
    let manifest = package.manifest();
    if (&manifest.name, &manifest.version) != (&offer.release.name, &offer.release.version) {
        let (name, version) = (&manifest.name, &manifest.version);
        return Err(format!("the package says it is {name}@{version}, it was released as {}", offer.release));
    }
    let taxonomy = package.taxonomy();
    settings.dial.cut_offs(taxonomy, package.calibration()).map_err(|error| error.to_string())?;
    find_watched(taxonomy, &settings.watch).map_err(|error| format!("watch.taxa: {error}"))?;
    find_watched(taxonomy, &settings.expected.taxa).map_err(|error| format!("prior {error}"))?;
    Ok(())
}

/// As `fieldmarkd check` looks at a configuration.
fn fits_node(layer: &Path, base: &Path, package: Option<&Path>) -> Result<(), String> {
    let config = crate::config::load_layered(base, Some(layer)).map_err(|error| error.to_string())?;
    let package = match package.or(config.model.package.as_deref()) {
        Some(package) => package.to_owned(),
        None => crate::engine::shipped_package().map_err(|error| error.to_string())?,
    };
    let package = Package::open(&package).map_err(|error| error.to_string())?;
    let taxonomy = package.taxonomy();
    config.model.dial.cut_offs(taxonomy, package.calibration()).map_err(|error| error.to_string())?;
    find_watched(taxonomy, &config.watch.taxa).map_err(|error| format!("watch.taxa: {error}"))?;
    find_watched(taxonomy, &config.model.expected.taxa).map_err(|error| format!("model.priors: {error}"))?;
    Ok(())
}

impl Worker {
    /// The way to the inference thread, where models are updated.
    pub(super) fn exchange(&self) -> Option<Arc<Exchange>> {
        match &self.parts.subject {
            Subject::Model { exchange, .. } => Some(Arc::clone(exchange)),
            Subject::Config { .. } => None,
        }
    }

    /// The whole file against its signed digest, everything in it against each other, and all of it against this node.
    pub(super) async fn verify(&mut self) -> Option<Outcome> {
        let offer = self.offer()?.clone();
        let path = self.parts.ledger.path(&offer.kept());
        let subject = match &self.parts.subject {
            Subject::Model { settings, .. } => Fits::Model(settings.get()),
            Subject::Config { package, .. } => Fits::Config(self.parts.config_path.clone(), package.clone()),
        };
        let checked = blocking(move || {
            let found = digest(&path).map_err(|error| Outcome::Again(error.to_string()))?;
            if found != offer.release.sha256 {
                let _ = std::fs::remove_file(&path);
                return Err(Outcome::Again(format!(
                    "the file has SHA-256 {found}, the release {}",
                    offer.release.sha256
                )));
            }
            subject.check(&path, &offer).map_err(Outcome::Never)
        });
        Some(match checked.await {
            Some(Ok(())) => Outcome::Done,
            Some(Err(outcome)) => outcome,
            None => Outcome::Again("the check had an error of its own".into()),
        })
    }

    pub(super) async fn build(&mut self) -> Option<Outcome> {
        if self.parts.subject.kind() == ReleaseKind::Config {
            return Some(Outcome::Done);
        }
        let path = self.parts.ledger.path(&self.offer()?.kept());
        if !path.exists() {
            return Some(Outcome::Never("its file is gone".into()));
        }
        let (config, patience) = (self.parts.config_path.clone(), self.parts.config.selftest_timeout);
        let stop = Arc::clone(&self.stop);
        let tried = blocking(move || attempt(&config, &path, patience, &stop)).await;
        Some(match tried {
            Some(Ok(report)) => {
                self.trial = Some(report);
                Outcome::Done
            }
            Some(Err(TrialError::Unusable(reason))) => Outcome::Never(reason),
            Some(Err(error @ (TrialError::NotMade(_) | TrialError::Stopped))) => {
                Outcome::Again(error.to_string())
            }
            None => Outcome::Again("the self-test had an error of its own".into()),
        })
    }

    pub(super) fn judge_trial(&mut self) -> Option<Outcome> {
        if self.parts.subject.kind() == ReleaseKind::Config {
            return Some(Outcome::Done);
        }
        let Some(report) = self.trial.take() else {
            return Some(Outcome::Again("there is no report".into()));
        };
        tracing::info!(
            engine = report.engine,
            pictures = report.pictures,
            latency_ms = report.latency_ms,
            peak_memory = report.peak_memory,
            "self-test"
        );
        let config = &self.parts.config;
        if let Some(limit) = config.max_latency_ms.filter(|&limit| report.latency_ms > limit) {
            let found = report.latency_ms;
            return Some(Outcome::Never(format!("it needs {found:.1} ms a picture, {limit:.1} are allowed")));
        }
        if let Some(limit) = config.max_memory.filter(|&limit| report.peak_memory > limit) {
            let (found, limit) = (report.peak_memory >> 20, limit >> 20);
            return Some(Outcome::Never(format!("it needs {found} MB of memory, {limit} are allowed")));
        }
        Some(Outcome::Done)
    }

    /// Lets the new model see what the present one sees.
    pub(super) async fn look_on(&mut self) -> Option<Outcome> {
        let Some(exchange) = self.exchange() else { return Some(Outcome::Done) };
        let offer = self.offer()?.clone();
        let slot = Slot::Released(offer.kept());
        let decider = match self.load(&slot).await {
            Ok(decider) => decider,
            Err(reason) => return Some(Outcome::Never(reason)),
        };
        self.in_shadow = Some(offer.release.clone());
        if !exchange.ask(Change::Shadow(decider)).await {
            return Some(Outcome::Again("the inference thread does not answer".into()));
        }
        let (begun, whole) = (Instant::now(), self.parts.config.shadow);
        let mut told = Instant::now();
        let outcome = loop {
            let observed = exchange.observed();
            let report = observed.agreement.report(&observed.live, &observed.shadow);
            if told.elapsed() >= REPORT || begun.elapsed() >= whole {
                told = Instant::now();
                self.progress = Some(share_of(begun.elapsed(), whole));
                self.shadow = Some(report);
                self.report();
            }
            if let Verdict::Unwell(reason) = observed.shadow.judge(None, &self.limits) {
                break Some(Outcome::Never(format!("in the shadow, {reason}")));
            }
            if begun.elapsed() >= whole {
                self.before = Some(observed.live);
                break Some(Outcome::Done);
            }
            self.feed.wait(TICK.min(whole.saturating_sub(begun.elapsed()))).await;
            if self.feed.wanted.changed && self.is_called_off() {
                break None;
            }
            self.note_release();
        };
        if outcome != Some(Outcome::Done) {
            self.in_shadow = None;
            exchange.ask(Change::Unshadow).await;
        }
        outcome
    }

    /// Whether what is under way is no longer wanted.
    fn is_called_off(&self) -> bool {
        let Some(desired) = &self.feed.wanted.desired else { return false };
        let other = self.offer().is_some_and(|offer| offer.rollout != desired.rollout);
        other || matches!(desired.state, RolloutState::Aborted | RolloutState::RolledBack)
    }

    /// Metadata that came meanwhile are looked at when there is time.
    fn note_release(&mut self) {
        if std::mem::take(&mut self.feed.wanted.released) {
            self.trusted = None;
        }
    }

    /// A node is well with another configuration when it reaches its broker and decides on frames.
    async fn watch_config(&mut self) -> Option<Outcome> {
        if self.parts.live != self.parts.ledger.journal.running {
            // The daemon is about to start anew.
            tokio::time::sleep(TICK).await;
            return None;
        }
        let (begun, whole) = (Instant::now(), self.parts.config.probation);
        let last = whole * 2 + GRACE;
        let wanted = self.parts.config.probation_frames;
        loop {
            let Subject::Config { frames, .. } = &self.parts.subject else { return None };
            let (seen, connected) = (frames(), self.feed.is_connected());
            if begun.elapsed() >= whole && connected && seen >= wanted {
                return Some(Outcome::Done);
            }
            if begun.elapsed() >= last {
                let broker = if connected { "it reaches its broker" } else { "it does not reach its broker" };
                return Some(Outcome::Never(format!(
                    "the node does not come up with it: {broker}, and has decided on {seen} of {wanted} frames"
                )));
            }
            self.feed.wait(TICK).await;
            self.note_release();
            if self.feed.wanted.changed {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    /// Sees how the new model does on its own.
    pub(super) async fn watch(&mut self) -> Option<Outcome> {
        let Some(exchange) = self.exchange() else { return self.watch_config().await };
        let (begun, whole) = (Instant::now(), self.parts.config.probation);
        let mut told = Instant::now();
        loop {
            let observed = exchange.observed();
            if told.elapsed() >= REPORT {
                told = Instant::now();
                self.progress = Some(share_of(begun.elapsed(), whole));
                self.report();
            }
            let verdict = observed.live.judge(self.before.as_ref(), &self.limits);
            match verdict {
                Verdict::Unwell(reason) => return Some(Outcome::Never(reason)),
                Verdict::Well if begun.elapsed() >= whole => return Some(Outcome::Done),
                Verdict::Well | Verdict::Early => {}
            }
            self.feed.wait(TICK).await;
            self.note_release();
            if self.feed.wanted.changed {
                let back = self
                    .feed
                    .wanted
                    .desired
                    .as_ref()
                    .filter(|desired| desired.state == RolloutState::RolledBack);
                if back
                    .is_some_and(|desired| self.offer().is_some_and(|offer| offer.rollout == desired.rollout))
                {
                    return Some(Outcome::Never("rolled back by the fleet manager".into()));
                }
                // Whatever else is wanted waits until the probation is over.
                tokio::time::sleep(TICK).await;
            }
        }
    }
}
