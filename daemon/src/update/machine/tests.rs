//! The machine, driven by hand and by chance.

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
