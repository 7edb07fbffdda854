//! What centring values (see [`centred`](super::centre::centred)) changes in a graph.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fieldmark_models::onnx::wiring::{Wiring, input, output};
use fieldmark_models::onnx::{Node, Tensor};

use super::centre::{moves, rectified};
use super::grid::Grid;
use super::placement::Placement;
use super::weights::{channel_sums, output_channels};

/// By the name of what is made.
#[derive(Debug, Default)]
pub(super) struct Centring<'g> {
    /// For every Relu and Clip that goes, the value that Q reads in its place.
    pub(super) instead: BTreeMap<&'g str, &'g str>,
    /// What is added to the bias of a layer, by channel.
    pub(super) shifts: BTreeMap<&'g str, Vec<f32>>,
}

impl<'g> Centring<'g> {
    /// Of `placement`, whose groups are rounded to `grid`.
    pub(super) fn of(wiring: &Wiring<'g>, placement: &Placement, grid: impl Fn(usize) -> Grid) -> Self {
        let mut centring = Self::default();
        for (value, group) in placement.groups.iter().filter(|(_, group)| placement.centred.contains(group)) {
            let middle = grid(*group).centre();
            if let (Some(cut), Some(layer)) = (wiring.maker(value), rectified(wiring, value)) {
                centring.instead.insert(output(cut), output(layer));
                let channels = weights(wiring, layer).map_or(0, |weights| output_channels(layer, weights));
                centring.shift(layer, vec![-middle; channels]);
            }
            for (reader, _) in wiring.reading(value).filter(|(node, _)| !moves(node)) {
                let sums = weights(wiring, reader).and_then(|weights| channel_sums(reader, weights));
                centring.shift(reader, sums.unwrap_or_default().iter().map(|sum| middle * sum).collect());
            }
        }
        centring
    }

    fn shift(&mut self, layer: &'g Node, by: Vec<f32>) {
        match self.shifts.entry(output(layer)) {
            Entry::Vacant(none) => {
                none.insert(by);
            }
            Entry::Occupied(mut sum) => sum.get_mut().iter_mut().zip(by).for_each(|(sum, by)| *sum += by),
        }
    }
}

fn weights<'g>(wiring: &Wiring<'g>, layer: &Node) -> Option<&'g Tensor> {
    wiring.constant(input(layer, 1)?)
}
