//! Who makes and who reads each value of an ONNX graph.

use std::collections::HashMap;

use super::{Graph, Node, Tensor};

/// An index over a graph. Building it trusts nothing: names may be missing or stand twice, the first then counts.
pub struct Wiring<'g> {
    graph: &'g Graph,
    makers: HashMap<&'g str, usize>,
    readers: HashMap<&'g str, Vec<(usize, usize)>>,
    constants: HashMap<&'g str, &'g Tensor>,
}

impl<'g> Wiring<'g> {
    /// Indexes `graph`.
    #[must_use]
    pub fn new(graph: &'g Graph) -> Self {
        let mut makers = HashMap::new();
        let mut readers: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
        let mut constants = HashMap::new();
        for tensor in &graph.initializer {
            constants.entry(tensor.name.as_str()).or_insert(tensor);
        }
        for (position, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                makers.entry(output.as_str()).or_insert(position);
            }
            for (slot, input) in node.input.iter().enumerate().filter(|(_, input)| !input.is_empty()) {
                readers.entry(input.as_str()).or_default().push((position, slot));
            }
            let value = node.attribute("value").and_then(|value| value.tensor.as_ref());
            if let (true, Some(value), [output]) = (node.op_type == "Constant", value, &node.output[..]) {
                constants.entry(output.as_str()).or_insert(value);
            }
        }
        Self { graph, makers, readers, constants }
    }

    /// The graph itself.
    #[must_use]
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Position of the node that makes `value`.
    #[must_use]
    pub fn maker_position(&self, value: &str) -> Option<usize> {
        self.makers.get(value).copied()
    }

    /// The node that makes `value`; none for inputs and constants.
    #[must_use]
    pub fn maker(&self, value: &str) -> Option<&'g Node> {
        self.graph.node.get(self.maker_position(value)?)
    }

    /// Positions of the nodes that read `value`, each with the slot it reads it in.
    #[must_use]
    pub fn readers(&self, value: &str) -> &[(usize, usize)] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The nodes that read `value`, each with the slot it reads it in.
    pub fn reading(&self, value: &str) -> impl Iterator<Item = (&'g Node, usize)> {
        self.readers(value).iter().map(|&(node, slot)| (&self.graph.node[node], slot))
    }

    /// The constant `name`, whether it is an initialiser or a `Constant` node.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<&'g Tensor> {
        self.constants.get(name).copied()
    }

    /// Whether `value` leaves the graph.
    #[must_use]
    pub fn is_output(&self, value: &str) -> bool {
        self.graph.output.iter().any(|output| output.name == value)
    }
}

/// Input `slot` of `node`; none where it is absent or left out.
#[must_use]
pub fn input(node: &Node, slot: usize) -> Option<&str> {
    node.input.get(slot).map(String::as_str).filter(|name| !name.is_empty())
}

/// The first output of `node`, or nothing's name.
#[must_use]
pub fn output(node: &Node) -> &str {
    node.output.first().map_or("", String::as_str)
}
