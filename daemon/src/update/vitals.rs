//! How a model does on live frames, and whether that is well enough.

use std::time::Duration;

use crate::decide::Answer;
use crate::publish::ShadowReport;

/// What was seen of a model since it began to look at frames.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vitals {
    /// Frames it answered.
    pub frames: u64,
    /// Frames it gave no answer for: its engine failed, or gave no probabilities.
    pub failures: u64,
    /// The last reason for that.
    pub last_failure: Option<String>,
    latency_ms: f64,
    answers: u64,
    ranks: Vec<(String, u64)>,
}

/// How the answers of two models go together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreement {
    /// Frames both looked at.
    pub frames: u64,
    /// Regions of them that both answered.
    pub answers: u64,
    /// With the same taxon.
    pub same: u64,
    /// With taxa of which one lies above the other, or the same.
    pub compatible: u64,
}

/// When a model is not well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Failures that are too many.
    pub failures: u64,
    /// Mean latency that is too long, milliseconds.
    pub latency_ms: Option<f64>,
    /// Times the latency of the model before that are too many.
    pub latency_factor: f64,
    /// Difference of the rank mixes (total variation, 0 to 1) that is too large.
    pub drift: f64,
    /// Frames that have to be seen before anything is said but of failures.
    pub frames: u64,
}

/// What is thought of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Well,
    /// Too few frames were seen.
    Early,
    /// It is not to be used, for this reason.
    Unwell(String),
}

impl Vitals {
    /// It looked at a frame, and took so long for all its regions.
    pub fn looked(&mut self, latency_ms: f64) {
        self.frames += 1;
        self.latency_ms += latency_ms;
    }

    /// A region got this answer.
    pub fn answered(&mut self, answer: &Answer) {
        self.answers += 1;
        let rank = &answer.taxon.rank;
        match self.ranks.iter_mut().find(|(known, _)| known == rank) {
            Some((_, count)) => *count += 1,
            None => self.ranks.push((rank.clone(), 1)),
        }
    }

    /// A frame, or one of its regions, got none.
    pub fn failed(&mut self, reason: &dyn std::fmt::Display) {
        self.failures += 1;
        self.last_failure = Some(reason.to_string());
    }

    /// Mean milliseconds from pixels to decision; 0 before the first.
    #[must_use]
    pub fn mean_latency_ms(&self) -> f64 {
        if self.frames == 0 { 0.0 } else { self.latency_ms / self.frames as f64 }
    }

    fn share(&self, rank: &str) -> f64 {
        let count = self.ranks.iter().find(|(known, _)| known == rank).map_or(0, |(_, count)| *count);
        count as f64 / self.answers.max(1) as f64
    }

    /// Total variation between the rank mixes of both, 0 to 1.
    #[must_use]
    pub fn drift(&self, other: &Self) -> f64 {
        let own = self.ranks.iter().map(|(rank, _)| rank);
        let others = other.ranks.iter().map(|(rank, _)| rank).filter(|rank| self.share(rank) == 0.0);
        own.chain(others).map(|rank| (self.share(rank) - other.share(rank)).abs()).sum::<f64>() / 2.0
    }

    /// Whether this model is well; `before` is how the one before it did, where that is known.
    #[must_use]
    pub fn judge(&self, before: Option<&Self>, limits: &Limits) -> Verdict {
        if self.failures >= limits.failures {
            let reason = self.last_failure.as_deref().unwrap_or("no answer");
            return Verdict::Unwell(format!("{} frames got no answer: {reason}", self.failures));
        }
        if self.frames < limits.frames {
            return Verdict::Early;
        }
        let latency = self.mean_latency_ms();
        if let Some(limit) = limits.latency_ms.filter(|&limit| latency > limit) {
            return Verdict::Unwell(format!("it needs {latency:.1} ms a frame, {limit:.1} are allowed"));
        }
        let Some(before) = before.filter(|before| before.frames >= limits.frames) else {
            return Verdict::Well;
        };
        // Below a millisecond the machine is measured, not the model.
        let allowed = (before.mean_latency_ms() * limits.latency_factor).max(5.0);
        if latency > allowed {
            let was = before.mean_latency_ms();
            return Verdict::Unwell(format!(
                "it needs {latency:.1} ms a frame, the model before {was:.1}; {} times as much is allowed",
                limits.latency_factor
            ));
        }
        let drift = self.drift(before);
        if drift > limits.drift {
            return Verdict::Unwell(format!(
                "{:.0} % of its answers are at other ranks than those of the model before, {:.0} % are allowed",
                drift * 100.0,
                limits.drift * 100.0
            ));
        }
        Verdict::Well
    }
}

impl Agreement {
    /// Both models answered a region.
    pub fn note(&mut self, live: &Answer, shadow: &Answer) {
        self.answers += 1;
        let (a, b) = (&live.taxon.lineage, &shadow.taxon.lineage);
        self.same += u64::from(a == b);
        let shorter = a.len().min(b.len());
        self.compatible += u64::from(a.get(..shorter) == b.get(..shorter));
    }

    /// What is told of the model in the shadow.
    #[must_use]
    pub fn report(&self, live: &Vitals, shadow: &Vitals) -> ShadowReport {
        let share = |count: u64| round(count as f64 / self.answers.max(1) as f64, 4);
        let ranks = live
            .ranks
            .iter()
            .chain(&shadow.ranks)
            .map(|(rank, _)| (rank.clone(), [round(live.share(rank), 4), round(shadow.share(rank), 4)]));
        ShadowReport {
            frames: self.frames,
            agreement: share(self.same),
            compatible: share(self.compatible),
            ranks: ranks.collect(),
            latency_ms: [round(live.mean_latency_ms(), 2), round(shadow.mean_latency_ms(), 2)],
        }
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// How far `passed` is on the way to `whole`, 0 to 1.
#[must_use]
pub(super) fn share_of(passed: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 1.0 } else { round((passed.as_secs_f64() / whole.as_secs_f64()).min(1.0), 3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { failures: 3, latency_ms: Some(100.0), latency_factor: 3.0, drift: 0.5, frames: 10 };

    fn vitals(frames: u64, latency_ms: f64, ranks: &[(&str, u64)]) -> Vitals {
        Vitals {
            frames,
            latency_ms: latency_ms * frames as f64,
            answers: ranks.iter().map(|(_, count)| count).sum(),
            ranks: ranks.iter().map(|&(rank, count)| (rank.into(), count)).collect(),
            ..Vitals::default()
        }
    }

    #[test]
    fn each_way_of_being_unwell_is_told_with_its_numbers() {
        let good = vitals(10, 10.0, &[("species", 8), ("genus", 2)]);
        assert_eq!(good.judge(Some(&good), &LIMITS), Verdict::Well);
        assert_eq!(vitals(9, 10.0, &[]).judge(None, &LIMITS), Verdict::Early);
        let unwell = |vitals: &Vitals| match vitals.judge(Some(&good), &LIMITS) {
            Verdict::Unwell(reason) => reason,
            other => panic!("{other:?}"),
        };
        let failing = Vitals { failures: 3, last_failure: Some("not a number".into()), ..Vitals::default() };
        insta::assert_snapshot!(unwell(&failing), @"3 frames got no answer: not a number");
        let slow = vitals(10, 101.0, &[("species", 10)]);
        insta::assert_snapshot!(unwell(&slow), @"it needs 101.0 ms a frame, 100.0 are allowed");
        let slower = vitals(10, 31.0, &[("species", 8), ("genus", 2)]);
        insta::assert_snapshot!(unwell(&slower), @"it needs 31.0 ms a frame, the model before 10.0; 3 times as much is allowed");
        let vague = vitals(10, 10.0, &[("kingdom", 10)]);
        insta::assert_snapshot!(unwell(&vague), @"100 % of its answers are at other ranks than those of the model before, 50 % are allowed");
    }

    #[test]
    fn drift_is_the_same_both_ways() {
        let (a, b) = (
            vitals(10, 1.0, &[("species", 5), ("genus", 5)]),
            vitals(4, 1.0, &[("genus", 1), ("family", 3)]),
        );
        assert!((a.drift(&b) - 0.75).abs() < 1e-12 && (b.drift(&a) - 0.75).abs() < 1e-12);
        assert!(a.drift(&a).abs() < 1e-12);
    }
}
