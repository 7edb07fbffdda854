//! The taxa of the day: every track that began in it counts once, for what it was last told to be.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::publish::messages::Detection;
use crate::track::EventType;

/// Tracks remembered while they go on; of more the oldest counts for what it was when it was forgotten.
const OPEN: usize = 8192;
/// Taxa in one day, after which no further ones are begun.
const MOST: usize = 2000;

/// A taxon that was answered, with its lineage, so that a tree can be drawn of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenTaxon {
    /// Names from the kingdom down to the taxon itself.
    pub lineage: Vec<String>,
    /// Its rank.
    pub rank: String,
    /// Vernacular name, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// Tracks that were last told to be exactly this.
    pub tracks: u64,
}

/// One day, by the system's clock, UTC.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Day {
    /// `2026-11-25`.
    pub date: String,
    /// By the key of the taxon.
    pub taxa: BTreeMap<String, SeenTaxon>,
    #[serde(skip)]
    open: BTreeMap<(String, u64), Open>,
    /// Who is in `open`, by when.
    #[serde(skip)]
    order: BTreeMap<u64, (String, u64)>,
    #[serde(skip)]
    begun: u64,
}

/// A track that goes on.
#[derive(Debug, Clone)]
struct Open {
    taxon: String,
    order: u64,
}

impl Day {
    /// Takes an event in.
    pub(super) fn told(&mut self, detection: &Detection) {
        let date = detection.time.get(..10).unwrap_or_default();
        if date > self.date.as_str() {
            *self = Self { date: date.into(), ..Self::default() };
        }
        if date != self.date || detection.taxon.lineage.is_empty() {
            return;
        }
        let key = (detection.camera.clone(), detection.track.id);
        let before = self.open.remove(&key);
        if let Some(before) = &before {
            self.order.remove(&before.order);
        } else if detection.kind != EventType::New {
            // It was counted, on an earlier day or before it was forgotten.
            return;
        }
        let taxon = &detection.taxon;
        if before.as_ref().is_none_or(|before| before.taxon != taxon.id) {
            if let Some(before) = before
                && let Some(seen) = self.taxa.get_mut(&before.taxon)
            {
                seen.tracks = seen.tracks.saturating_sub(1);
            }
            if self.taxa.len() < MOST || self.taxa.contains_key(&taxon.id) {
                let seen = self.taxa.entry(taxon.id.clone()).or_insert_with(|| SeenTaxon {
                    lineage: taxon.lineage.clone(),
                    rank: taxon.rank.clone(),
                    common_name: taxon.common_name.clone(),
                    tracks: 0,
                });
                seen.tracks += 1;
            }
        }
        self.taxa.retain(|_, seen| seen.tracks > 0);
        if detection.kind != EventType::End {
            self.begun += 1;
            self.order.insert(self.begun, key.clone());
            self.open.insert(key, Open { taxon: taxon.id.clone(), order: self.begun });
            while self.open.len() > OPEN
                && let Some((_, oldest)) = self.order.pop_first()
            {
                self.open.remove(&oldest);
            }
        }
    }
}
