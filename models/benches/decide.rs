//! One decision over a tree of the paper's size, beside the paper's formula as a plain recursion.

#![allow(missing_docs, clippy::expect_used)]

mod synthetic;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold, Thresholds};
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

fn naive(taxonomy: &Taxonomy, node: TaxonIndex, probabilities: &[f32], best: &mut (f64, TaxonIndex)) -> f64 {
    let taxon = taxonomy.taxon(node);
    let probability: f64 = if taxon.is_leaf() {
        f64::from(probabilities[taxon.leaves().start])
    } else {
        taxonomy.children(node).map(|child| naive(taxonomy, child, probabilities, best)).sum()
    };
    let score = f64::from(taxon.depth()) + probability;
    if probability >= 0.9 && score > best.0 {
        *best = (score, node);
    }
    probability
}

fn decide(criterion: &mut Criterion) {
    let taxonomy = synthetic::tree(1);
    let mut random = StdRng::seed_from_u64(2);
    let answers: Vec<Vec<f32>> = (0..64).map(|_| synthetic::answer(&taxonomy, &mut random).0).collect();
    let mut control = SpecificityControl::new();
    let thresholds = Thresholds::everywhere(Threshold::new(0.9).expect("a threshold"));
    let low = Thresholds::everywhere(Threshold::new(0.05).expect("a threshold"));
    let mut group =
        criterion.benchmark_group(format!("{} leaves, {} taxa", taxonomy.leaf_count(), taxonomy.len()));
    for (name, thresholds) in [("decide at 0.9", &thresholds), ("decide at 0.05", &low)] {
        group.bench_function(name, |bencher| {
            let mut next = answers.iter().cycle();
            bencher.iter(|| {
                let probabilities = next.next().expect("endless");
                black_box(control.decide(&taxonomy, probabilities, thresholds, &Priors::none()))
                    .expect("a decision")
            });
        });
    }
    group.bench_function("recursion at 0.9", |bencher| {
        let mut next = answers.iter().cycle();
        bencher.iter(|| {
            let mut best = (0.0, TaxonIndex::ROOT);
            naive(&taxonomy, TaxonIndex::ROOT, next.next().expect("endless"), &mut best);
            black_box(best)
        });
    });
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
