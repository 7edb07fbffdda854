//! What becomes of an offered release, state by state. No clock, no disk, no network: somebody else carries out the
//! [`Step`] that is due and says how it went. The whole state is [`Journal`], which is on the disk before it is acted
//! upon; a process that dies anywhere goes on from there.

use serde::{Deserialize, Serialize};

use crate::publish::Phase;
use crate::release::{Listed, Release};

/// Something that can answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// What the configuration names. It is never taken away.
    #[default]
    Configured,
    /// A release, kept on this node.
    Released(Kept),
}

/// A release that was fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// What it is.
    pub release: Release,
    /// Name of its target.
    pub target: String,
}

/// Something to be run, and who wants that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// What it is.
    pub release: Release,
    /// Name of its target.
    pub target: String,
    /// The rollout it belongs to.
    pub rollout: String,
}

impl Offer {
    /// As something kept.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept { release: self.release.clone(), target: self.target.clone() }
    }

    /// `listed`, for `rollout`.
    #[must_use]
    pub fn of(listed: &Listed, rollout: &str) -> Self {
        Self { release: listed.release.clone(), target: listed.target.clone(), rollout: rollout.into() }
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// It is somebody else's turn first.
    Wait,
    /// Fetch what is missing.
    Download,
    /// Check the file.
    Verify,
    /// Make an engine.
    Build,
    /// Show it the golden pictures.
    SelfTest,
    /// Let it look on.
    Shadow,
    /// See how it does.
    Watch,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It could not be tried; that costs nothing.
    Later(String),
    /// It failed, and may do better.
    Again(String),
    /// It failed, and always will.
    Never(String),
}

/// How patient a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Times a release is tried.
    pub tries: u32,
    /// Times a daemon may start in probation without ending in order.
    pub starts: u32,
}

/// Where an update is. What stands here is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Version of this file: 1.
    pub v: u32,
    /// How far it is.
    pub phase: Phase,
    /// What it is about.
    pub offer: Option<Offer>,
    /// What answers.
    pub running: Slot,
    /// What answered before, and would again.
    pub previous: Option<Slot>,
    /// Times the offer was tried in vain.
    pub tries: u32,
    /// Starts in the present probation.
    pub starts: u32,
    /// Whether the last run ended in order.
    pub clean: bool,
    /// What went wrong last.
    pub error: Option<String>,
    /// Since when it is as far as it is, by this machine's clock.
    pub since: Option<jiff::Timestamp>,
    /// Rollouts, with the digest of their release, that this node has tried enough.
    pub given_up: Vec<(String, fieldmark_models::package::Sha256Digest)>,
}

/// Rollouts that are remembered as given up.
const REMEMBERED: usize = 32;

impl Default for Journal {
    fn default() -> Self {
        Self {
            v: 1,
            phase: Phase::Running,
            offer: None,
            running: Slot::Configured,
            previous: None,
            tries: 0,
            starts: 0,
            clean: true,
            error: None,
            since: None,
            given_up: Vec::new(),
        }
    }
}

impl Journal {
    /// What is due.
    #[must_use]
    pub fn step(&self) -> Step {
        match self.phase {
            Phase::Running | Phase::Confirmed | Phase::Failed | Phase::RolledBack => Step::Rest,
            Phase::Offered => Step::Wait,
            Phase::Downloading => Step::Download,
            Phase::Verifying => Step::Verify,
            Phase::Building => Step::Build,
            Phase::SelfTest => Step::SelfTest,
            Phase::Shadow => Step::Shadow,
            Phase::Active => Step::Watch,
        }
    }

    /// What can answer, the first choice first; the last is always what is configured.
    #[must_use]
    pub fn choices(&self) -> Vec<Slot> {
        let mut choices = vec![self.running.clone()];
        choices.extend(self.previous.clone());
        choices.push(Slot::Configured);
        choices.dedup();
        choices
    }

    /// What must not be removed from the disk.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let slots = [Some(&self.running), self.previous.as_ref()].into_iter().flatten();
        let slots = slots.filter_map(|slot| match slot {
            Slot::Released(kept) => Some(kept.clone()),
            Slot::Configured => None,
        });
        slots.chain(self.offer.iter().filter(|_| !self.phase.is_over()).map(Offer::kept)).collect()
    }

    /// A process begins. One that died while a release was tried has that counted against the release.
    pub fn start(&mut self, patience: Patience) {
        let died = !self.clean;
        self.clean = false;
        match self.phase {
            Phase::Building | Phase::SelfTest | Phase::Shadow => {
                self.phase = Phase::Building;
                if died {
                    self.again("the daemon ended while it was tried".into(), patience);
                }
            }
            Phase::Active if died => {
                self.starts += 1;
                if self.starts >= patience.starts {
                    let starts = self.starts;
                    self.roll_back(format!("the daemon ended {starts} times on probation"));
                }
            }
            _ => {}
        }
    }

    /// The process ends in order.
    pub fn stop(&mut self) {
        self.clean = true;
    }

    /// `offer` is wanted; `turn` says whether it is this node's turn. Whether anything changed.
    pub fn want(&mut self, offer: &Offer, turn: bool) -> bool {
        // A probation is always brought to its end.
        if self.phase == Phase::Active || self.has_given_up(offer) {
            return false;
        }
        let runs = matches!(&self.running, Slot::Released(kept) if kept.release == offer.release);
        let known = self.offer.as_ref() == Some(offer);
        match (runs, known) {
            (true, true) if self.phase == Phase::Confirmed => false,
            (true, _) => {
                self.about(offer, Phase::Confirmed);
                true
            }
            (false, true) if self.phase == Phase::Offered && turn => {
                self.phase = Phase::Downloading;
                true
            }
            (false, true) => false,
            (false, false) => {
                self.about(offer, if turn { Phase::Downloading } else { Phase::Offered });
                true
            }
        }
    }

    /// `offer` is wanted and must not be taken.
    pub fn refuse(&mut self, offer: &Offer, reason: String) {
        if self.phase == Phase::Active || self.has_given_up(offer) {
            return;
        }
        self.about(offer, Phase::Failed);
        self.give_up(reason);
    }

    /// Somebody asks for `offer` once more, although it was given up.
    pub fn forgive(&mut self, offer: &Offer) {
        if self.phase.is_over() {
            self.given_up.retain(|(rollout, _)| *rollout != offer.rollout);
            if self.offer.as_ref() == Some(offer) && self.phase != Phase::Confirmed {
                self.offer = None;
            }
        }
    }

    /// Nothing is wanted any more, or another rollout than this one. Whether anything changed.
    pub fn unwanted(&mut self) -> bool {
        if self.phase.is_over() || self.phase == Phase::Active {
            return false;
        }
        self.offer = None;
        (self.tries, self.error) = (0, None);
        self.phase = if self.running == Slot::Configured { Phase::Running } else { Phase::Confirmed };
        true
    }

    /// The step that was due went so.
    pub fn conclude(&mut self, step: Step, outcome: Outcome, patience: Patience) {
        if step != self.step() {
            return;
        }
        match outcome {
            Outcome::Done => self.advance(),
            Outcome::Later(reason) => self.error = Some(reason),
            Outcome::Again(reason) if step == Step::Watch => self.error = Some(reason),
            Outcome::Never(reason) if step == Step::Watch => self.roll_back(reason),
            Outcome::Again(reason) => self.again(reason, patience),
            Outcome::Never(reason) => self.give_up(reason),
        }
    }

    /// The fleet manager takes `release` back. Whether anything changed.
    pub fn take_back(&mut self, offer: &Offer) -> bool {
        let runs = matches!(&self.running, Slot::Released(kept) if kept.release == offer.release);
        if runs && self.previous.is_some() {
            self.offer = Some(offer.clone());
            self.roll_back("rolled back by the fleet manager".into());
            return true;
        }
        let tried = self.offer.as_ref().is_some_and(|own| own.release == offer.release);
        tried && self.unwanted()
    }

    /// What was to answer cannot; the next choice does.
    pub fn unusable(&mut self, reason: String) {
        if self.phase.is_over() || self.phase == Phase::Active {
            return self.roll_back(reason);
        }
        // Something else is under way, and may well be the cure.
        self.running = self.previous.take().unwrap_or_default();
        self.error = Some(reason);
    }

    fn about(&mut self, offer: &Offer, phase: Phase) {
        self.offer = Some(offer.clone());
        self.phase = phase;
        (self.tries, self.starts, self.error) = (0, 0, None);
    }

    fn advance(&mut self) {
        self.error = None;
        self.phase = match self.phase {
            Phase::Downloading => Phase::Verifying,
            Phase::Verifying => Phase::Building,
            Phase::Building => Phase::SelfTest,
            Phase::SelfTest => Phase::Shadow,
            Phase::Shadow => {
                if let Some(offer) = &self.offer {
                    let before = std::mem::replace(&mut self.running, Slot::Released(offer.kept()));
                    self.previous = Some(before);
                    self.starts = 0;
                }
                Phase::Active
            }
            Phase::Active => Phase::Confirmed,
            other => other,
        };
    }

    fn again(&mut self, reason: String, patience: Patience) {
        self.tries += 1;
        if self.tries >= patience.tries {
            let tries = self.tries;
            self.give_up(if tries > 1 { format!("{reason} (tried {tries} times)") } else { reason });
            return;
        }
        self.error = Some(reason);
        self.phase = match self.phase {
            Phase::Verifying => Phase::Downloading,
            Phase::SelfTest | Phase::Shadow => Phase::Building,
            other => other,
        };
    }

    fn give_up(&mut self, reason: String) {
        self.phase = Phase::Failed;
        self.error = Some(reason);
        self.remember();
    }

    fn roll_back(&mut self, reason: String) {
        self.running = self.previous.take().unwrap_or_default();
        self.phase = Phase::RolledBack;
        self.error = Some(reason);
        self.remember();
    }

    fn remember(&mut self) {
        let Some(offer) = &self.offer else { return };
        self.given_up.retain(|(rollout, _)| *rollout != offer.rollout);
        self.given_up.push((offer.rollout.clone(), offer.release.sha256));
        if self.given_up.len() > REMEMBERED {
            self.given_up.remove(0);
        }
    }

    fn has_given_up(&self, offer: &Offer) -> bool {
        self.given_up.contains(&(offer.rollout.clone(), offer.release.sha256))
    }
}

#[cfg(test)]
mod tests;
