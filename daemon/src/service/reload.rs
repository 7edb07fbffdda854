//! SIGHUP: the configuration is read again and checked; a good one is taken over as far as a running daemon can, a
//! bad one changes nothing.

use std::sync::Arc;

use super::logging;
use super::notify::ServiceManager;
use super::pulse::Standing;
use crate::command::{Equipment, Kept};
use crate::config::{self, Changes, Written};

/// Knows what was read last.
pub(super) struct Reloader {
    pub(super) manager: ServiceManager,
    pub(super) written: Written,
    pub(super) equipment: Arc<Equipment>,
    pub(super) standing: Arc<Standing>,
}

impl Reloader {
    /// Reads the configuration again, and says in log and status what became of it.
    pub(super) fn reload(&self) {
        let ready = self.standing.is_ready();
        if ready {
            self.manager.reloading();
        }
        let note = match self.take_over() {
            Ok(changes) => told(&changes),
            Err(error) => {
                tracing::error!("the new configuration is refused and the old one stays: {error}");
                format!("the new configuration is refused: {error}")
            }
        };
        self.standing.note(note.clone());
        if ready {
            self.manager.ready(&note);
        }
    }

    fn take_over(&self) -> anyhow::Result<Changes> {
        let (mut config, written) =
            config::read_layered(&self.written.path, self.written.released.as_deref())?;
        logging::check(&config.log)?;
        if let Some(path) = Kept::path(&config) {
            match Kept::read(&path) {
                Ok(kept) => kept.lay_over(&mut config),
                Err(error) => tracing::error!("settings kept by command are passed over: {error}"),
            }
        }
        self.equipment.reload(&config)?;
        logging::set_level(&config.log)?;
        // Compared with what the daemon started from: what a start would read stays told until there is one.
        Ok(self.written.changed(&written))
    }
}

fn told(changes: &Changes) -> String {
    if !changes.live.is_empty() {
        tracing::info!("reloaded; in force: {}", changes.live.join(", "));
    } else {
        tracing::info!("reloaded; no key is otherwise than at the start");
    }
    if changes.restart.is_empty() {
        return String::new();
    }
    let keys = changes.restart.join(", ");
    tracing::warn!(
        "changed, and read at a start only: {keys}; systemctl restart fieldmarkd puts them in force"
    );
    format!("restart to put in force: {keys}")
}
