//! How often a camera that is as it always was is said to depart, and one that is not.

use super::*;
use crate::observe::drift::{Given, Look};

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
const DAYS: u32 = 1000;

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
    fn answer(&mut self, lost: f64, kept: f64) -> Given<'static> {
        let mut left = self.next();
        let found = RANKS.iter().find(|(_, _, share)| {
            left -= share;
            left < 0.0
        });
        let &(rank, depth, _) = found.unwrap_or(&RANKS[5]);
        let best_leaf = (0.2 + 0.1 * f64::from(depth) * self.next()) * kept;
        if self.next() < lost {
            Given { rank: "root", depth: 0, best_leaf }
        } else {
            Given { rank, depth, best_leaf }
        }
    }
}

/// How answers follow each other.
#[derive(Debug, Clone, Copy)]
enum Runs {
    /// So many alike.
    Of(u64),
    /// So many alike on average, by chance.
    About(f64),
}

/// A camera-day of `count` answers; `check` sees it grow.
fn gather(
    chance: &mut Chance,
    (count, lost, kept): (u64, f64, f64),
    runs: Runs,
    check: &mut dyn FnMut(&Answers),
) -> Answers {
    let mut answers = Answers::default();
    let mut given = chance.answer(lost, kept);
    for number in 0..count {
        let another = match runs {
            Runs::Of(length) => number % length == 0,
            Runs::About(length) => chance.next() < 1.0 / length,
        };
        if another {
            given = chance.answer(lost, kept);
        }
        answers.add(&given);
        check(&answers);
    }
    answers
}

/// The share of days with an alarm, each of `day` = answers, lost, kept, beside a usual of 256 answers and a package
/// measured on so many pictures.
fn alarms(seed: u64, day: (u64, f64, f64), runs: Runs, pictures: u64) -> f64 {
    let mut chance = Chance(seed);
    let mut alarmed = 0;
    for _ in 0..DAYS {
        let measured = gather(&mut chance, (pictures, 0.0, 1.0), Runs::Of(1), &mut |_| {});
        let package = Mix { weight: number(pictures), shares: measured.shares() };
        let usual = Usual::of_answers(gather(&mut chance, (256, 0.0, 1.0), runs, &mut |_| {}));
        let mut alarm = false;
        gather(&mut chance, day, runs, &mut |answers| {
            if is_due(answers.count) && !alarm {
                let day = Summary { answers: answers.clone(), looks: Looks::default() };
                alarm = !departure(&day, Some(&package), &usual).reasons.is_empty();
            }
        });
        alarmed += u32::from(alarm);
    }
    f64::from(alarmed) / f64::from(DAYS)
}

#[test]
fn a_camera_as_usual_gives_a_false_alarm_on_less_than_one_day_in_two_hundred() {
    for (seed, most, pictures) in [(1, 64, 300), (2, 512, 38), (3, 2048, 300)] {
        let rate = alarms(seed, (most, 0.0, 1.0), Runs::Of(1), pictures);
        assert!(rate < 0.005, "{most} answers a day: {rate}");
    }
}

#[test]
fn answers_that_depend_on_each_other_give_false_alarms_on_less_than_one_day_in_fifty() {
    // Two tracks in a row of one animal, all day long; and animals that stay, for longer and longer.
    for (seed, most, runs) in [
        (4, 512, Runs::Of(2)),
        (5, 512, Runs::Of(16)),
        (6, 512, Runs::About(4.0)),
        (7, 512, Runs::About(16.0)),
        (8, 2048, Runs::About(16.0)),
    ] {
        let rate = alarms(seed, (most, 0.0, 1.0), runs, 300);
        assert!(rate < 0.02, "{most} answers a day, runs {runs:?}: {rate}");
    }
}

#[test]
fn a_camera_that_sees_less_is_found_out_within_a_day() {
    // A third of what was named is "an organism" now; nine days in ten, with 128 answers.
    let rate = alarms(9, (128, 0.35, 1.0), Runs::Of(1), 300);
    assert!(rate > 0.9, "{rate}");
    // All is named as before, with probabilities three tenths lower.
    let rate = alarms(10, (128, 0.0, 0.7), Runs::Of(1), 300);
    assert!(rate > 0.9, "{rate}");
    // Animals that stay for four answers: four times as many are needed.
    let rate = alarms(11, (512, 0.5, 1.0), Runs::About(4.0), 300);
    assert!(rate > 0.9, "{rate}");
    // A fiftieth is nothing to tell of, however many answers there are.
    let rate = alarms(12, (2048, 0.02, 1.0), Runs::Of(1), 300);
    assert!(rate < 0.02, "{rate}");
}

#[test]
fn genera_where_species_were_measured_depart_with_few_answers() {
    let mut answers = Answers::default();
    for number in 0..64 {
        let rank = if number % 2 == 0 { "genus" } else { "species" };
        answers.add(&Given { rank, depth: 6, best_leaf: 0.5 });
    }
    let package = Mix { weight: 100.0, shares: BTreeMap::from([("species".into(), 1.0)]) };
    let day = Summary { answers, looks: Looks::default() };
    assert_eq!(departure(&day, Some(&package), &Usual::default()).reasons, ["package_ranks"]);
}

#[test]
fn a_lens_out_of_focus_departs_and_another_light_does_not() {
    let seen = |sharpness: f64, brightness: f64, count: u64| {
        let mut looks = Looks::default();
        for number in 0..count {
            // Wind and clouds.
            let sharpness = sharpness * if number % 3 == 0 { 1.2 } else { 0.9 };
            looks.add(Look { size: (640, 480), sharpness, brightness });
        }
        looks
    };
    let usual = Usual::of_looks(seen(2.0, 120.0, 512));
    let reasons = |looks: Looks| departure(&Summary { looks, ..Summary::default() }, None, &usual).reasons;
    assert_eq!(reasons(seen(1.0, 120.0, 256)), ["sharpness"]);
    assert!(reasons(seen(1.5, 50.0, 256)).is_empty() && reasons(seen(1.0, 120.0, 64)).is_empty());
    // At night there is no detail to miss.
    assert!(reasons(seen(0.1, 5.0, 512)).is_empty());
    let mut larger = seen(1.0, 120.0, 256);
    larger.size = (1280, 960);
    assert!(reasons(larger).is_empty(), "a picture of another size is sharper or softer by itself");
}

#[test]
fn mixes_differ_by_the_share_that_is_elsewhere() {
    let mix = |shares: &[(&str, f64)]| Mix {
        weight: 100.0,
        shares: shares.iter().map(|&(rank, share)| (rank.into(), share)).collect(),
    };
    let (one, other) = (mix(&[("genus", 0.5), ("species", 0.5)]), mix(&[("genus", 0.7), ("root", 0.3)]));
    assert!((one.distance(&other) - 0.5).abs() < 1e-9 && one.distance(&one) < 1e-9);
}

#[test]
fn chance_exceeds_the_quantiles_in_one_of_ten_thousand() {
    // For an even number of degrees the tail is a sum.
    for degrees in [2, 4, 6, 8, 10, 12, 14, 20] {
        let half = chi_square(degrees) / 2.0;
        let (mut term, mut sum) = (1.0, 0.0);
        for number in 0..degrees / 2 {
            sum += term;
            term *= half / (number + 1) as f64;
        }
        let tail = (-half).exp() * sum;
        // Beyond the table a little rarer than said.
        let least = if degrees <= 12 { 0.99e-4 } else { 0.5e-4 };
        assert!((least..1.01e-4).contains(&tail), "{degrees}: {tail}");
    }
    assert!((1..20).all(|degrees| chi_square(degrees) < chi_square(degrees + 1)));
}
