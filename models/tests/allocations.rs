//! A decision costs no heap once the tree has been decided over before.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold, Thresholds};
use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};

/// The paper's number of species, in genera of three, families of forty and so on.
fn tree() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for leaf in 0..19_027usize {
        let levels = Rank::MAIN.into_iter().enumerate().map(|(level, rank)| {
            let size = [4000, 2000, 1000, 200, 40, 3, 1][level];
            (rank, format!("{level}-{:05}", leaf / size * size))
        });
        builder.insert(&Lineage::new(levels).expect("seven levels"), None);
    }
    builder.build().expect("a tree")
}

#[test]
fn a_decision_does_not_allocate_once_warm() {
    let taxonomy = tree();
    let leaves = taxonomy.leaf_count();
    let even = vec![1.0 / leaves as f32; leaves];
    let mut sharp = vec![0.1 / (leaves - 1) as f32; leaves];
    sharp[leaves / 3] = 0.9;
    let subtrees = taxonomy.find_name("1-02000").into_iter().map(|taxon| (taxon, Threshold::CERTAIN));
    let half = Threshold::new(0.5).expect("a threshold");
    let thresholds = Thresholds::with_subtrees(&taxonomy, half, subtrees);
    let priors = Priors::new(&taxonomy, taxonomy.find_name("0-04000"));
    let mut control = SpecificityControl::new();
    let none = Priors::none();
    let mut decide = |probabilities: &[f32], priors: &Priors| {
        control.decide(&taxonomy, probabilities, &thresholds, priors).expect("a decision").taxon
    };
    decide(&even, &priors);
    let mut answers = [TaxonIndex::ROOT; 40];
    let counted = allocation_counter::measure(|| {
        for (number, answer) in answers.iter_mut().enumerate() {
            let probabilities = if number % 2 == 0 { &even } else { &sharp };
            *answer = decide(probabilities, if number % 4 < 2 { &priors } else { &none });
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_ne!(answers[2], answers[3]);
}
