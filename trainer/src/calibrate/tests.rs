use fieldmark_models::specificity::{Priors, SpecificityControl};
use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// Two kingdoms, six families of three genera of four species each.
fn tree() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for leaf in 0..144 {
        let (species, genus, family, kingdom) = (leaf, leaf / 4, leaf / 12, leaf / 72);
        let levels = [
            (Rank::Kingdom, format!("K{kingdom}")),
            (Rank::Family, format!("F{family:02}")),
            (Rank::Genus, format!("G{genus:02}")),
            (Rank::Species, format!("S{species:03}")),
        ];
        builder.insert(&Lineage::new(levels).expect("a lineage"), None);
    }
    builder.build().expect("a tree")
}

/// Logits whose softmax at temperature 1 says how probable each leaf is, with the truth drawn from it.
fn calibrated(taxonomy: &Taxonomy, random: &mut StdRng) -> (Vec<f32>, TaxonIndex) {
    let centre = random.random_range(0..taxonomy.leaf_count());
    let sharpness: f32 = random.random_range(0.5..9.0);
    let near = |leaf: usize| match leaf {
        _ if leaf == centre => 1.0,
        _ if leaf / 4 == centre / 4 => 0.75,
        _ if leaf / 12 == centre / 12 => 0.45,
        _ => 0.0,
    };
    let logits: Vec<f32> = (0..taxonomy.leaf_count()).map(|leaf| sharpness * near(leaf)).collect();
    let probabilities = temperature::softmax(&logits, 1.0);
    let mut left: f32 = random.random_range(0.0..1.0);
    let drawn = probabilities.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    let truth = taxonomy.leaf(drawn.unwrap_or(0)).expect("a leaf");
    (logits, truth)
}

fn samples(taxonomy: &Taxonomy, n: usize, seed: u64) -> Vec<(Vec<f32>, TaxonIndex)> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..n).map(|_| calibrated(taxonomy, &mut random)).collect()
}

fn cases<'a>(taxonomy: &'a Taxonomy, samples: &'a [(Vec<f32>, TaxonIndex)]) -> Vec<Case<'a>> {
    samples
        .iter()
        .enumerate()
        .map(|(group, (logits, truth))| Case { taxonomy, logits, truth: *truth, group })
        .collect()
}

fn judged(taxonomy: &Taxonomy, n: usize, seed: u64) -> Vec<Judged> {
    let samples = samples(taxonomy, n, seed);
    judge(&cases(taxonomy, &samples).iter().collect::<Vec<_>>(), 1.0)
}

#[test]
fn a_judged_answer_is_the_decisions_answer() {
    let taxonomy = tree();
    let samples = samples(&taxonomy, 200, 3);
    let mut control = SpecificityControl::new();
    for ((logits, truth), judged) in samples.iter().zip(judged(&taxonomy, 200, 3)) {
        for percent in 1..=100 {
            let threshold = Threshold::new(f64::from(percent) / 100.0).expect("a threshold");
            let probabilities = temperature::softmax(logits, 1.0);
            let decision = control
                .decide(&taxonomy, &probabilities, &threshold.into(), &Priors::none())
                .expect("a decision");
            let step = judged.at(threshold);
            assert_eq!(step.right, taxonomy.contains(decision.taxon, *truth));
            assert_eq!(step.depth, taxonomy.taxon(decision.taxon).depth());
        }
    }
}

#[test]
fn the_climb_rests_within_two_thousandths_of_the_exact_accuracy() {
    let taxonomy = tree();
    for (seed, target) in [(1, 0.8), (2, 0.85), (3, 0.9), (4, 0.95), (5, 0.98), (6, 0.99), (7, 0.9), (8, 0.8)]
    {
        let judged = judged(&taxonomy, 20_000, seed);
        let climbed = Figures::of(&judged, climb(&judged, target, seed)).accuracy;
        let exact = Figures::of(&judged, CriticalThresholds::new(&judged).exact(target)).accuracy;
        assert!((climbed - exact).abs() <= 0.002, "{target}: {climbed} {exact}");
        assert!(exact >= target, "{target}: {exact}");
    }
}

#[test]
fn thresholds_grow_with_what_they_promise() {
    let taxonomy = tree();
    let critical = CriticalThresholds::new(&judged(&taxonomy, 500, 9));
    for target in [0.5, 0.8, 0.9, 0.95] {
        let (exact, average) = (critical.exact(target), critical.average(target));
        assert!(exact <= average && average <= critical.confident(target, 0.95), "{target}");
        assert!(critical.confident(target, 0.9) <= critical.confident(target, 0.99), "{target}");
    }
}

#[test]
fn too_few_pictures_promise_nothing_but_the_root() {
    let taxonomy = tree();
    let critical = CriticalThresholds::new(&judged(&taxonomy, 20, 9));
    assert_eq!(critical.average(0.99), Threshold::CERTAIN);
    assert_eq!(critical.confident(0.9, 0.95), Threshold::CERTAIN);
}

/// Clopper and Pearson's bound from its definition: the probability under which `k` or more of `n` are as rare as
/// 1 - `confidence`, found by bisection of the binomial's plain sum.
fn clopper_pearson(k: usize, n: usize, confidence: f64) -> f64 {
    // From n of n downwards: the first term is the largest power that does not vanish.
    let tail = |p: f64| -> f64 {
        let (mut term, mut reached) = (p.powi(n as i32), 0.0);
        for successes in (k..=n).rev() {
            reached += term;
            term *= successes as f64 / (n - successes + 1) as f64 * (1.0 - p) / p;
        }
        reached
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if tail(middle) > 1.0 - confidence { high = middle } else { low = middle }
    }
    low
}

#[test]
fn the_confident_rank_is_the_first_whose_lower_bound_reaches_the_target() {
    // Critical thresholds 1/1000, 2/1000, ...: the threshold tells its rank.
    for (n, target) in [(60, 0.9), (200, 0.9), (200, 0.8), (400, 0.95)] {
        let critical = CriticalThresholds::ranked(n);
        let rank = (critical.confident(target, 0.95).value() * 1000.0).round() as usize;
        assert!(clopper_pearson(rank, n, 0.95) >= target, "{n} {target}: {rank}");
        assert!(clopper_pearson(rank - 1, n, 0.95) < target, "{n} {target}: {rank}");
    }
}

#[test]
fn the_promise_is_kept_in_as_many_calibrations_as_it_says() {
    let taxonomy = tree();
    let field = judged(&taxonomy, 40_000, 77);
    let mut random = StdRng::seed_from_u64(5);
    for target in [0.8, 0.9, 0.95] {
        let (mut kept, mut average) = (0, 0.0);
        for _ in 0..1000 {
            let sample: Vec<Judged> =
                (0..300).map(|_| field[random.random_range(0..field.len())].clone()).collect();
            let critical = CriticalThresholds::new(&sample);
            kept += usize::from(Figures::of(&field, critical.confident(target, 0.95)).accuracy >= target);
            average += Figures::of(&field, critical.average(target)).accuracy / 1000.0;
        }
        // 950 of 1000 are promised; three standard deviations of a binomial are 21.
        assert!(kept >= 929, "{target}: kept in {kept} of 1000");
        // Accuracy of one calibration varies by 0.017 at most, the mean of a thousand by 0.0006.
        assert!(average >= target - 0.002, "{target}: {average} on average");
    }
}

#[test]
fn the_temperature_that_made_the_logits_is_found_again() {
    let taxonomy = tree();
    let mut samples = samples(&taxonomy, 3000, 4);
    for (logits, _) in &mut samples {
        logits.iter_mut().for_each(|logit| *logit *= 2.5);
    }
    let cases = cases(&taxonomy, &samples);
    let found = best_temperature(&cases.iter().collect::<Vec<_>>());
    assert!((found - 2.5).abs() < 0.1, "{found}");
}

#[test]
fn a_calibration_measures_on_the_half_it_was_not_fitted_to() {
    let taxonomy = tree();
    let samples = samples(&taxonomy, 4000, 21);
    let cases = cases(&taxonomy, &samples);
    for halvings in [1, 3] {
        let settings = Settings { targets: vec![0.8, 0.9, 0.95], confidence: 0.95, halvings, seed: 1 };
        let calibration = calibrate(&cases, &settings).expect("a calibration");
        assert_eq!(calibration.n(), if halvings == 1 { 2000 } else { 4000 });
        for point in calibration.curve() {
            assert!((point.accuracy - point.target).abs() < 0.03, "{point:?}");
            assert!(point.threshold <= point.confident && point.exact <= point.average, "{point:?}");
        }
    }
    assert!(
        calibrate(&cases[..1], &Settings { targets: vec![0.9], confidence: 0.95, halvings: 1, seed: 1 })
            .is_err()
    );
}

#[test]
fn pictures_of_one_group_stand_in_one_half() {
    let taxonomy = tree();
    let samples = samples(&taxonomy, 60, 2);
    let mut cases = cases(&taxonomy, &samples);
    cases.iter_mut().for_each(|case| case.group /= 5);
    for halving in halvings(&cases, 4, 8) {
        let groups = |half: &[&Case<'_>]| {
            half.iter().map(|case| case.group).collect::<std::collections::BTreeSet<_>>()
        };
        let (fitting, judging) = (groups(&halving.fitting), groups(&halving.judging));
        assert!(fitting.is_disjoint(&judging));
        assert_eq!((fitting.len(), judging.len()), (6, 6));
    }
}

/// At a threshold of nothing the deepest leaf would be answered, however improbable.
#[test]
fn a_model_that_is_never_wrong_is_not_asked_for_the_deepest_leaf() {
    let mut builder = TaxonomyBuilder::new();
    let bird = [
        (Rank::Kingdom, "Animalia"),
        (Rank::Class, "Aves"),
        (Rank::Order, "Passeriformes"),
        (Rank::Species, "Corvus corax"),
    ];
    let lizard = [(Rank::Kingdom, "Animalia"), (Rank::Class, "Squamata"), (Rank::Species, "Lacerta agilis")];
    builder.insert(&Lineage::new(bird).expect("a lineage"), None);
    builder.insert(&Lineage::new(lizard).expect("a lineage"), None);
    let taxonomy = builder.build().expect("a tree");
    let of = |name: &str| {
        let own =
            |leaf: &usize| taxonomy.leaf(*leaf).is_some_and(|taxon| taxonomy.taxon(taxon).name() == name);
        (0..taxonomy.leaf_count()).find(own).expect("a leaf")
    };
    let (bird, lizard) = (of("Corvus corax"), of("Lacerta agilis"));
    let samples: Vec<_> = (0..40)
        .map(|number| {
            let leaf = if number % 2 == 0 { bird } else { lizard };
            let logits = (0..2).map(|other| if other == leaf { 8.0 } else { 0.0 }).collect();
            (logits, taxonomy.leaf(leaf).expect("a leaf"))
        })
        .collect();
    let settings = Settings { targets: vec![0.8], confidence: 0.9, halvings: 1, seed: 1 };
    let calibration = calibrate(&cases(&taxonomy, &samples), &settings).expect("a calibration");
    let point = &calibration.curve()[0];
    let mut control = SpecificityControl::new();
    for threshold in [point.threshold, point.exact, point.average, point.confident] {
        let probabilities = [0.0003f32, 0.9997];
        let probabilities: Vec<f32> = (0..2).map(|leaf| probabilities[usize::from(leaf == lizard)]).collect();
        let answer =
            control.decide(&taxonomy, &probabilities, &threshold.into(), &Priors::none()).expect("an answer");
        assert_eq!(Some(answer.taxon), taxonomy.leaf(lizard), "{threshold:?}");
    }
}
