//! Layers that int8 hurts most: each is left in float by itself, and what that gives back is measured.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::Graph;

use super::QuantiseError;
use super::engine::Sample;
use super::fidelity::{Fidelity, best};
use crate::wiring::{Wiring, input, output};

/// Layers that share weights stand and fall together: a copy of the weights in float would cost what int8 saves.
#[must_use]
pub(super) fn units(graph: &Graph, layers: &[String]) -> Vec<Vec<String>> {
    let wiring = Wiring::new(graph);
    let mut by_weights: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut order = Vec::new();
    for layer in layers {
        let Some(weights) = wiring.maker(layer).and_then(|node| input(node, 1)) else { continue };
        let unit = by_weights.entry(weights).or_default();
        if unit.is_empty() {
            order.push(weights);
        }
        unit.push(output(wiring.maker(layer).unwrap_or(&graph.node[0])).to_owned());
    }
    order.into_iter().filter_map(|weights| by_weights.remove(weights)).collect()
}

/// Pictures that every layer, alone in float, is measured on: there are as many runs as layers.
const PICTURES: usize = 12;
/// Of these at most so many that the quantised model names otherwise.
const MISNAMED: usize = 8;

/// Pictures that tell what a layer in float is worth, and what the original answers to them.
pub(super) struct Panel {
    pub(super) samples: Vec<Sample>,
    pub(super) answers: Vec<Vec<f32>>,
}

impl Panel {
    /// First those of `judging` that `quantised` names otherwise than the original: there the target is missed, and pictures
    /// that both are sure of say nothing about it. `probing` fills up.
    pub(super) fn of(
        judging: (&[Sample], &[Vec<f32>]),
        quantised: &[Vec<f32>],
        probing: (&[Sample], &[Vec<f32>]),
    ) -> Self {
        let misnamed = judging.0.iter().zip(judging.1).zip(quantised);
        let misnamed = misnamed.filter(|((_, original), other)| best(original) != best(other));
        let misnamed = misnamed.map(|(pair, _)| pair).take(MISNAMED);
        let (samples, answers) = misnamed
            .chain(probing.0.iter().zip(probing.1))
            .take(PICTURES)
            .map(|(sample, answer)| (sample.clone(), answer.clone()))
            .unzip();
        Self { samples, answers }
    }
}

/// `units` by falling worth: first the one that, alone in float, leaves most best leaves as the original's by `measure`, and
/// of equals the one that leaves the smallest divergence.
///
/// # Errors
/// If a measurement fails.
pub(super) fn by_worth(
    units: Vec<Vec<String>>,
    mut measure: impl FnMut(&BTreeSet<String>) -> Result<Fidelity, QuantiseError>,
) -> Result<Vec<(Vec<String>, f64)>, QuantiseError> {
    let measured = units.into_iter().map(|unit| {
        let left = measure(&unit.iter().cloned().collect())?;
        Ok((unit, left.agreement, left.divergence))
    });
    let mut measured = measured.collect::<Result<Vec<_>, QuantiseError>>()?;
    measured.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.total_cmp(&b.2)));
    Ok(measured.into_iter().map(|(unit, _, divergence)| (unit, divergence)).collect())
}
