//! What each threshold is worth: 100,000 calibrated answers over a tree of the paper's size, thresholds from one
//! half, accuracy and depth on the other.
//!
//! `cargo run --example specificity_table [-- --export FOLDER]`: with `--export`, writes the tree and
//! some answers for `tests/bench/decide` instead.

#![allow(clippy::expect_used)]

#[path = "../../models/benches/synthetic/mod.rs"]
mod synthetic;

use std::io::Write as _;
use std::path::PathBuf;

use fieldmark_models::specificity::{Priors, SpecificityControl, Threshold};
use fieldmark_trainer::calibrate::{CriticalThresholds, Figures, Judged, climb};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rayon::prelude::*;

const ANSWERS: usize = 100_000;
const CONFIDENCE: f64 = 0.95;
const EXPORTED: usize = 200;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--export"), Some(folder)) => export(&folder.into()),
        (None, _) => {
            table();
            Ok(())
        }
        _ => anyhow::bail!("usage: specificity_table [--export FOLDER]"),
    }
}

fn table() {
    let taxonomy = synthetic::tree(1);
    let lowest = Threshold::new(0.01).expect("a threshold");
    let judged: Vec<Judged> = (0..ANSWERS)
        .into_par_iter()
        .map_init(SpecificityControl::new, |control, number| {
            let mut random = StdRng::seed_from_u64(number as u64);
            let (probabilities, truth) = synthetic::answer(&taxonomy, &mut random);
            let steps = control.staircase(&taxonomy, &probabilities, lowest, &Priors::none());
            Judged::new(&taxonomy, &steps.expect("a distribution"), truth, number)
        })
        .collect();
    let (fitting, other) = judged.split_at(ANSWERS / 2);
    let critical = CriticalThresholds::new(fitting);
    println!(
        "{} leaves, {} taxa, {} answers in each half",
        taxonomy.leaf_count(),
        taxonomy.len(),
        other.len()
    );
    println!("target  method     threshold  accuracy  mean depth");
    for target in [0.8, 0.85, 0.9, 0.95, 0.98, 0.99] {
        for (method, threshold) in [
            ("climbed", climb(fitting, target, 1)),
            ("exact", critical.exact(target)),
            ("average", critical.average(target)),
            ("confident", critical.confident(target, CONFIDENCE)),
        ] {
            let Figures { accuracy, mean_depth, .. } = Figures::of(other, threshold);
            println!(
                "{target:6.2}  {method:9}  {:9.4}  {accuracy:8.4}  {mean_depth:10.3}",
                threshold.value()
            );
        }
    }
}

/// `taxonomy.tsv` and `answers.f32`, `[EXPORTED, leaves]`, little-endian.
fn export(folder: &PathBuf) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let taxonomy = synthetic::tree(1);
    std::fs::write(folder.join("taxonomy.tsv"), taxonomy.to_tsv())?;
    let mut answers = std::io::BufWriter::new(std::fs::File::create(folder.join("answers.f32"))?);
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..EXPORTED {
        for probability in synthetic::answer(&taxonomy, &mut random).0 {
            answers.write_all(&probability.to_le_bytes())?;
        }
    }
    Ok(answers.flush()?)
}
