//! The steps of one stage.

use std::ops::{ControlFlow, Range};

use burn::tensor::{Device, Tensor};

use super::adam::Adam;
use super::asking::inputs;
use super::batch::{Batch, BatchError, Batches, Feed, Step};
use super::exchange::Found;
use super::loss::{admitted, loss};
use super::network::{BatchStatistics, Network};
use super::order::{Sampling, epoch, mixed};
use super::pass::{Mode, Precision};
use super::processes::{Pairwise, Processes};
use super::schedule::Schedule;
use super::training_error::TrainingError;
use super::validation::Validated;
use super::variables::numbers;

/// What every step of a run shares; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSettings {
    /// Pictures a pass.
    pub batch_size: usize,
    /// Passes whose gradients make one step, over all processes.
    pub passes: usize,
    /// Probability that a feature is dropped before the classifier.
    pub dropout: f32,
    /// Of convolutions.
    pub precision: Precision,
    /// How much of batch norm's running statistics stays at a step.
    pub norm_decay: f64,
    /// Weight of the auxiliary classifier's loss.
    pub auxiliary_weight: f64,
    /// Which picture comes when.
    pub sampling: Sampling,
    /// Decides order, augmentation and dropout.
    pub seed: u64,
    /// Threads that read pictures.
    pub threads: usize,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Progress {
    /// Position of the stage.
    pub stage: usize,
    /// Steps of it that are done.
    pub step: usize,
    /// Of so many.
    pub steps: usize,
    /// Mean loss of the step's pictures, without the auxiliary classifier's.
    pub loss: f32,
    /// Learning rate.
    pub rate: f64,
    /// How validation photographs are answered, after an epoch of a stage in which they are asked.
    #[serde(flatten)]
    pub validated: Option<Validated>,
}

/// Which pictures there are to train on, and what they show.
pub(super) struct Examples<'a> {
    /// Positions in the feed.
    pub pictures: &'a [usize],
    /// For each of them the classes that agree with its label.
    pub admitted: Vec<Vec<usize>>,
    /// Number of classes.
    pub classes: usize,
}

impl Examples<'_> {
    /// Steps in an epoch: what does not fill a step is left for the next epoch's order.
    pub(super) fn steps_per_epoch(&self, settings: &StepSettings) -> usize {
        (self.pictures.len() / (settings.batch_size * settings.passes)).max(1)
    }

    /// Passes of every step. They are equally many: only an epoch of one step may be too short for it.
    pub(super) fn passes_per_step(&self, settings: &StepSettings) -> usize {
        self.pictures.len().min(settings.batch_size * settings.passes).div_ceil(settings.batch_size)
    }

    /// The passes of steps `from` to `to` that are `own`, in order.
    fn passes(
        &self,
        settings: &StepSettings,
        stage: usize,
        (from, to): (usize, usize),
        own: &Range<usize>,
    ) -> Vec<OwnPass> {
        let per_epoch = self.steps_per_epoch(settings);
        let per_step = settings.batch_size * settings.passes;
        // Balanced sampling needs one class a picture: the first that agrees.
        let classes: Vec<usize> =
            self.admitted.iter().map(|row| row.first().copied().unwrap_or_default()).collect();
        let mut passes = Vec::new();
        let mut order = (usize::MAX, Vec::new());
        for step in from..to {
            let number = step / per_epoch;
            let epoch_seed = mixed(stage as u64, number as u64);
            if order.0 != number {
                order = (number, epoch(&classes, settings.sampling, settings.seed, epoch_seed));
            }
            let start = step % per_epoch * per_step;
            let end = (start + per_step).min(order.1.len());
            let numbered = order.1[start..end].chunks(settings.batch_size).enumerate();
            for (number, pictures) in numbered.filter(|(number, _)| own.contains(number)) {
                let share = pictures.len() as f64 / (end - start) as f64;
                let pass = Step { step, epoch: epoch_seed, pictures: pictures.to_vec() };
                passes.push(OwnPass { number, share, pass });
            }
        }
        passes
    }
}

/// A pass that this process makes.
#[derive(Debug, Clone)]
struct OwnPass {
    /// Which one of the step's.
    number: usize,
    /// Its part of the step's pictures.
    share: f64,
    /// Positions are those in the examples.
    pass: Step,
}

/// What one stage is trained with.
pub(super) struct StageRun<'a> {
    pub stage: usize,
    pub examples: Examples<'a>,
    pub schedule: &'a Schedule,
    pub settings: &'a StepSettings,
    pub feed: &'a Feed<'a>,
    pub processes: &'a dyn Processes,
}

impl StageRun<'_> {
    /// Steps in all.
    pub(super) fn steps(&self) -> usize {
        self.schedule.steps(self.examples.steps_per_epoch(self.settings))
    }

    /// The passes of each step that this process makes: neighbours, so that their sum is a branch of the whole one.
    fn own(&self) -> Range<usize> {
        let (number, count) = (self.processes.number(), self.processes.count());
        let passes = self.examples.passes_per_step(self.settings);
        number * passes / count..(number + 1) * passes / count
    }

    /// Makes the steps from `from` on. `done` is called after each, and may end the stage, or the run with an error.
    pub(super) fn run(
        &self,
        network: &mut Network,
        adam: &mut Adam,
        from: usize,
        mut done: impl FnMut(&Network, &Adam, Progress) -> Result<ControlFlow<()>, TrainingError>,
    ) -> Result<(), TrainingError> {
        let steps = self.steps();
        let per_epoch = self.examples.steps_per_epoch(self.settings);
        let passes = self.examples.passes(self.settings, self.stage, (from, steps), &self.own());
        let in_feed = passes.iter().map(|OwnPass { pass, .. }| Step {
            pictures: pass.pictures.iter().map(|&position| self.examples.pictures[position]).collect(),
            ..pass.clone()
        });
        let in_feed: Vec<Step> = in_feed.collect();
        let of_steps: Vec<&[OwnPass]> =
            passes.chunk_by(|one, next| one.pass.step == next.pass.step).collect();
        std::thread::scope(|scope| {
            let mut batches = Batches::spawn(scope, self.feed, in_feed, self.settings.threads);
            for (step, passes) in (from..steps).zip(of_steps) {
                let rate = self.schedule.rate(step, per_epoch);
                let loss = self.step(network, adam, passes, &mut batches, rate)?;
                let (stage, step) = (self.stage, step + 1);
                let progress = Progress { stage, step, steps, loss, rate, validated: None };
                if done(network, adam, progress)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// One step: the mean gradient of its pictures, in whatever process. Gives the mean loss.
    fn step(
        &self,
        network: &mut Network,
        adam: &mut Adam,
        passes: &[OwnPass],
        batches: &mut Batches,
        rate: f64,
    ) -> Result<f32, TrainingError> {
        let (mut sum, mut statistics) = (Pairwise::new(Found::plus), Vec::new());
        for OwnPass { number, share, pass } in passes {
            let batch = batches.next_batch()?;
            let admitted = self.admitted(pass, network.device());
            let seed = mixed(mixed(self.settings.seed, self.stage as u64), pass.step as u64);
            let StepSettings { dropout, precision, .. } = *self.settings;
            let mode = Mode::Training { dropout, seed: mixed(seed, *number as u64), precision };
            let views = inputs(&batch, self.feed, network.device());
            let made = pass_gradients(network, views, admitted, mode, self.settings.auxiliary_weight, *share);
            if !made.loss.is_finite() {
                return Err(self.diverged(&batch, made.loss, rate));
            }
            sum.add(Found { loss: made.loss * *share as f32, gradients: made.gradients });
            statistics.push(made.batch_statistics);
        }
        let Some(found) = sum.total() else { return Err(BatchError::Stopped.into()) };
        let all = (self.own(), self.examples.passes_per_step(self.settings));
        let device = network.device().clone().inner();
        let (found, statistics) = found.exchanged(statistics, all, self.processes, &device);
        for of_pass in statistics {
            network.keep_statistics(of_pass, self.settings.norm_decay);
        }
        adam.step(&mut network.variables, found.gradients, rate);
        Ok(found.loss)
    }

    fn admitted(&self, pass: &Step, device: &Device) -> Tensor<2> {
        let rows: Vec<Vec<usize>> =
            pass.pictures.iter().map(|&picture| self.examples.admitted[picture].clone()).collect();
        admitted(&rows, self.examples.classes, device)
    }

    fn diverged(&self, batch: &Batch, loss: f32, rate: f64) -> TrainingError {
        let pictures = batch.pictures.iter().map(|&picture| self.feed.pictures[picture].clone());
        TrainingError::Diverged {
            stage: self.stage,
            step: batch.step,
            loss,
            rate,
            pictures: pictures.collect(),
        }
    }
}

/// What a pass finds.
pub struct PassGradients {
    /// Mean loss of its pictures, without the auxiliary classifier's.
    pub loss: f32,
    /// Of every variable that has one, in their order: of the whole loss, times the pass's share.
    pub gradients: Vec<Option<Tensor<1>>>,
    /// Of the batch.
    pub batch_statistics: BatchStatistics,
}

/// A pass of `views`, one `[N, 3, H, W]` each, and back: gradients of the mean loss against the `admitted` classes
/// `[N, classes]`, the auxiliary classifier's counted by its weight, times `share` of the step.
#[must_use]
pub fn pass_gradients(
    network: &Network,
    views: Vec<Tensor<4>>,
    admitted: Tensor<2>,
    mode: Mode,
    auxiliary_weight: f64,
    share: f64,
) -> PassGradients {
    let made = network.pass(views, mode);
    let main = loss(made.logits, admitted.clone());
    let value = numbers(&main.clone().inner())[0];
    let total = match made.auxiliary {
        Some(logits) => main + loss(logits, admitted).mul_scalar(auxiliary_weight),
        None => main,
    };
    let gradients = network.variables.gradients(total.mul_scalar(share).backward());
    PassGradients { loss: value, gradients, batch_statistics: made.batch_statistics }
}
