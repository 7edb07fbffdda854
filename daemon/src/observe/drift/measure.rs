//! When a camera departs. A departure has to be both surprising and large: many answers make every small difference
//! surprising, and few make large ones ordinary.
//!
//! Mixes of ranks are compared by the two-sample chi-square statistic (Pearson 1911) with ranks that are rarely
//! answered put together, and by half the sum of differences (total variation) for how large that is; means of the best
//! leaf's probability and of sharpness by how far they are apart in their standard errors. Answers depend on those
//! before: one animal stays, and is answered again. So they count as the number of independent ones that would be as
//! uncertain ([`super::blocks`]), and below [`INDEPENDENT`] of those nothing is said. A day is looked at when it has 64,
//! 128, 256, … answers and not after each: that bounds how often chance is asked, and with it false alarms. Rates of
//! those, and of what is found, are measured in the tests below, with draws of answers as a camera gives them.

use std::collections::{BTreeMap, BTreeSet};

use super::number::number;
use super::{Answers, Looks, Summary, Usual};

/// Answers that a comparison needs at least.
pub const FEWEST: u64 = 64;
/// Independent answers that these have to be worth.
const INDEPENDENT: f64 = 24.0;
/// How many standard deviations chance may do: one look in ten thousand.
const SURPRISE: f64 = 3.72;
/// What a chi-square of 1, 2, 3, … degrees of freedom exceeds by chance in one of ten thousand.
const FEW_DEGREES: [f64; 12] =
    [15.137, 18.421, 21.108, 23.513, 25.745, 27.856, 29.878, 31.828, 33.72, 35.564, 37.367, 39.134];
/// Least difference of two mixes that is told of, 0 to 1.
const MIX: f64 = 0.2;
/// Least difference of mean best-leaf probabilities that is told of.
const BEST: f64 = 0.1;
/// What is left of the sharpness of a lens that is told of, or how many times as sharp a picture is.
const SHARPNESS: f64 = 0.6;
/// Pictures that a comparison of sharpness needs at least.
const PICTURES: u64 = 256;
/// Answers that are expected of a rank in the smaller sample, or it is put together with others.
const EXPECTED: f64 = 2.0;

/// Shares of ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Independent answers they are worth.
    pub weight: f64,
    /// By rank, to 1 together.
    pub shares: BTreeMap<String, f64>,
}

impl Mix {
    /// Of answers that were counted, `effect` times as uncertain as independent ones.
    #[must_use]
    pub fn of(answers: &Answers, effect: f64) -> Self {
        Self { weight: number(answers.count) / effect, shares: answers.shares() }
    }

    fn share(&self, rank: &str) -> f64 {
        self.shares.get(rank).copied().unwrap_or_default()
    }

    fn ranks<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        self.shares.keys().chain(other.shares.keys()).map(String::as_str).collect()
    }

    /// How different it is from `other`, 0 to 1: the share of answers that would have to be of another rank.
    #[must_use]
    pub fn distance(&self, other: &Self) -> f64 {
        let difference = |rank: &str| (self.share(rank) - other.share(rank)).abs();
        self.ranks(other).into_iter().map(difference).sum::<f64>() / 2.0
    }

    /// Whether chance alone would hardly make it so different from `other`.
    fn surprises(&self, other: &Self) -> bool {
        let (one, two) = (self.weight, other.weight);
        if one < 1.0 || two < 1.0 {
            return false;
        }
        let count = |rank| (self.share(rank) * one, other.share(rank) * two);
        let counts = self.ranks(other).into_iter().map(count).filter(|(a, b)| a + b > 0.0).collect();
        let groups = grouped(counts, one.min(two) / (one + two));
        if groups.len() < 2 {
            return false;
        }
        let term = |&(a, b): &(f64, f64)| (a * (two / one).sqrt() - b * (one / two).sqrt()).powi(2) / (a + b);
        groups.iter().map(term).sum::<f64>() > chi_square(groups.len() - 1)
    }
}

/// Rare ranks together, the rarest first, until enough is expected of them in the smaller sample, which has the share
/// `smaller` of all. The most frequent rank stands alone: what is left beside it is a group, however small.
fn grouped(mut counts: Vec<(f64, f64)>, smaller: f64) -> Vec<(f64, f64)> {
    counts.sort_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
    let Some(most) = counts.pop() else { return counts };
    let (mut groups, mut rest) = (Vec::new(), (0.0, 0.0));
    for (a, b) in counts {
        rest = (rest.0 + a, rest.1 + b);
        if (rest.0 + rest.1) * smaller >= EXPECTED {
            groups.push(std::mem::take(&mut rest));
        }
    }
    match groups.last_mut() {
        Some(last) => *last = (last.0 + rest.0, last.1 + rest.1),
        None if rest.0 + rest.1 > 0.0 => groups.push(rest),
        None => {}
    }
    groups.push(most);
    groups
}

/// What a chi-square of so many degrees of freedom exceeds by chance in one of ten thousand (Wilson & Hilferty 1931
/// beyond the table).
fn chi_square(degrees: usize) -> f64 {
    if let Some(exact) = FEW_DEGREES.get(degrees - 1) {
        return *exact;
    }
    let degrees = number(degrees as u64);
    let part = 2.0 / (9.0 * degrees);
    degrees * (1.0 - part + SURPRISE * part.sqrt()).powi(3)
}

/// How a day departs, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Departure {
    /// Of `package_ranks`, `usual_ranks`, `usual_best_leaf`, `sharpness`; none where it does not depart.
    pub reasons: Vec<&'static str>,
}

/// Whether a day with so many answers is to be looked at.
pub(super) fn is_due(answers: u64) -> bool {
    answers >= FEWEST && answers.is_power_of_two()
}

/// Whether a day with so many pictures is to be looked at.
pub(super) fn is_due_of_looks(pictures: u64) -> bool {
    pictures >= PICTURES && pictures.is_power_of_two()
}

/// How `day` departs from what the `package` was measured with, and from what is `usual` for the camera.
#[must_use]
pub fn departure(day: &Summary, package: Option<&Mix>, usual: &Usual) -> Departure {
    let mut reasons = Vec::new();
    if day.answers.count >= FEWEST {
        rank_reasons(&day.answers, package, usual.answers(), &mut reasons);
    }
    if usual.looks().is_some_and(|usual| sharpness_departs(&day.looks, usual)) {
        reasons.push("sharpness");
    }
    Departure { reasons }
}

fn rank_reasons(
    day: &Answers,
    package: Option<&Mix>,
    usual: Option<&Answers>,
    reasons: &mut Vec<&'static str>,
) {
    // What is usual was watched for longer: it knows of runs that a day may not show.
    let effect = usual.map_or(1.0, Answers::design_effect).max(day.design_effect());
    let mix = Mix::of(day, effect);
    if mix.weight < INDEPENDENT {
        return;
    }
    let departs = |other: &Mix| mix.distance(other) >= MIX && mix.surprises(other);
    if package.is_some_and(departs) {
        reasons.push("package_ranks");
    }
    let Some((usual, before)) = usual.map(|usual| (usual, Mix::of(usual, effect))) else { return };
    if before.weight < INDEPENDENT {
        return;
    }
    if departs(&before) {
        reasons.push("usual_ranks");
    }
    if apart(day.best_leaf(), usual.best_leaf()).is_some_and(|(far, errors)| far >= BEST && errors > SURPRISE)
    {
        reasons.push("usual_best_leaf");
    }
}

/// How far two means are apart, and how many standard errors of that difference.
fn apart(one: Option<(f64, f64)>, other: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let ((one, error), (other, error_of_other)) = (one?, other?);
    let far = (one - other).abs();
    Some((far, far / (error + error_of_other).sqrt().max(f64::MIN_POSITIVE)))
}

fn sharpness_departs(day: &Looks, usual: &Looks) -> bool {
    let large = |(far, errors): (f64, f64)| far >= -SHARPNESS.ln() && errors > SURPRISE;
    day.bright >= PICTURES
        && day.size == usual.size
        && apart(day.sharpness(), usual.sharpness()).is_some_and(large)
}

#[cfg(test)]
mod tests;
