//! The next step of a rollout, from what the broker keeps: no clock and no memory of its own, so that a second
//! coordinator decides as the first would have.

use std::collections::BTreeMap;

use super::desired::{Desired, RolloutState, bucket};
use crate::publish::Phase;
use crate::publish::messages::{ModelState, status};
use crate::release::Release;

/// A node of the group, as the broker knows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member {
    /// Its last `status`.
    pub status: Option<String>,
    /// Its last `model/state`.
    pub state: Option<ModelState>,
}

/// Nodes by name.
pub type Fleet = BTreeMap<String, Member>;

/// How the nodes that take part stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Nodes of the group.
    pub members: usize,
    /// Those that take part so far.
    pub part: usize,
    /// Those of them that are confirmed.
    pub confirmed: usize,
    /// Those of them that failed or rolled back.
    pub failed: usize,
    /// Those of them that are away and not through.
    pub away: usize,
}

impl Member {
    fn phase(&self, rollout: &str) -> Option<Phase> {
        let state = self.state.as_ref()?;
        (state.rollout.as_deref() == Some(rollout)).then_some(state.phase)
    }

    fn is_here(&self) -> bool {
        self.status.as_deref() == Some(status::ONLINE)
    }
}

/// How the nodes of `fleet` stand in `desired`.
#[must_use]
pub fn survey(desired: &Desired, fleet: &Fleet) -> Survey {
    let mut found = Survey { members: fleet.len(), ..Survey::default() };
    for (_, member) in fleet.iter().filter(|(node, _)| desired.includes(node)) {
        found.part += 1;
        match member.phase(&desired.rollout) {
            Some(Phase::Confirmed) => found.confirmed += 1,
            Some(Phase::Failed | Phase::RolledBack) => found.failed += 1,
            _ if !member.is_here() => found.away += 1,
            _ => {}
        }
    }
    found
}

/// The first message of a rollout of `release` over `fleet`.
#[must_use]
pub fn begin(
    release: &Release,
    rollout: &str,
    stages: &[u32],
    hold_s: u64,
    max_failures: u32,
    fleet: &Fleet,
    now: jiff::Timestamp,
) -> Desired {
    let mut desired = Desired {
        v: 1,
        rollout: rollout.into(),
        kind: release.kind,
        name: release.name.clone(),
        version: release.version.clone(),
        sha256: release.sha256,
        size: release.size,
        state: RolloutState::Running,
        stages: stages.into(),
        stage: 0,
        below: 0,
        hold_s,
        max_failures,
        started: now,
        well_since: None,
        reason: None,
    };
    desired.below = reach(&desired, 0, fleet);
    desired
}

/// How far stage `stage` reaches. A stage of few nodes has at least one: without it the next would have no canary.
fn reach(desired: &Desired, stage: usize, fleet: &Fleet) -> u32 {
    let percent = desired.stages.get(stage).copied().unwrap_or(100);
    let asked = Desired::buckets(percent);
    let present = fleet.keys().map(|node| bucket(node, &desired.rollout));
    let next = present.filter(|&bucket| bucket >= desired.below).min();
    match next {
        Some(next) if percent > 0 => asked.max(next + 1).max(desired.below),
        _ => asked.max(desired.below),
    }
}

/// What the message is to be next; `None` while it is right as it is.
#[must_use]
pub fn advance(desired: &Desired, fleet: &Fleet, now: jiff::Timestamp) -> Option<Desired> {
    if desired.state != RolloutState::Running {
        return None;
    }
    let found = survey(desired, fleet);
    let mut next = desired.clone();
    let all_failed = found.failed > 0 && found.failed == found.part - found.away;
    if found.failed as u64 >= u64::from(desired.max_failures.max(1)) || all_failed {
        let reasons = fleet.values().filter_map(|member| {
            let phase = member.phase(&desired.rollout)?;
            let failed = matches!(phase, Phase::Failed | Phase::RolledBack);
            failed.then(|| member.state.as_ref().and_then(|state| state.error.clone())).flatten()
        });
        let reason = reasons.into_iter().next().unwrap_or_default();
        next.state = RolloutState::Stopped;
        next.well_since = None;
        next.reason = Some(format!("{} of {} nodes failed: {reason}", found.failed, found.part));
        return Some(next);
    }
    let is_last = desired.stage + 1 >= desired.stages.len();
    // Nodes that are away are not waited for: they follow when they are back. Somebody has to have confirmed it.
    let through = found.confirmed + found.failed + found.away == found.part;
    let well = through && (found.confirmed > 0 || found.members == 0);
    match (well, desired.well_since) {
        (false, None) => None,
        (false, Some(_)) => {
            next.well_since = None;
            Some(next)
        }
        (true, None) => {
            next.well_since = Some(now);
            Some(next)
        }
        (true, Some(since))
            if now.duration_since(since).as_secs() >= i64::try_from(desired.hold_s).unwrap_or(i64::MAX) =>
        {
            if is_last {
                next.state = RolloutState::Done;
                next.below = Desired::buckets(100);
            } else {
                next.stage += 1;
                next.below = reach(desired, next.stage, fleet);
            }
            next.well_since = None;
            Some(next)
        }
        (true, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use fieldmark_models::package::Sha256Digest;

    use super::super::desired::tests::example;
    use super::*;
    use crate::engine::ModelIdentity;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).expect("a time")
    }

    fn member(rollout: &str, phase: Phase) -> Member {
        let running =
            ModelIdentity { name: "toy".into(), version: "1.0.0".into(), sha256: Sha256Digest::of(b"x") };
        let state = ModelState {
            rollout: Some(rollout.into()),
            error: Some("broken".into()),
            ..ModelState::idle(running, phase)
        };
        Member { status: Some(status::ONLINE.into()), state: Some(state) }
    }

    fn fleet(count: usize) -> Fleet {
        (0..count).map(|number| (format!("n{number}"), member("before", Phase::Confirmed))).collect()
    }

    fn set(fleet: &mut Fleet, desired: &Desired, phase: Phase) {
        for (_, node) in fleet.iter_mut().filter(|(name, _)| desired.includes(name)) {
            *node = member(&desired.rollout, phase);
        }
    }

    #[test]
    fn stages_follow_each_other_on_confirmed_health_and_after_the_hold() {
        let mut nodes = fleet(40);
        let release = example().release();
        let mut desired = begin(&release, "r", &[5, 25, 100], 60, 2, &nodes, at(0));
        let first = survey(&desired, &nodes).part;
        assert!((1..=6).contains(&first), "{first}");
        assert_eq!(advance(&desired, &nodes, at(5)), None, "nobody has confirmed it");
        set(&mut nodes, &desired, Phase::Active);
        assert_eq!(advance(&desired, &nodes, at(9)), None, "probation is no confirmation");
        let mut reached = vec![desired.below];
        for stage in 0..3 {
            assert_eq!(desired.stage, stage);
            set(&mut nodes, &desired, Phase::Confirmed);
            let begun = 100 * (stage as i64 + 1);
            desired = advance(&desired, &nodes, at(begun)).expect("well");
            assert_eq!(desired.well_since, Some(at(begun)));
            assert_eq!(advance(&desired, &nodes, at(begun + 59)), None, "the hold is not over");
            desired = advance(&desired, &nodes, at(begun + 60)).expect("the next stage");
            reached.push(desired.below);
        }
        assert_eq!((desired.state, survey(&desired, &nodes).part), (RolloutState::Done, 40));
        assert!(reached.is_sorted(), "{reached:?}");
    }

    #[test]
    fn a_small_group_still_has_a_canary() {
        let nodes = fleet(3);
        let desired = begin(&example().release(), "r", &[5, 25, 100], 0, 2, &nodes, at(0));
        assert_eq!(survey(&desired, &nodes).part, 1);
    }

    #[test]
    fn failures_stop_it() {
        let mut nodes = fleet(100);
        let desired = begin(&example().release(), "r", &[10, 100], 0, 2, &nodes, at(0));
        set(&mut nodes, &desired, Phase::RolledBack);
        let stopped = advance(&desired, &nodes, at(1)).expect("stopped");
        assert_eq!(stopped.state, RolloutState::Stopped);
        assert!(stopped.reason.expect("a reason").ends_with("nodes failed: broken"));
        let one = begin(&example().release(), "r", &[5, 100], 0, 5, &fleet(3), at(0));
        let mut three = fleet(3);
        set(&mut three, &one, Phase::Failed);
        let stopped = advance(&one, &three, at(1)).expect("stopped");
        assert_eq!(stopped.state, RolloutState::Stopped, "every canary failed");
    }

    #[test]
    fn a_node_that_is_away_is_not_waited_for_and_one_that_falls_ill_starts_the_hold_anew() {
        let mut nodes = fleet(10);
        let mut desired = begin(&example().release(), "r", &[100], 60, 5, &nodes, at(0));
        set(&mut nodes, &desired, Phase::Confirmed);
        let away = nodes.get_mut("n3").expect("a node");
        (away.status, away.state) = (Some(status::OFFLINE.into()), None);
        desired = advance(&desired, &nodes, at(1)).expect("well");
        nodes.get_mut("n3").expect("a node").status = Some(status::ONLINE.into());
        desired = advance(&desired, &nodes, at(2)).expect("not well any more");
        assert_eq!(desired.well_since, None);
    }
}
