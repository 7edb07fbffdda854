//! Which frames are worth a look: a scene in which nothing happens costs no inference.
//!
//! The brightness of a frame is averaged into a small grid of [`Cells`] and compared with an earlier grid under the
//! [`GateRules`]. A grid is made of what every camera's frames have cheaply: the luma samples of video, the grey of a
//! JPEG decoded at an eighth of its size, the green of RGB.

mod cells;
mod rules;

use std::time::Instant;

use fieldmark_models::views::FractionBox;

pub use cells::{Cells, Luma};
pub use rules::{GateChange, GateError, GateMode, GateRules};

/// The gate of one camera. Allocates when it is made and never again.
#[derive(Debug, Default)]
pub struct Gate {
    rules: GateRules,
    part: Option<FractionBox>,
    seen: Cells,
    reference: Cells,
    /// What `reference` shows is worth comparing with.
    known: bool,
    open_until: Option<Instant>,
    looked: Option<Instant>,
}

impl Gate {
    /// A gate with these rules that has seen nothing.
    #[must_use]
    pub fn new(rules: GateRules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Whether frames are judged at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rules.mode() != GateMode::Off
    }

    /// Puts `rules` in force.
    pub fn set(&mut self, rules: GateRules) {
        self.rules = rules;
        self.forget();
    }

    /// Takes the next frame as one never seen: it is asked something new.
    pub fn forget(&mut self) {
        (self.known, self.open_until) = (false, None);
    }

    /// Whether a frame is to be looked at, judged by the brightness of its `part` at `now`.
    pub fn opens(&mut self, luma: Luma<'_>, part: FractionBox, now: Instant) -> bool {
        self.known &= self.part == Some(part);
        self.part = Some(part);
        self.seen.measure(luma, part);
        let rules = &self.rules;
        let changed = !self.known || self.seen.changed(&self.reference, rules.level()) >= rules.area();
        if changed {
            self.open_until = Some(now + rules.hold());
        }
        let due = rules.refresh().is_some_and(|refresh| {
            self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= refresh)
        });
        let open = changed || due || self.open_until.is_some_and(|until| now < until);
        if open {
            self.looked = Some(now);
        }
        // Motion is against the frame before, novelty against the last one that was looked at.
        if open || rules.mode() == GateMode::Motion {
            std::mem::swap(&mut self.seen, &mut self.reference);
            self.known = true;
        }
        open
    }
}

#[cfg(test)]
mod tests;
