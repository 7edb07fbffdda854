use proptest::prelude::*;

use super::*;
use crate::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};

fn tree(lineages: &[&[&str]]) -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for names in lineages {
        builder.insert(&Lineage::new(Rank::MAIN.into_iter().zip(*names)).expect("a lineage"), None);
    }
    builder.build().expect("a tree")
}

fn oaks() -> Taxonomy {
    tree(&[
        &["Plantae", "", "", "Fagales", "Fagaceae", "Quercus", "Quercus ilex"],
        &["Plantae", "", "", "Fagales", "Fagaceae", "Quercus", "Quercus robur"],
        &["Plantae", "", "", "Fagales", "Betulaceae", "Betula"],
    ])
}

fn decide(taxonomy: &Taxonomy, probabilities: &[f32], threshold: f64, priors: &Priors) -> Decision {
    let threshold = Threshold::new(threshold).expect("a threshold");
    SpecificityControl::new().decide(taxonomy, probabilities, &threshold.into(), priors).expect("a decision")
}

fn named(taxonomy: &Taxonomy, name: &str) -> TaxonIndex {
    taxonomy.find_name(name)[0]
}

#[test]
fn it_answers_the_genus_when_the_species_is_unsure() {
    let taxonomy = oaks();
    // Outputs in pre-order: Betula, Quercus ilex, Quercus robur.
    let decision = decide(&taxonomy, &[0.1, 0.5, 0.4], 0.8, &Priors::none());
    assert_eq!(taxonomy.taxon(decision.taxon).name(), "Quercus");
    assert_eq!(decision.stop, Stop::Threshold);
    assert!((decision.probability - 0.9).abs() < 1e-6);
    assert_eq!(taxonomy.taxon(decision.best_leaf).name(), "Quercus ilex");
}

#[test]
fn a_sure_leaf_is_answered_as_a_leaf() {
    let taxonomy = oaks();
    let decision = decide(&taxonomy, &[0.05, 0.05, 0.9], 0.8, &Priors::none());
    assert_eq!((decision.stop, taxonomy.taxon(decision.taxon).name()), (Stop::Leaf, "Quercus robur"));
}

#[test]
fn a_threshold_of_one_still_has_an_answer() {
    let taxonomy = oaks();
    let decision = decide(&taxonomy, &[0.1, 0.5, 0.4], 1.0, &Priors::none());
    assert_eq!(taxonomy.taxon(decision.taxon).name(), "Fagales");
}

#[test]
fn a_prior_conditions_the_probabilities() {
    let taxonomy = oaks();
    let priors = Priors::new(&taxonomy, [named(&taxonomy, "Quercus")]);
    let decision = decide(&taxonomy, &[0.8, 0.15, 0.05], 0.7, &priors);
    assert_eq!(taxonomy.taxon(decision.taxon).name(), "Quercus ilex");
    assert!((decision.probability - 0.75).abs() < 1e-6);
}

#[test]
fn nested_priors_are_merged() {
    let taxonomy = oaks();
    let nested =
        [named(&taxonomy, "Quercus ilex"), named(&taxonomy, "Quercus"), named(&taxonomy, "Fagaceae")];
    assert_eq!(Priors::new(&taxonomy, nested), Priors::new(&taxonomy, [named(&taxonomy, "Fagaceae")]));
}

#[test]
fn no_mass_below_the_priors_is_no_answer() {
    let taxonomy = oaks();
    let priors = Priors::new(&taxonomy, [named(&taxonomy, "Betula")]);
    let decision = decide(&taxonomy, &[0.0, 0.5, 0.5], 0.5, &priors);
    assert_eq!((decision.taxon, decision.stop, decision.probability), (TaxonIndex::ROOT, Stop::Prior, 0.0));
}

#[test]
fn numbers_that_are_no_distribution_are_errors() {
    let taxonomy = oaks();
    let threshold = Thresholds::everywhere(Threshold::new(0.5).expect("a threshold"));
    let mut control = SpecificityControl::new();
    let mut decide = |p: &[f32]| control.decide(&taxonomy, p, &threshold, &Priors::none());
    assert_eq!(decide(&[1.0]), Err(ProbabilityError::Count { found: 1, expected: 3 }));
    assert!(matches!(decide(&[0.5, f32::NAN, 0.5]), Err(ProbabilityError::Value { output: 1, .. })));
    assert!(matches!(decide(&[f32::INFINITY, 0.0, 0.0]), Err(ProbabilityError::Value { output: 0, .. })));
    assert!(matches!(decide(&[-0.1, 0.6, 0.5]), Err(ProbabilityError::Value { output: 0, .. })));
    assert!(matches!(decide(&[0.5, 0.5, 0.5]), Err(ProbabilityError::Sum(_))));
    assert!(Threshold::new(f64::NAN).is_err() && Threshold::new(1.1).is_err());
}

#[test]
fn ties_go_to_the_first_in_pre_order() {
    let taxonomy = oaks();
    let decision = decide(&taxonomy, &[0.0, 0.5, 0.5], 0.5, &Priors::none());
    assert_eq!(taxonomy.taxon(decision.taxon).name(), "Quercus ilex");
    assert_eq!(taxonomy.taxon(decision.best_leaf).name(), "Quercus ilex");
}

#[test]
fn a_single_leaf_is_always_the_answer() {
    let taxonomy = tree(&[&["Plantae"]]);
    assert_eq!(decide(&taxonomy, &[1.0], 1.0, &Priors::none()).stop, Stop::Leaf);
}

/// The paper's formula as it is written: recursion over children, probabilities conditioned leaf by leaf.
fn naive(taxonomy: &Taxonomy, probabilities: &[f64], threshold: f64) -> Vec<(TaxonIndex, f64)> {
    fn node_probability(taxonomy: &Taxonomy, node: TaxonIndex, probabilities: &[f64]) -> f64 {
        if taxonomy.taxon(node).is_leaf() {
            return probabilities[taxonomy.taxon(node).leaves().start];
        }
        taxonomy.children(node).map(|child| node_probability(taxonomy, child, probabilities)).sum()
    }
    taxonomy
        .iter()
        .map(|(node, _)| (node, node_probability(taxonomy, node, probabilities)))
        .filter(|&(node, probability)| probability >= threshold || node == TaxonIndex::ROOT)
        .collect()
}

fn scored() -> impl Strategy<Value = (Taxonomy, Vec<u16>, Vec<prop::sample::Index>, u8)> {
    crate::taxonomy::tests::arbitrary_taxonomy(40).prop_flat_map(|taxonomy| {
        let leaves = taxonomy.leaf_count();
        let weights = prop::collection::vec(0..1000u16, leaves);
        (Just(taxonomy), weights, prop::collection::vec(any::<prop::sample::Index>(), 0..4), 0..=100u8)
    })
}

proptest! {
    #[test]
    fn it_equals_the_papers_formula((taxonomy, weights, chosen, threshold) in scored()) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let probabilities: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect();
        let taxa: Vec<_> = chosen.iter().map(|c| taxonomy.iter().nth(c.index(taxonomy.len())).expect("a taxon").0).collect();
        let admitted: Vec<f64> = (0..taxonomy.leaf_count()).map(|output| {
            let leaf = taxonomy.leaf(output).expect("a leaf");
            let below = taxa.is_empty() || taxa.iter().any(|&t| taxonomy.ancestors(leaf).any(|a| a == t));
            if below { f64::from(probabilities[output]) } else { 0.0 }
        }).collect();
        let mass: f64 = admitted.iter().sum();
        let threshold = f64::from(threshold) / 100.0;
        let decision = decide(&taxonomy, &probabilities, threshold, &Priors::new(&taxonomy, taxa));
        if mass == 0.0 {
            prop_assert_eq!(decision.stop, Stop::Prior);
            return Ok(());
        }
        let conditioned: Vec<f64> = admitted.iter().map(|p| p / mass).collect();
        // Sums in another order differ in the last bits: whatever is within a hair of the best is right too.
        let hair = 1e-9;
        let score = |node: TaxonIndex, p: f64| f64::from(taxonomy.taxon(node).depth()) + p;
        let sure = naive(&taxonomy, &conditioned, threshold + hair);
        let best = sure.iter().map(|&(n, p)| score(n, p)).fold(f64::NEG_INFINITY, f64::max);
        let possible = naive(&taxonomy, &conditioned, threshold - hair);
        let answered = possible.iter().find(|(node, _)| *node == decision.taxon);
        prop_assert!(answered.is_some(), "an answer below the threshold");
        let (node, probability) = *answered.expect("checked");
        prop_assert!(score(node, probability) >= best - hair);
        prop_assert!((probability - decision.probability).abs() < hair);
    }
}

proptest! {
    #[test]
    fn the_staircase_answers_as_the_decision_does((taxonomy, weights, chosen, threshold) in scored()) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let probabilities: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect();
        let taxa: Vec<_> = chosen.iter().map(|c| taxonomy.iter().nth(c.index(taxonomy.len())).expect("a taxon").0).collect();
        let priors = Priors::new(&taxonomy, taxa);
        let lowest = Threshold::new(0.05).expect("a threshold");
        let staircase = SpecificityControl::new().staircase(&taxonomy, &probabilities, lowest, &priors).expect("steps");
        let mut thresholds: Vec<f64> = staircase.steps().map(|(p, _)| p.min(1.0)).collect();
        thresholds.extend(thresholds.clone().iter().map(|t| t.next_up().min(1.0)));
        thresholds.push(f64::from(threshold) / 100.0);
        for threshold in thresholds.into_iter().filter(|&t| t >= 0.05) {
            let answer = staircase.at(Threshold::new(threshold).expect("a threshold"));
            prop_assert_eq!(answer, decide(&taxonomy, &probabilities, threshold, &priors).taxon, "at {}", threshold);
        }
    }

    #[test]
    fn above_the_highest_wrong_threshold_every_answer_is_right((taxonomy, weights, chosen, _) in scored()) {
        prop_assume!(weights.iter().any(|&w| w > 0) && !chosen.is_empty());
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let probabilities: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect();
        let truth = taxonomy.leaf(chosen[0].index(taxonomy.leaf_count())).expect("a leaf");
        let staircase = SpecificityControl::new()
            .staircase(&taxonomy, &probabilities, Threshold::default(), &Priors::none()).expect("steps");
        let wrong = staircase.highest_wrong(&taxonomy, truth);
        for step in 0..=50 {
            let threshold = f64::from(step) / 50.0;
            let decision = decide(&taxonomy, &probabilities, threshold, &Priors::none());
            let right = taxonomy.contains(decision.taxon, truth);
            prop_assert!(right || wrong.is_some_and(|wrong| threshold <= wrong));
        }
        if let Some(wrong) = wrong {
            let decision = decide(&taxonomy, &probabilities, wrong.min(1.0), &Priors::none());
            prop_assert!(!taxonomy.contains(decision.taxon, truth));
        }
    }

    #[test]
    fn each_subtree_keeps_its_own_threshold((taxonomy, weights, chosen, threshold) in scored()) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let probabilities: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect();
        let of = |percent: usize| Threshold::new(percent as f64 / 100.0).expect("a threshold");
        let subtrees: Vec<_> = chosen.iter().enumerate()
            .map(|(n, c)| (taxonomy.iter().nth(c.index(taxonomy.len())).expect("a taxon").0, of(20 + 25 * n))).collect();
        let thresholds = Thresholds::with_subtrees(&taxonomy, of(usize::from(threshold)), subtrees.clone());
        // The nearest named taxon above, of entries for the same taxon the later.
        let naive = |taxon: TaxonIndex| taxonomy.ancestors(taxon)
            .find_map(|above| subtrees.iter().rev().find(|(named, _)| *named == above))
            .map_or(of(usize::from(threshold)), |&(_, own)| own);
        for (taxon, _) in taxonomy.iter() {
            prop_assert_eq!(thresholds.of(taxon), naive(taxon));
        }
        let mut control = SpecificityControl::new();
        let decision = control.decide(&taxonomy, &probabilities, &thresholds, &Priors::none()).expect("a decision");
        let score = |taxon: TaxonIndex| f64::from(taxonomy.taxon(taxon).depth()) + control.node_probability(&taxonomy, taxon);
        let best = taxonomy.iter().map(|(taxon, _)| taxon)
            .filter(|&taxon| taxon == TaxonIndex::ROOT || control.node_probability(&taxonomy, taxon) >= naive(taxon).value())
            .map(score).fold(1.0, f64::max);
        prop_assert!((score(decision.taxon) - best).abs() < 1e-12);
        prop_assert_eq!(decision.threshold, naive(decision.taxon));
    }

    #[test]
    fn weights_condition_as_the_definition_says((taxonomy, weights, _, _) in scored(), common in prop::collection::vec(0..5u8, 40)) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let probabilities: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect();
        let common: Vec<f32> = (0..taxonomy.leaf_count()).map(|output| f32::from(common[output % common.len()])).collect();
        prop_assume!(common.iter().any(|&w| w > 0.0));
        let priors = Priors::weighted(&taxonomy, common.clone()).expect("priors");
        let mut control = SpecificityControl::new();
        control.decide(&taxonomy, &probabilities, &Threshold::default().into(), &priors).expect("a decision");
        let products: Vec<f64> = probabilities.iter().zip(&common).map(|(p, w)| f64::from(*p) * f64::from(*w)).collect();
        let mass: f64 = products.iter().sum();
        for (taxon, node) in taxonomy.iter() {
            let naive = if mass > 0.0 { products[node.leaves()].iter().sum::<f64>() / mass } else { 0.0 };
            prop_assert!((control.node_probability(&taxonomy, taxon) - naive).abs() < 1e-5);
        }
    }
}

#[test]
fn weights_that_are_no_prior_are_refused() {
    let taxonomy = oaks();
    let refused = |weights: &[f32]| Priors::weighted(&taxonomy, weights.to_vec()).expect_err("a refusal");
    assert_eq!(refused(&[1.0]), PriorsError::Count { found: 1, expected: 3 });
    assert!(matches!(refused(&[1.0, f32::NAN, 1.0]), PriorsError::Value { output: 1, .. }));
    assert!(matches!(refused(&[1.0, 1.0, -1.0]), PriorsError::Value { output: 2, .. }));
    assert_eq!(refused(&[0.0; 3]), PriorsError::Nothing);
}

#[test]
fn sums_that_are_a_little_off_are_normalised() {
    let taxonomy = oaks();
    let decision = decide(&taxonomy, &[0.0, 0.0, 0.995], 1.0, &Priors::none());
    assert_eq!((decision.stop, decision.probability), (Stop::Leaf, 1.0));
}

#[test]
fn the_lineage_carries_its_probabilities() {
    let taxonomy = oaks();
    let mut control = SpecificityControl::new();
    let half = Threshold::new(0.5).expect("a threshold").into();
    let decision = control.decide(&taxonomy, &[0.25, 0.5, 0.25], &half, &Priors::none()).expect("a decision");
    let named: Vec<_> = control
        .lineage(&taxonomy, decision.taxon)
        .map(|(taxon, p)| format!("{} {p}", taxonomy.taxon(taxon).name()))
        .collect();
    assert_eq!(named, ["Plantae 1", "Fagales 1", "Fagaceae 0.75", "Quercus 0.75", "Quercus ilex 0.5"]);
}
