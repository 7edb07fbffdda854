//! What becomes of an offered release, state by state. No clock, no disk, no network: somebody else carries out the
//! [`Step`] that is due and says how it went. The whole state is [`Journal`], which is on the disk before it is acted
//! upon; a process that dies anywhere goes on from there.

use serde::{Deserialize, Serialize};

use crate::release::{Listed, Release};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing was ever offered.
    Running,
    /// There is something, and it is not this node's turn.
    Offered,
    /// Chunks are fetched.
    Downloading,
    /// The whole file is checked against its signed digest, and opened.
    Verifying,
    /// An engine is made in a process of its own.
    Building,
    /// The golden pictures are shown to it there.
    SelfTest,
    /// It looks at the same frames as the model that answers.
    Shadow,
    /// It answers, on probation.
    Active,
    /// It answers for good.
    Confirmed,
    /// It was not taken.
    Failed,
    /// It answered, and the one before it does again.
    RolledBack,
}

impl Phase {
    /// Whether nothing more is to be done.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Running | Self::Confirmed | Self::Failed | Self::RolledBack)
    }
}

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
mod tests {
    use fieldmark_models::package::Sha256Digest;
    use proptest::prelude::*;

    use super::*;
    use crate::release::ReleaseKind;

    const PATIENCE: Patience = Patience { tries: 3, starts: 3 };

    fn offer(number: u8) -> Offer {
        let version = semver::Version::new(1, u64::from(number), 0);
        let target = format!("toy-{version}.fieldmark");
        let sha256 = Sha256Digest::of(&[number]);
        let release = Release { kind: ReleaseKind::Model, name: "toy".into(), version, sha256, size: 1 };
        Offer { release, target, rollout: format!("r{number}") }
    }

    fn taken(number: u8) -> Journal {
        let mut journal = Journal::default();
        assert!(journal.want(&offer(number), true));
        while !journal.phase.is_over() {
            journal.conclude(journal.step(), Outcome::Done, PATIENCE);
        }
        journal
    }

    #[test]
    fn a_release_that_does_well_is_confirmed_and_the_one_before_is_kept() {
        let mut journal = taken(1);
        assert_eq!(journal.phase, Phase::Confirmed);
        assert_eq!(journal.choices(), [Slot::Released(offer(1).kept()), Slot::Configured]);
        assert!(!journal.want(&offer(1), true), "it runs already");
        assert!(journal.want(&offer(2), false));
        assert_eq!(journal.step(), Step::Wait);
        assert!(journal.want(&offer(2), true));
        assert_eq!(journal.step(), Step::Download);
        assert_eq!(journal.kept(), [offer(1).kept(), offer(2).kept()]);
    }

    #[test]
    fn probation_ends_in_the_last_known_good() {
        let mut journal = taken(1);
        journal.want(&offer(2), true);
        while journal.step() != Step::Watch {
            journal.conclude(journal.step(), Outcome::Done, PATIENCE);
        }
        assert_eq!(journal.running, Slot::Released(offer(2).kept()));
        journal.conclude(Step::Watch, Outcome::Never("no numbers".into()), PATIENCE);
        assert_eq!((journal.phase, journal.error.as_deref()), (Phase::RolledBack, Some("no numbers")));
        assert_eq!(journal.running, Slot::Released(offer(1).kept()));
        assert!(!journal.want(&offer(2), true), "not again in the same rollout");
        let retried = Offer { rollout: "another".into(), ..offer(2) };
        assert!(journal.want(&retried, true), "a new rollout may try again");
    }

    #[test]
    fn tries_are_counted_and_end() {
        let mut journal = Journal::default();
        journal.want(&offer(1), true);
        for _ in 0..3 {
            journal.conclude(Step::Download, Outcome::Later("clock".into()), PATIENCE);
            assert_eq!(journal.step(), Step::Download, "what is deferred costs nothing");
        }
        for _ in 0..2 {
            journal.conclude(Step::Download, Outcome::Done, PATIENCE);
            journal.conclude(Step::Verify, Outcome::Again("wrong digest".into()), PATIENCE);
            assert_eq!(journal.step(), Step::Download);
        }
        journal.conclude(Step::Download, Outcome::Done, PATIENCE);
        journal.conclude(Step::Verify, Outcome::Again("wrong digest".into()), PATIENCE);
        assert_eq!(journal.phase, Phase::Failed);
        assert_eq!(journal.error.as_deref(), Some("wrong digest (tried 3 times)"));
        assert_eq!(journal.running, Slot::Configured);
    }

    #[test]
    fn a_model_that_takes_the_daemon_down_is_left_alone_in_the_end() {
        let mut journal = Journal::default();
        journal.want(&offer(1), true);
        while journal.step() != Step::Watch {
            journal.conclude(journal.step(), Outcome::Done, PATIENCE);
        }
        journal.start(PATIENCE);
        journal.stop();
        journal.start(PATIENCE);
        assert_eq!(journal.starts, 0, "a run that ended in order does not count");
        for _ in 0..3 {
            assert_eq!(journal.phase, Phase::Active);
            journal.start(PATIENCE);
        }
        assert_eq!((journal.phase, &journal.running), (Phase::RolledBack, &Slot::Configured));
    }

    #[test]
    fn the_fleet_manager_takes_back_what_runs_and_what_is_under_way() {
        let mut journal = taken(1);
        assert!(journal.take_back(&offer(1)));
        assert_eq!((journal.phase, &journal.running), (Phase::RolledBack, &Slot::Configured));
        let mut journal = taken(1);
        journal.want(&offer(2), true);
        assert!(journal.take_back(&offer(2)));
        assert_eq!((journal.phase, journal.offer.is_none()), (Phase::Confirmed, true));
    }

    fn act(journal: &mut Journal, action: u8, number: u8) {
        let step = journal.step();
        match action {
            0 => {
                journal.want(&offer(number), number.is_multiple_of(2));
            }
            1 => {
                journal.unwanted();
            }
            2 => {
                journal.take_back(&offer(number));
            }
            3 => journal.start(PATIENCE),
            4 => journal.stop(),
            5 => journal.conclude(step, Outcome::Later("l".into()), PATIENCE),
            6 => journal.conclude(step, Outcome::Again("a".into()), PATIENCE),
            7 => journal.conclude(step, Outcome::Never("n".into()), PATIENCE),
            8 => journal.unusable("u".into()),
            _ => journal.conclude(step, Outcome::Done, PATIENCE),
        }
    }

    proptest! {
        /// Whatever happens, in whatever order: what answers was once confirmed, or is on probation now.
        #[test]
        fn only_what_passed_every_test_ever_answers(acts in proptest::collection::vec((0u8..16, 0u8..4), 0..200)) {
            let mut journal = Journal::default();
            let mut passed = vec![Slot::Configured];
            for (action, number) in acts {
                let before = journal.clone();
                act(&mut journal, action, number);
                if before.phase == Phase::Shadow && journal.phase == Phase::Active {
                    passed.push(journal.running.clone());
                }
                for slot in journal.choices() {
                    prop_assert!(passed.contains(&slot));
                }
                let choices = journal.choices();
                prop_assert_eq!(choices.last(), Some(&Slot::Configured));
                let text = serde_json::to_string(&journal).expect("JSON");
                prop_assert_eq!(&serde_json::from_str::<Journal>(&text).expect("own journal"), &journal);
                for slot in journal.choices() {
                    if let Slot::Released(kept) = slot {
                        prop_assert!(journal.kept().contains(&kept), "it is not swept away");
                    }
                }
            }
        }

        /// From any state, steps that fail or are cut off by death come to an end.
        #[test]
        fn every_update_ends(acts in proptest::collection::vec((0u8..16, 0u8..4), 0..60), fate in proptest::collection::vec(0u8..3, 64)) {
            let mut journal = Journal::default();
            for (action, number) in acts {
                act(&mut journal, action, number);
            }
            for choice in fate {
                if journal.step() == Step::Wait {
                    let offer = journal.offer.clone().expect("an offer");
                    journal.want(&offer, true);
                }
                match (choice, journal.step()) {
                    (0, Step::Watch) => { journal.clean = false; journal.start(PATIENCE); }
                    (0, step) => journal.conclude(step, Outcome::Again("a".into()), PATIENCE),
                    (1, Step::Build | Step::SelfTest | Step::Shadow) => { journal.clean = false; journal.start(PATIENCE); }
                    (_, step) => journal.conclude(step, Outcome::Done, PATIENCE),
                }
            }
            prop_assert!(journal.phase.is_over(), "{:?}", journal);
        }
    }
}
