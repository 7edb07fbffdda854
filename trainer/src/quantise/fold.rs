//! Before anything is quantised: batch norms and constant factors go into the convolutions before them, and `Constant`
//! nodes become initialisers. What remains computes the same.

use std::collections::BTreeSet;

use fieldmark_models::onnx::{Graph, Node, Tensor};

use fieldmark_models::onnx::wiring::{Wiring, input, output};

/// `graph`, folded.
#[must_use]
pub fn fold(graph: &Graph) -> Graph {
    let mut graph = constants(graph);
    // Folding one node can lay the next beside a convolution.
    while let Some(folded) = one(&graph) {
        graph = folded;
    }
    let read: BTreeSet<String> = graph.node.iter().flat_map(|node| node.input.clone()).collect();
    graph.initializer.retain(|tensor| read.contains(&tensor.name));
    graph
}

fn constants(graph: &Graph) -> Graph {
    let wiring = Wiring::new(graph);
    let mut out = graph.clone();
    for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
        if let Some(tensor) = wiring.constant(output(node)) {
            out.initializer.push(Tensor { name: output(node).into(), ..tensor.clone() });
        }
    }
    let kept: BTreeSet<&str> = out.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    out.node.retain(|node| !(node.op_type == "Constant" && kept.contains(output(node))));
    out
}

/// `y = factor * x + shift`, channel by channel.
struct Affine {
    factor: Vec<f32>,
    shift: Vec<f32>,
}

fn one(graph: &Graph) -> Option<Graph> {
    let wiring = Wiring::new(graph);
    graph.node.iter().enumerate().find_map(|(position, node)| {
        let convolution = wiring.maker_position(input(node, 0)?)?;
        let before = &graph.node[convolution];
        let alone = wiring.readers(output(before)).len() == 1 && !wiring.is_output(output(before));
        if before.op_type != "Conv" || !alone {
            return None;
        }
        let weight = wiring.constant(input(before, 1)?)?;
        let channels = usize::try_from(*weight.dims.first()?).ok()?;
        let affine = affine(&wiring, node, channels)?;
        folded(&wiring, (position, convolution), weight, &affine)
    })
}

fn affine(wiring: &Wiring<'_>, node: &Node, channels: usize) -> Option<Affine> {
    let part = |slot: usize| wiring.constant(input(node, slot)?)?.floats();
    match node.op_type.as_str() {
        "BatchNormalization" => {
            let [gamma, beta, mean, variance] = [part(1)?, part(2)?, part(3)?, part(4)?];
            let epsilon = node.attribute("epsilon").map_or(1e-5, |attribute| attribute.float);
            if [&gamma, &beta, &mean, &variance].iter().any(|part| part.len() != channels) {
                return None;
            }
            let factor: Vec<f32> = gamma
                .iter()
                .zip(&variance)
                .map(|(gamma, variance)| gamma / (variance + epsilon).sqrt())
                .collect();
            let shift =
                (0..channels).map(|channel| beta[channel] - mean[channel] * factor[channel]).collect();
            Some(Affine { factor, shift })
        }
        "Mul" => {
            let factor = wiring.constant(input(node, 1)?)?;
            let by_channel = factor.dims.len() >= 3 && factor.dims[factor.dims.len() - 3] == channels as i64;
            let values = factor.floats()?;
            let factor = match values.len() {
                1 => vec![values[0]; channels],
                count if count == channels && by_channel => values,
                _ => return None,
            };
            Some(Affine { factor, shift: vec![0.0; channels] })
        }
        _ => None,
    }
}

fn folded(
    wiring: &Wiring<'_>,
    (position, convolution): (usize, usize),
    weight: &Tensor,
    affine: &Affine,
) -> Option<Graph> {
    let mut graph = wiring.graph().clone();
    let channels = affine.factor.len();
    let mut values = weight.floats()?;
    let fan = values.len() / channels.max(1);
    for (kernel, factor) in values.chunks_mut(fan.max(1)).zip(&affine.factor) {
        kernel.iter_mut().for_each(|value| *value *= factor);
    }
    let before = &wiring.graph().node[convolution];
    let bias = input(before, 2).and_then(|name| wiring.constant(name)).and_then(Tensor::floats);
    let bias = bias.unwrap_or_else(|| vec![0.0; channels]);
    let bias: Vec<f32> =
        (0..channels).map(|channel| bias[channel] * affine.factor[channel] + affine.shift[channel]).collect();
    let made = output(&wiring.graph().node[position]).to_owned();
    let names = [format!("{made}.folded.weight"), format!("{made}.folded.bias")];
    graph.initializer.push(Tensor::of_floats(&names[0], &weight.dims, &values));
    graph.initializer.push(Tensor::of_floats(&names[1], &[channels as i64], &bias));
    let node = &mut graph.node[convolution];
    node.input = [vec![node.input[0].clone()], names.to_vec()].concat();
    node.output = vec![made];
    graph.node.remove(position);
    Some(graph)
}
