//! What is gathered of one camera: today, and what is usual for it.

use serde::{Deserialize, Serialize};

use super::{Look, Summary, is_due};
use crate::publish::messages::Detection;

/// Answers and pictures after which it is known what is usual.
const USUAL: (u64, u64) = (256, 30);

/// Under what answers are alike: with another model or dial they are others, and nobody has departed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Digest of the model.
    pub model: String,
    /// The cut-off of the whole tree.
    pub threshold: f64,
}

/// What is usual for a camera: its first answers under the present terms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Under these.
    pub terms: Terms,
    /// What was gathered so far.
    pub summary: Summary,
}

impl Usual {
    /// Whether that is enough.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.summary.answers.count >= USUAL.0 && self.summary.looks.count >= USUAL.1
    }
}

/// Of one camera.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// `2026-11-25`, UTC.
    pub day: String,
    /// The day so far.
    pub today: Summary,
    /// What is usual.
    pub usual: Usual,
    /// Whether the day is to be looked at.
    pub due: bool,
    /// Whether what is usual became known just now.
    pub learned: bool,
}

impl Gathered {
    /// Takes the first answer of a track in, decided under `terms`.
    pub(in crate::observe) fn answered(&mut self, detection: &Detection, terms: &Terms) {
        let day = detection.time.get(..10).unwrap_or_default();
        if self.usual.terms != *terms {
            self.usual = Usual { terms: terms.clone(), summary: Summary::default() };
            self.today = Summary::default();
        }
        if self.day != day {
            (self.day, self.today) = (day.into(), Summary::default());
        }
        let taxon = &detection.taxon;
        let add = |summary: &mut Summary| {
            summary.answers.add(&taxon.rank, taxon.depth, detection.best_leaf.probability);
        };
        if self.usual.is_known() {
            add(&mut self.today);
            self.due |= is_due(self.today.answers.count);
        } else {
            add(&mut self.usual.summary);
            add(&mut self.today);
            self.due |= is_due(self.today.answers.count);
            self.learn();
        }
    }

    /// Takes a picture in.
    pub(in crate::observe) fn looked(&mut self, look: Look) {
        self.today.looks.add(look);
        if !self.usual.is_known() {
            self.usual.summary.looks.add(look);
            self.learn();
        }
    }

    /// The day that taught what is usual says nothing beside it.
    fn learn(&mut self) {
        if self.usual.is_known() {
            self.learned = true;
            self.today = Summary::default();
        }
    }
}
