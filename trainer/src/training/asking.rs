//! What a network answers to pictures, outside of its steps.

use burn::tensor::{Device, Tensor, TensorData};

use super::batch::{Batch, BatchError, Batches, Feed, Step};
use super::network::Network;
use super::pass::Mode;
use super::processes::Processes;
use super::variables::numbers;

/// How pictures are asked about.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Pictures a pass.
    pub batch_size: usize,
    /// Threads that read pictures.
    pub threads: usize,
    /// Who shares the passes.
    pub processes: &'a dyn Processes,
}

/// Asks `network` about `pictures` of `feed`, in evaluation, and calls `row` with the logits of each in their order, the
/// same in all processes.
///
/// # Errors
/// If a picture cannot be read.
pub fn logits(
    network: &Network,
    feed: &Feed<'_>,
    pictures: &[usize],
    asking: Asking<'_>,
    mut row: impl FnMut(&[f32]),
) -> Result<(), BatchError> {
    let (device, classes) = (network.device().clone().inner(), network.classes());
    let (size, processes) = (asking.batch_size.max(1), asking.processes);
    let own = pictures.chunks(size).enumerate().skip(processes.number()).step_by(processes.count());
    let own = own.map(|(step, pictures)| Step { step, epoch: 0, pictures: pictures.to_vec() });
    let own: Vec<Step> = own.collect();
    std::thread::scope(|scope| {
        let mut left = own.len();
        let mut batches = Batches::spawn(scope, feed, own, asking.threads);
        for round in pictures.chunks(size * processes.count()) {
            let mut values = vec![0.0; round.len() * classes];
            if left > 0 {
                left -= 1;
                let batch = batches.next_batch()?;
                let made = network.pass(inputs(&batch, feed, &device), Mode::Evaluation).logits;
                let numbers = numbers(&made.reshape([batch.pictures.len() * classes]));
                let from = processes.number() * size * classes;
                values[from..from + numbers.len()].copy_from_slice(&numbers);
            }
            processes.sum(&mut values);
            values.chunks_exact(classes).for_each(&mut row);
        }
        Ok(())
    })
}

/// The views of `batch` as tensors `[N, 3, H, W]`.
pub(super) fn inputs(batch: &Batch, feed: &Feed<'_>, device: &Device) -> Vec<Tensor<4>> {
    let side = feed.views.input_size() as usize;
    let shape = [batch.pictures.len(), 3, side, side];
    let tensor = |view: &Vec<f32>| Tensor::from_data(TensorData::new(view.clone(), shape), device);
    batch.views.iter().map(tensor).collect()
}
