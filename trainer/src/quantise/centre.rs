//! Values that cannot be negative use half the bytes of a symmetric range, and TensorRT takes no other. Where every layer that
//! reads such values does without padding, they are quantised less the middle of their range, so that all 256 bytes tell them
//! apart. It costs nothing: the layer before takes the middle off with its bias, the layer behind puts what its weights make of
//! it back with its own, and the cut of Q, which then ends at what was 0, stands for the Relu or Clip between. (No range reaches
//! beyond what was seen, so none beyond the upper end of a Clip.)
//!
//! A layer that pads would read the middle of the range where it should read 0, unless its padding is taken off it (see
//! [`padding`](super::padding)).

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::Node;
use fieldmark_models::onnx::wiring::{Wiring, input, output};

use super::layer::{MOVES, is_layer};
use super::padding::{named, pads};

/// The scale groups among `groups` of which every value can be centred: `layers` are in int8, `edges` read quantised values, and
/// the padding of the layers `padded` is a node of its own.
pub(super) fn centred(
    wiring: &Wiring<'_>,
    (layers, padded): (&[String], &BTreeSet<String>),
    groups: &BTreeMap<String, usize>,
    edges: &BTreeSet<(usize, usize)>,
) -> BTreeSet<usize> {
    let layers: BTreeSet<&str> = layers.iter().map(String::as_str).collect();
    let made = |value: &str| {
        let quantised = |name: &String| wiring.constant(name).is_some() || groups.contains_key(name);
        let moved = wiring.maker(value).filter(|maker| moves(maker));
        moved.is_some_and(|maker| maker.input.iter().all(quantised)) || rectified(wiring, value).is_some()
    };
    let taken = |&(position, slot): &(usize, usize)| {
        let node = &wiring.graph().node[position];
        let bare = !pads(node) || (padded.contains(output(node)) && named(node).is_some());
        let layer = slot == 0 && layers.contains(output(node)) && bare && has_bias(wiring, node);
        let moved = moves(node) && groups.contains_key(output(node));
        edges.contains(&(position, slot)) && (layer || moved)
    };
    let stays =
        |value: &str| !made(value) || wiring.is_output(value) || !wiring.readers(value).iter().all(taken);
    let mut centred: BTreeSet<usize> = groups.values().copied().collect();
    for (_, group) in groups.iter().filter(|(value, _)| stays(value)) {
        centred.remove(group);
    }
    centred
}

/// Whether `node` hands its numbers on as they are.
pub(super) fn moves(node: &Node) -> bool {
    node.op_type == "Concat" || MOVES.contains(&node.op_type.as_str())
}

/// The layer whose output, cut off at 0, is `value`, and which nothing else reads.
pub(super) fn rectified<'g>(wiring: &Wiring<'g>, value: &str) -> Option<&'g Node> {
    let cut = wiring.maker(value)?;
    let least = || wiring.constant(input(cut, 1)?)?.floats();
    let at_zero =
        cut.op_type == "Relu" || (cut.op_type == "Clip" && least().is_some_and(|least| least == [0.0]));
    let exact = input(cut, 0)?;
    let alone = wiring.readers(exact).len() == 1 && !wiring.is_output(exact);
    let layer = wiring.maker(exact).filter(|node| is_layer(wiring, node) && has_bias(wiring, node))?;
    (at_zero && alone).then_some(layer)
}

/// Whether `node` has a bias that can be changed, or room for one.
fn has_bias(wiring: &Wiring<'_>, node: &Node) -> bool {
    let one = |name: &str| node.attribute(name).is_none_or(|attribute| attribute.float == 1.0);
    let product = node.op_type == "Gemm" && node.int("transA", 0) == 0 && one("alpha") && one("beta");
    let constant = input(node, 2).is_none_or(|name| wiring.constant(name).is_some());
    constant && (node.op_type == "Conv" || product)
}
