//! Layers that int8 hurts most: each is left in float by itself, and what that gives back is measured.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::Graph;

use super::QuantiseError;
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

/// `units` by falling worth: the divergence from the original that is left when one of them alone is float, measured
/// by `divergence`, is smallest for the first.
///
/// # Errors
/// If a measurement fails.
pub(super) fn by_worth(
    units: Vec<Vec<String>>,
    mut divergence: impl FnMut(&BTreeSet<String>) -> Result<f64, QuantiseError>,
) -> Result<Vec<(Vec<String>, f64)>, QuantiseError> {
    let measured = units.into_iter().map(|unit| {
        let left = divergence(&unit.iter().cloned().collect())?;
        Ok((unit, left))
    });
    let mut measured = measured.collect::<Result<Vec<_>, QuantiseError>>()?;
    measured.sort_by(|a, b| a.1.total_cmp(&b.1));
    Ok(measured)
}
