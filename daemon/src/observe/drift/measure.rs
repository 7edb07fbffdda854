//! When a camera departs. A departure has to be both surprising and large: many answers make every small difference
//! surprising, and few make large ones ordinary.
//!
//! Mixes of ranks are compared by the two-sample chi-square statistic (Pearson 1911) with ranks that are rarely
//! answered put together, and by half the sum of differences (total variation) for how large that is; means of the best
//! leaf's probability by Welch's statistic. A day is looked at when it has 32, 64, 128, … answers and not after each:
//! that bounds how often chance is asked, and with it false alarms. Rates of those, and of what is found, are measured in
//! the tests below, with draws of answers as a camera gives them.

use std::collections::{BTreeMap, BTreeSet};

use super::Summary;
use super::summary::number;

/// Answers that a comparison needs at least.
pub const FEWEST: u64 = 32;
/// How many standard deviations chance may do: one look in ten thousand.
const SURPRISE: f64 = 3.72;
/// Least difference of two mixes that is told of, 0 to 1.
const MIX: f64 = 0.2;
/// Least difference of mean best-leaf probabilities that is told of.
const BEST: f64 = 0.1;
/// What is left of the sharpness of a lens that is told of, or how many times as sharp a picture is.
const SHARPNESS: f64 = 0.6;
/// Pictures that a comparison of sharpness needs at least.
const PICTURES: u64 = 30;
/// Answers that are expected of a rank, or it is put together with others.
const EXPECTED: f64 = 5.0;

/// Shares of ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// Answers they were measured on.
    pub count: u64,
    /// By rank, to 1 together.
    pub shares: BTreeMap<String, f64>,
}

impl Mix {
    /// Of answers that were counted.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        let count = summary.answers.count;
        let share = |(rank, &of): (&String, &u64)| (rank.clone(), number(of) / number(count.max(1)));
        Self { count, shares: summary.answers.ranks.iter().map(share).collect() }
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
        let (one, two) = (number(self.count), number(other.count));
        if one < 1.0 || two < 1.0 {
            return false;
        }
        let mut counts: Vec<_> = self
            .ranks(other)
            .into_iter()
            .map(|rank| (self.share(rank) * one, other.share(rank) * two))
            .collect();
        // Rare ranks together, the rarest first, until enough is expected of them in the smaller sample.
        counts.sort_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
        let smaller = one.min(two) / (one + two);
        let (mut groups, mut rest) = (Vec::new(), (0.0, 0.0));
        for (a, b) in counts {
            rest = (rest.0 + a, rest.1 + b);
            if (rest.0 + rest.1) * smaller >= EXPECTED {
                groups.push(std::mem::take(&mut rest));
            }
        }
        if let Some(last) = groups.last_mut() {
            *last = (last.0 + rest.0, last.1 + rest.1);
        }
        if groups.len() < 2 {
            return false;
        }
        let term = |&(a, b): &(f64, f64)| (a * (two / one).sqrt() - b * (one / two).sqrt()).powi(2) / (a + b);
        let statistic: f64 = groups.iter().map(term).sum();
        statistic > chi_square(number(groups.len() as u64 - 1))
    }
}

/// What a chi-square of so many degrees of freedom exceeds by chance as rarely as a normal variable does [`SURPRISE`]
/// (Wilson & Hilferty 1931).
fn chi_square(degrees: f64) -> f64 {
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
#[must_use]
pub fn is_due(answers: u64) -> bool {
    answers >= FEWEST && answers.is_power_of_two()
}

/// How `day` departs from what the `package` was measured with, and from what is `usual` for the camera.
#[must_use]
pub fn departure(day: &Summary, package: Option<&Mix>, usual: Option<&Summary>) -> Departure {
    let mut reasons = Vec::new();
    let mix = Mix::of(day);
    let departs = |other: &Mix| mix.distance(other) >= MIX && mix.surprises(other);
    if mix.count >= FEWEST {
        if package.is_some_and(departs) {
            reasons.push("package_ranks");
        }
        if let Some(usual) = usual {
            if departs(&Mix::of(usual)) {
                reasons.push("usual_ranks");
            }
            if best_leaf_departs(day, usual) {
                reasons.push("usual_best_leaf");
            }
        }
    }
    if usual.is_some_and(|usual| sharpness_departs(day, usual)) {
        reasons.push("sharpness");
    }
    Departure { reasons }
}

fn best_leaf_departs(day: &Summary, usual: &Summary) -> bool {
    let (Some((now, spread)), Some((before, spread_before))) =
        (day.answers.best_leaf(), usual.answers.best_leaf())
    else {
        return false;
    };
    let error = (spread / number(day.answers.count) + spread_before / number(usual.answers.count)).sqrt();
    (now - before).abs() >= BEST && (now - before).abs() > SURPRISE * error
}

fn sharpness_departs(day: &Summary, usual: &Summary) -> bool {
    let (Some(now), Some(before)) = (day.looks.mean_sharpness(), usual.looks.mean_sharpness()) else {
        return false;
    };
    let enough = day.looks.count >= PICTURES && usual.looks.count >= PICTURES;
    enough && (now < before * SHARPNESS || now > before / SHARPNESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::drift::Look;

    /// The shipped model's answers at its target of 0.9, about.
    const RANKS: [(&str, u16, f64); 6] = [
        ("root", 0, 0.11),
        ("kingdom", 1, 0.08),
        ("class", 3, 0.15),
        ("family", 5, 0.10),
        ("genus", 6, 0.12),
        ("species", 7, 0.44),
    ];
    /// Camera-days that are drawn.
    const DAYS: u32 = 2000;

    /// xorshift64*: the same draws in every run.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
        }

        /// An answer of the mix, of which `lost` are moved to the root; what of its probability is `kept`.
        fn answer(&mut self, lost: f64, kept: f64) -> (&'static str, u16, f64) {
            let mut left = self.next();
            let found = RANKS.iter().find(|(_, _, share)| {
                left -= share;
                left < 0.0
            });
            let &(rank, depth, _) = found.unwrap_or(&RANKS[5]);
            let best = 0.2 + 0.1 * f64::from(depth) * self.next();
            if self.next() < lost { ("root", 0, best * kept) } else { (rank, depth, best * kept) }
        }
    }

    fn package() -> Mix {
        Mix { count: 300, shares: RANKS.iter().map(|&(rank, _, share)| (rank.into(), share)).collect() }
    }

    /// The share of days with an alarm, each up to `most` answers beside a usual of 256, which come in `runs` alike.
    fn alarms(seed: u64, most: u64, lost: f64, kept: f64, runs: u32) -> f64 {
        let mut chance = Chance(seed);
        let mut alarmed = 0;
        for _ in 0..DAYS {
            let mut gather = |count: u64, lost: f64, kept: f64, check: &mut dyn FnMut(&Summary)| {
                let (mut summary, mut left, mut answer) = (Summary::default(), 0, ("", 0, 0.0));
                for _ in 0..count {
                    if left == 0 {
                        (left, answer) = (runs, chance.answer(lost, kept));
                    }
                    left -= 1;
                    summary.answers.add(answer.0, answer.1, answer.2);
                    check(&summary);
                }
                summary
            };
            let usual = gather(256, 0.0, 1.0, &mut |_| {});
            let mut alarm = false;
            gather(most, lost, kept, &mut |day| {
                if is_due(day.answers.count) {
                    alarm |= !departure(day, Some(&package()), Some(&usual)).reasons.is_empty();
                }
            });
            alarmed += u32::from(alarm);
        }
        f64::from(alarmed) / f64::from(DAYS)
    }

    #[test]
    fn a_camera_as_usual_gives_a_false_alarm_on_less_than_one_day_in_two_hundred() {
        for (seed, most) in [(1, 64), (2, 512), (3, 4096)] {
            let rate = alarms(seed, most, 0.0, 1.0, 1);
            assert!(rate < 0.005, "{most} answers a day: {rate}");
        }
        // Two tracks in a row of one animal, all day long: chance is doubled, and still not taken for a change often.
        let rate = alarms(4, 512, 0.0, 1.0, 2);
        assert!(rate < 0.02, "in pairs: {rate}");
    }

    #[test]
    fn a_camera_that_sees_less_is_found_out_within_a_day() {
        // A third of what was named is "an organism" now; nine days in ten, with 128 answers.
        let rate = alarms(5, 128, 0.35, 1.0, 1);
        assert!(rate > 0.9, "{rate}");
        // All is named as before, with probabilities a quarter lower.
        let rate = alarms(6, 128, 0.0, 0.7, 1);
        assert!(rate > 0.9, "{rate}");
        // A fiftieth is nothing to tell of, however many answers there are.
        let rate = alarms(7, 4096, 0.02, 1.0, 1);
        assert!(rate < 0.02, "{rate}");
    }

    #[test]
    fn a_lens_out_of_focus_departs_and_another_light_does_not() {
        let seen = |sharpness: f64, brightness: f64, count: u64| {
            let mut summary = Summary::default();
            (0..count).for_each(|_| summary.looks.add(Look { sharpness, brightness }));
            summary
        };
        let usual = seen(2.0, 120.0, 256);
        let reasons = |day: &Summary| departure(day, None, Some(&usual)).reasons;
        assert_eq!(reasons(&seen(1.0, 120.0, 64)), ["sharpness"]);
        assert!(reasons(&seen(1.5, 30.0, 64)).is_empty() && reasons(&seen(1.0, 120.0, 8)).is_empty());
    }

    #[test]
    fn mixes_differ_by_the_share_that_is_elsewhere() {
        let mix = |shares: &[(&str, f64)]| Mix {
            count: 100,
            shares: shares.iter().map(|&(rank, share)| (rank.into(), share)).collect(),
        };
        let (one, other) = (mix(&[("genus", 0.5), ("species", 0.5)]), mix(&[("genus", 0.7), ("root", 0.3)]));
        assert!((one.distance(&other) - 0.5).abs() < 1e-9 && one.distance(&one) < 1e-9);
        // The chi-square quantile, beside the table's: 13.83 and 25.74 at one in ten thousand would be 15.1 and 27.9.
        assert!((chi_square(1.0) - 15.1).abs() < 0.4 && (chi_square(6.0) - 27.9).abs() < 0.3);
    }
}
