//! Confusion, reliability and taxa, on answers whose figures are known.

use fieldmark_models::taxonomy::{Lineage, Rank, TaxonomyBuilder};

use super::*;

/// Oak and beech of one family, a bee.
fn tree() -> Taxonomy {
    let mut builder = TaxonomyBuilder::new();
    for (family, genus, species) in [
        ("Fagaceae", "Quercus", "Quercus robur"),
        ("Fagaceae", "Fagus", "Fagus sylvatica"),
        ("Apidae", "Apis", "Apis mellifera"),
    ] {
        let levels = [(Rank::Family, family), (Rank::Genus, genus), (Rank::Species, species)];
        builder.insert(&Lineage::new(levels).expect("a lineage"), None);
    }
    builder.build().expect("a tree")
}

/// A picture of `truth` whose best leaf is `answer`, with probability `probability`.
fn trial(tree: &Taxonomy, photo: usize, truth: &str, answer: &str, probability: f32) -> Trial {
    let leaf = |name: &str| tree.find_name(name)[0];
    let rest = (1.0 - probability) / (tree.leaf_count() - 1) as f32;
    let mut logits = vec![rest.ln(); tree.leaf_count()];
    logits[tree.taxon(leaf(answer)).leaves().start] = probability.ln();
    let best = best_leaf(tree, &logits);
    Trial {
        photo,
        individual: photo,
        tree: 0,
        kind: Kind::Plain,
        seen: true,
        truth: leaf(truth),
        trained_on: 5,
        logits,
        best,
    }
}

fn trials() -> Trials {
    let tree = tree();
    let (oak, beech, bee) = ("Quercus robur", "Fagus sylvatica", "Apis mellifera");
    let trials = vec![
        trial(&tree, 0, oak, oak, 0.95),
        trial(&tree, 1, oak, beech, 0.55),
        trial(&tree, 2, oak, beech, 0.55),
        trial(&tree, 3, beech, bee, 0.95),
        trial(&tree, 4, bee, bee, 0.95),
    ];
    Trials { trees: vec![tree], trials }
}

#[test]
fn what_is_taken_for_what_is_counted_at_each_rank() {
    let found = confusion::by_rank(&trials());
    let ranks: Vec<(&str, usize, usize)> =
        found.iter().map(|confusion| (confusion.rank.as_str(), confusion.right, confusion.n)).collect();
    assert_eq!(ranks, [("family", 4, 5), ("genus", 2, 5), ("species", 2, 5)]);
    let mistaken =
        |truth: &str, answer: &str, n, of| Mistaken { truth: truth.into(), answer: answer.into(), n, of };
    assert_eq!(
        found[2].mistaken,
        [
            mistaken("Quercus robur", "Fagus sylvatica", 2, 3),
            mistaken("Fagus sylvatica", "Apis mellifera", 1, 1)
        ]
    );
}

#[test]
fn reliability_is_the_share_of_right_answers_by_their_probability() {
    let found = reliability::reliability(&trials(), 1.0);
    assert_eq!(found.bins.len(), 2);
    let (low, high) = (&found.bins[0], &found.bins[1]);
    assert_eq!((low.n, low.accuracy, high.n), (2, 0.0, 3));
    assert!((low.probability - 0.55).abs() < 1e-6 && (high.accuracy - 2.0 / 3.0).abs() < 1e-9);
    let wanted = (2.0 * 0.55 + 3.0 * (0.95 - 2.0 / 3.0)) / 5.0;
    assert!((found.expected_calibration_error - wanted).abs() < 1e-6, "{found:?}");
}

#[test]
fn the_worst_taxon_comes_first_with_its_hardest_photograph() {
    let found = taxa::by_taxon(&trials(), 1.0);
    let names: Vec<&str> = found.iter().map(|figures| figures.taxon.as_str()).collect();
    assert_eq!(names, ["Fagus sylvatica", "Quercus robur", "Apis mellifera"]);
    assert_eq!((found[1].right, found[1].n, found[1].hardest), (1, 3, 1));
    assert!((found[1].probability - (0.95 + 2.0 * 0.225) / 3.0).abs() < 1e-6, "{:?}", found[1]);
}
