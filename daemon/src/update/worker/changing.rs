//! Changing what is in force: a model between two frames, a configuration by starting anew.

use std::path::{Path, PathBuf};

use super::{Subject, TICK, Worker, blocking};
use crate::decide::Decider;
use crate::engine::{LoadedModel, ModelIdentity};
use crate::publish::Phase;
use crate::release::Release;
use crate::update::exchange::{Change, Exchange};
use crate::update::machine::Slot;
use crate::update::store::sweep;

impl Worker {
    /// Makes the model that answers the one that the journal names, which is on the disk by now.
    pub(super) async fn align(&mut self) {
        let Some(exchange) = self.exchange() else { return self.restart().await };
        while self.parts.live != self.parts.ledger.journal.running {
            let wanted = self.parts.ledger.journal.running.clone();
            match self.put(&wanted, &exchange).await {
                Ok(()) => {
                    self.parts.live = wanted;
                    let which = format!("{} {}", self.parts.identity.name, self.parts.identity.version);
                    tracing::info!(model = which, "another model answers");
                    self.report();
                }
                Err(reason) => {
                    tracing::error!("{reason}");
                    if wanted == Slot::Configured {
                        // What answers now goes on; the next start tries again.
                        self.note = Some(reason);
                        self.report();
                        return;
                    }
                    if !self.change(|journal| journal.unusable(reason)) {
                        return;
                    }
                }
            }
        }
        let journal = &self.parts.ledger.journal;
        if journal.phase.is_over() && self.at_hand.is_some() {
            self.at_hand = None;
            exchange.ask(Change::Settle).await;
            self.sweep();
        }
        if self.in_shadow.is_some() && self.parts.ledger.journal.phase != Phase::Shadow {
            self.in_shadow = None;
            exchange.ask(Change::Unshadow).await;
        }
    }

    async fn put(&mut self, wanted: &Slot, exchange: &Exchange) -> Result<(), String> {
        let before = (self.parts.live.clone(), self.parts.identity.clone());
        let shadowed = matches!((wanted, &self.in_shadow), (Slot::Released(kept), Some(release)) if kept.release == *release);
        let stopping = || "the inference thread does not answer".to_owned();
        if shadowed {
            let Slot::Released(kept) = wanted else { return Err(stopping()) };
            self.in_shadow = None;
            if !exchange.ask(Change::Promote).await {
                return Err(stopping());
            }
            self.parts.identity = identity_of(&kept.release);
            self.at_hand = Some(before);
            return Ok(());
        }
        if self.at_hand.as_ref().is_some_and(|(slot, _)| slot == wanted) {
            let Some((_, identity)) = self.at_hand.take() else { return Err(stopping()) };
            if !exchange.ask(Change::Revert).await {
                return Err(stopping());
            }
            self.parts.identity = identity;
            return Ok(());
        }
        let decider = self.load(wanted).await?;
        let identity = decider.identity().clone();
        if !exchange.ask(Change::Become(decider)).await {
            return Err(stopping());
        }
        self.parts.identity = identity;
        Ok(())
    }

    pub(super) async fn load(&self, slot: &Slot) -> Result<Box<Decider>, String> {
        let config_path = self.parts.config_path.clone();
        let path = match slot {
            Slot::Released(kept) => Some(self.parts.ledger.path(kept)),
            Slot::Configured => None,
        };
        let Subject::Model { settings, engine, .. } = &self.parts.subject else {
            return Err("there is no model to load".into());
        };
        let (settings, engine) = (settings.get(), engine.clone());
        let loaded = blocking(move || {
            let path = match path {
                Some(path) => path,
                None => configured_package(&config_path)?,
            };
            let model = LoadedModel::open(&path, &engine, &mut |_| ()).map_err(|error| error.to_string())?;
            Decider::new(model, &settings.dial, &settings.expected).map_err(|error| error.to_string())
        });
        match loaded.await {
            Some(loaded) => loaded.map(Box::new),
            None => Err("the engine had an error of its own".into()),
        }
    }

    /// Removes what no state of the journal needs.
    pub(super) fn sweep(&self) {
        let journal = &self.parts.ledger.journal;
        let mut keep: Vec<_> = journal.kept().iter().map(|kept| self.parts.ledger.path(kept)).collect();
        if let Some(offer) = &journal.offer {
            let store = self.parts.ledger.store();
            keep.extend(["part", "have"].map(|kind| store.join(format!("{}.{kind}", offer.release.sha256))));
        }
        sweep(&self.parts.ledger.store(), &keep);
    }

    /// Another configuration is in force from the next start on.
    async fn restart(&mut self) {
        let Subject::Config { restart, .. } = &self.parts.subject else { return };
        if self.parts.live != self.parts.ledger.journal.running {
            tracing::info!("another configuration is to be in force: starting anew");
            restart();
            tokio::time::sleep(TICK).await;
        }
    }
}

fn configured_package(config_path: &Path) -> Result<PathBuf, String> {
    let config = crate::config::load(config_path).map_err(|error| error.to_string())?;
    match config.model.package {
        Some(path) => Ok(path),
        None => crate::engine::shipped_package().map_err(|error| error.to_string()),
    }
}

fn identity_of(release: &Release) -> ModelIdentity {
    ModelIdentity { name: release.name.clone(), version: release.version.to_string(), sha256: release.sha256 }
}
