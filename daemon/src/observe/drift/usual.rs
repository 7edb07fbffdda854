//! What is usual for a camera, and under what terms.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answers, Looks};

/// How many times as long as a day's answers at least those take that teach what is usual: by default a day.
const USUAL_SPREAD: u32 = 24;

/// Under what answers are alike: with another model or dial they are others, and nobody has departed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Digest of the model.
    pub model: String,
    /// The cut-off of the whole tree.
    pub threshold: f64,
}

/// What is usual for a camera.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// The terms of the answers.
    pub terms: Terms,
    pub(super) answers: First<Answers>,
    pub(super) looks: First<Looks>,
}

/// The first of a kind, until they are enough.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct First<T> {
    begun: Option<Timestamp>,
    gathered: T,
    known: bool,
}

impl<T> First<T> {
    /// Adds one at `now` by `add`, which says whether there are as many as are needed; whether that made it known.
    pub(super) fn learn(
        &mut self,
        now: Timestamp,
        spread: Duration,
        add: impl FnOnce(&mut T) -> bool,
    ) -> bool {
        if self.known {
            return false;
        }
        let begun = *self.begun.get_or_insert(now);
        self.known = add(&mut self.gathered) && spans(begun, now, spread * USUAL_SPREAD);
        self.known
    }

    fn known(&self) -> Option<&T> {
        self.known.then_some(&self.gathered)
    }
}

impl Usual {
    #[cfg(test)]
    pub(super) fn of_answers(gathered: Answers) -> Self {
        Self { answers: First { gathered, known: true, begun: None }, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn of_looks(gathered: Looks) -> Self {
        Self { looks: First { gathered, known: true, begun: None }, ..Self::default() }
    }

    /// Answers, once there are enough.
    #[must_use]
    pub fn answers(&self) -> Option<&Answers> {
        self.answers.known()
    }

    /// Pictures, once there are enough.
    #[must_use]
    pub fn looks(&self) -> Option<&Looks> {
        self.looks.known()
    }
}

/// Whether at least so much time lies between.
pub(super) fn spans(begun: Timestamp, now: Timestamp, least: Duration) -> bool {
    now.duration_since(begun).unsigned_abs() >= least
}
