//! Layers that int8 hurts most: each is left in float by itself, and what that gives back is measured.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::Graph;

use super::QuantiseError;
use super::engine::Sample;
use super::fidelity::{Fidelity, best};
use fieldmark_models::onnx::wiring::{Wiring, input, output};

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

/// Scale groups of the data that the layers of `unit` read.
#[must_use]
pub(super) fn groups_read(
    graph: &Graph,
    groups: &BTreeMap<String, usize>,
    unit: &[String],
) -> BTreeSet<usize> {
    let wiring = Wiring::new(graph);
    let read = |layer: &String| groups.get(input(wiring.maker(layer)?, 0)?).copied();
    unit.iter().filter_map(read).collect()
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

#[cfg(test)]
mod tests {
    use fieldmark_models::taxonomy::TaxonIndex;

    use super::*;

    fn samples(count: usize) -> Vec<Sample> {
        let sample = |group| Sample { views: Vec::new(), truth: TaxonIndex::ROOT, group };
        (0..count).map(sample).collect()
    }

    #[test]
    fn what_brings_a_name_back_is_worth_more_than_what_brings_answers_nearer() {
        let units = ["far", "near", "back"].map(|name| vec![name.to_owned()]).to_vec();
        let measure = |float: &BTreeSet<String>| {
            let (agreement, divergence) = match float.first().map(String::as_str) {
                Some("back") => (1.0, 0.3),
                Some("near") => (0.9, 0.1),
                _ => (0.9, 0.2),
            };
            Ok(Fidelity { agreement, divergence, ..Fidelity::default() })
        };
        let ranked = by_worth(units, measure).expect("measured");
        let names: Vec<&str> = ranked.iter().map(|(unit, _)| unit[0].as_str()).collect();
        assert_eq!(names, ["back", "near", "far"]);
    }

    #[test]
    fn pictures_that_are_named_otherwise_tell_first() {
        let (judging, probing) = (samples(20), samples(30));
        let one = vec![vec![0.9, 0.1]; 20];
        let mut other = one.clone();
        for picture in [3, 17] {
            other[picture] = vec![0.4, 0.6];
        }
        let panel = Panel::of((&judging, &one), &other, (&probing, &vec![vec![0.8, 0.2]; 30]));
        let groups: Vec<usize> = panel.samples.iter().map(|sample| sample.group).collect();
        assert_eq!(groups, [3, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((&panel.answers[0], &panel.answers[2]), (&vec![0.9, 0.1], &vec![0.8, 0.2]));
    }
}
