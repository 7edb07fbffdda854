//! Where Q/DQ pairs stand, by TensorRT's rules: on the data of every int8 layer, on the skip branch of residual adds,
//! and on the inputs of whatever only moves numbers towards an int8 layer. All inputs of a concat share one scale.

use std::collections::{BTreeMap, BTreeSet};

use fieldmark_models::onnx::{Graph, Node};

use super::centre::centred;
use super::grid::Grid;
use super::layer::{MOVES, is_layer};
use super::padding::named;
use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// Layers that are not quantised as all others are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// Those in float.
    pub float: BTreeSet<String>,
    /// Those that may have their padding as a node of its own, where that lets what they read be centred.
    pub padded: BTreeSet<String>,
}

/// What is quantised of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Names (first outputs) of the layers in int8, in the graph's order.
    pub layers: Vec<String>,
    /// Quantised values, each with its scale group.
    pub groups: BTreeMap<String, usize>,
    /// Position of the reading node and its slot: what reads the value after its pair.
    pub edges: BTreeSet<(usize, usize)>,
    /// Scale groups of values that are quantised less the middle of their range.
    pub centred: BTreeSet<usize>,
    /// Layers in int8 that read such values and would pad them: the padding is a node of its own.
    pub padded: BTreeSet<String>,
}

impl Placement {
    /// What the values of `group`, of magnitudes up to `range`, are rounded to.
    pub(super) fn grid(&self, group: usize, range: f32) -> Grid {
        Grid::new(range, self.centred.contains(&group))
    }
}

/// Places pairs for every layer of `graph` but for `exceptions`.
#[must_use]
pub fn place(graph: &Graph, exceptions: &Exceptions) -> Placement {
    let wiring = Wiring::new(graph);
    let int8 = |node: &Node| is_layer(&wiring, node) && !exceptions.float.contains(output(node));
    let mut edges = BTreeSet::new();
    let mut quantised = BTreeSet::new();
    // Backwards, so that what reads a value is placed before what makes it.
    for (position, node) in graph.node.iter().enumerate().rev() {
        let reached = quantised.contains(output(node));
        let slots: Vec<usize> = match node.op_type.as_str() {
            _ if int8(node) => vec![0],
            "Add" => skip_slots(&wiring, node, &int8),
            "Concat" if reached => (0..node.input.len()).collect(),
            moves if reached && MOVES.contains(&moves) => vec![0],
            _ => vec![],
        };
        for slot in slots {
            let Some(value) = input(node, slot).filter(|value| wiring.constant(value).is_none()) else {
                continue;
            };
            edges.insert((position, slot));
            quantised.insert(value);
        }
    }
    let groups = groups(graph, &quantised);
    let layers: Vec<String> =
        graph.node.iter().filter(|node| int8(node)).map(|node| output(node).to_owned()).collect();
    let centred = centred(&wiring, (&layers, &exceptions.padded), &groups, &edges);
    let reads_centred = |layer: &String| {
        let node = wiring.maker(layer)?;
        let group = groups.get(input(node, 0)?)?;
        (named(node).is_some() && centred.contains(group)).then(|| layer.clone())
    };
    let padded = layers.iter().filter_map(reads_centred).collect();
    Placement { layers, groups, edges, centred, padded }
}

/// The branch of a residual add that is not the int8 layer the add is fused into. With layers on both sides the one
/// made last keeps the fusion.
fn skip_slots(wiring: &Wiring<'_>, node: &Node, int8: &impl Fn(&Node) -> bool) -> Vec<usize> {
    let fused = |slot: usize| {
        let value = input(node, slot)?;
        let position = wiring.maker_position(value)?;
        let made = wiring.maker(value).is_some_and(int8) && wiring.readers(value).len() == 1;
        made.then_some(position)
    };
    match (fused(0), fused(1)) {
        (None, None) => vec![],
        (left, right) if left >= right => vec![1],
        _ => vec![0],
    }
}

/// A number for each value; values that must share a scale share it.
fn groups(graph: &Graph, quantised: &BTreeSet<&str>) -> BTreeMap<String, usize> {
    let mut groups: BTreeMap<&str, usize> =
        quantised.iter().enumerate().map(|(n, &value)| (value, n)).collect();
    for node in &graph.node {
        let moves = MOVES.contains(&node.op_type.as_str());
        let reached = groups.get(output(node)).copied();
        let (Some(into), true) = (reached, moves || node.op_type == "Concat") else { continue };
        let inputs = if moves { &node.input[..1] } else { &node.input[..] };
        for from in inputs.iter().filter_map(|value| groups.get(value.as_str()).copied()).collect::<Vec<_>>()
        {
            groups.values_mut().filter(|group| **group == from).for_each(|group| *group = into);
        }
    }
    groups.into_iter().map(|(value, group)| (value.to_owned(), group)).collect()
}
