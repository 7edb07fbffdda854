//! Histograms of every quantised value on real pictures, and the candidates for its range.

use std::collections::BTreeMap;

use fieldmark_models::onnx::{Graph, Model};
use fieldmark_models::views::ViewSet;
use rayon::prelude::*;

use super::engine::{Engine, Sample};
use super::grid::Grid;
use super::histogram::{Histogram, Method};
use super::placement::Placement;
use super::{QuantiseError, Ranges};

/// The range of every scale group by every method.
pub(super) type Candidates = BTreeMap<usize, Vec<(Method, f32)>>;

/// Runs `samples` through the float `graph` and counts what its quantised values are.
///
/// # Errors
/// If the engine fails.
pub(super) fn candidates(
    model: &Model,
    graph: &Graph,
    placement: &Placement,
    samples: &[Sample],
    views: &ViewSet,
) -> Result<Candidates, QuantiseError> {
    let values: Vec<String> = placement.groups.keys().cloned().collect();
    let engine = Engine::new(model, graph, &values, views)?;
    let empty = || vec![Histogram::default(); values.len()];
    let counted = samples
        .par_iter()
        .try_fold(empty, |mut histograms, sample| {
            for (histogram, value) in histograms.iter_mut().zip(engine.run(sample)?) {
                histogram.count(&value);
            }
            Ok::<_, QuantiseError>(histograms)
        })
        .try_reduce(empty, |mut left, right| {
            left.iter_mut().zip(&right).for_each(|(left, right)| left.add(right));
            Ok(left)
        })?;
    let mut groups: BTreeMap<usize, Histogram> = BTreeMap::new();
    for (value, histogram) in values.iter().zip(&counted) {
        groups.entry(placement.groups[value]).or_default().add(histogram);
    }
    let of = |(&group, histogram): (&usize, &Histogram)| {
        let levels = Grid::levels(placement.centred.contains(&group));
        (group, Method::ALL.map(|method| (method, histogram.cut(method, levels))).to_vec())
    };
    Ok(groups.par_iter().map(of).collect())
}

/// The ranges that one method gives.
#[must_use]
pub(super) fn uniform(candidates: &Candidates, method: Method) -> Ranges {
    let of = |list: &Vec<(Method, f32)>| list.iter().find(|(found, _)| *found == method).copied();
    candidates.iter().filter_map(|(&group, list)| Some((group, of(list)?))).collect()
}
