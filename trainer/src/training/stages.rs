//! Hierarchical knowledge transfer over the whole network (paper section 3.2): a stage trains at a depth of the taxonomy,
//! the next one begins with its weights, every class's row mixed from its parent's.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::adam::{Adam, AdamSettings};
use super::asking::Asking;
use super::average::Average;
use super::batch::Feed;
use super::checkpoint::{self, CheckpointError, Kept, Loaded, Position};
use super::early::Best;
use super::network::Network;
use super::order::mixed as seed_of;
use super::processes::{Processes, ProcessesError};
use super::schedule::Schedule;
use super::steps::{Examples, Progress, StageRun, StepSettings};
use super::training_error::TrainingError;
use super::validation::{Validation, answering};
use crate::head::{Frontier, mixed};
use crate::network::{Feature, HeadWeights, NetworkSettings, NetworkWeights};

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSettings {
    /// Labels are translated to ancestors at this depth; none: the leaves.
    pub depth: Option<u16>,
    /// Learning rates.
    pub schedule: Schedule,
    /// The paper's mixing factor a: the share of the parent's variance in a child's first weights.
    pub keep: f64,
}

/// What a run is made of.
pub struct Run<'a> {
    /// Shape of the network.
    pub network: &'a NetworkSettings,
    /// What it starts from.
    pub start: &'a NetworkWeights,
    /// What it tells apart.
    pub taxonomy: &'a Taxonomy,
    /// Stages, the last one at the leaves.
    pub stages: &'a [StageSettings],
    /// What the steps share.
    pub steps: &'a StepSettings,
    /// The optimiser.
    pub adam: AdamSettings,
    /// How much of the variables' moving average stays at a step, where the average is to answer.
    pub ema_decay: Option<f64>,
    /// What is asked after an epoch.
    pub validation: Option<Validation<'a>>,
    /// Where pictures come from.
    pub feed: &'a Feed<'a>,
    /// Positions of the pictures that are trained on, and the lowest taxon known of each.
    pub pictures: &'a [usize],
    /// As `pictures`.
    pub labels: &'a [TaxonIndex],
    /// Where a checkpoint is kept, how many steps apart, and the digest of all that the run depends on.
    pub checkpoint: Option<(&'a Path, usize, &'a str)>,
    /// The device without gradients.
    pub device: &'a Device,
    /// Who shares the passes. The first one's start and checkpoint are everybody's; the others write nothing.
    pub processes: &'a dyn Processes,
}

/// What training gives.
pub struct Trained {
    /// The network at the last step.
    pub network: Network,
}

/// Trains all stages, or what is left of them after the checkpoint. `done` is called after each step.
///
/// # Errors
/// If a picture cannot be read, the loss is no number, or a checkpoint cannot be read or written.
pub fn train(
    run: &Run<'_>,
    mut done: impl FnMut(Progress) -> Result<(), TrainingError>,
) -> Result<Trained, TrainingError> {
    let begun = run.begun()?;
    let first = begun.map_or(0, |position| position.stage);
    let mut previous: Option<(Frontier, Network)> = None;
    for (number, stage) in run.stages.iter().enumerate().skip(first) {
        let frontier = match stage.depth {
            Some(depth) => Frontier::at_depth(run.taxonomy, depth),
            None => Frontier::leaves(run.taxonomy),
        };
        let mut network = run.begin(number, stage, &frontier, previous.take());
        let mut adam = Adam::new(run.adam, &network.variables);
        let position = begun.filter(|position| position.stage == number);
        run.stage(number, stage, &frontier, (&mut network, &mut adam), position, &mut done)?;
        previous = Some((frontier, network));
    }
    match previous {
        Some((_, network)) => Ok(Trained { network }),
        None => {
            let frontier = Frontier::leaves(run.taxonomy);
            let head = run.random_head(&frontier, 0);
            Ok(Trained { network: run.network(run.start, &head) })
        }
    }
}

impl Run<'_> {
    /// Where the first process's checkpoint stands.
    fn begun(&self) -> Result<Option<Position>, TrainingError> {
        let own = match self.checkpoint {
            Some((path, _, digest)) if self.processes.is_first() => checkpoint::position(path, digest)?,
            _ => None,
        };
        let told =
            own.map(|Position { stage, step }| [stage, step].map(|number| (number as u64).to_le_bytes()));
        let told = self.processes.of_first(told.map(|numbers| numbers.concat()).unwrap_or_default());
        let mut numbers = told.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize);
        Ok(numbers.next().zip(numbers.next()).map(|(stage, step)| Position { stage, step }))
    }

    /// Puts the first process's numbers in the place of the others'.
    fn agree(&self, mut into: Loaded<'_>) -> Result<(), TrainingError> {
        if self.processes.count() == 1 {
            return Ok(());
        }
        let path = Path::new("of process 0");
        let kept = Kept {
            network: &*into.network,
            adam: &*into.adam,
            average: into.average.as_deref(),
            best: into.best.as_deref(),
        };
        let own = if self.processes.is_first() {
            let whole = checkpoint::whole(kept, Position::default(), "");
            whole.map_err(|source| CheckpointError::Write { path: path.into(), source })?
        } else {
            Vec::new()
        };
        let firsts = self.processes.of_first(own);
        if !self.processes.is_first() {
            checkpoint::take(path, &firsts, &mut into)?;
        }
        Ok(())
    }

    /// The network as stage `number` begins.
    fn begin(
        &self,
        number: usize,
        stage: &StageSettings,
        frontier: &Frontier,
        previous: Option<(Frontier, Network)>,
    ) -> Network {
        let own = self.random_head(frontier, number);
        match previous {
            None => self.network(self.start, &own),
            Some((shallower, network)) => {
                let parents = frontier.parents(self.taxonomy, &shallower);
                let head = children(&network.head(), &own, &parents, stage.keep);
                self.network(&network.weights(), &head)
            }
        }
    }

    fn network(&self, weights: &NetworkWeights, head: &HeadWeights) -> Network {
        Network::new(self.network, weights, head, &self.device.clone().autodiff())
    }

    fn random_head(&self, frontier: &Frontier, number: usize) -> HeadWeights {
        let mut random = StdRng::seed_from_u64(seed_of(self.steps.seed, 0x6865_6164 + number as u64));
        HeadWeights::random(self.network.preset.features(), frontier.taxa.len(), &mut random)
    }

    fn stage(
        &self,
        number: usize,
        stage: &StageSettings,
        frontier: &Frontier,
        (network, adam): (&mut Network, &mut Adam),
        begun: Option<Position>,
        done: &mut impl FnMut(Progress) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let admitted = |&label: &TaxonIndex| frontier.admitted(self.taxonomy, label).collect();
        let examples = Examples {
            pictures: self.pictures,
            admitted: self.labels.iter().map(admitted).collect(),
            classes: frontier.taxa.len(),
        };
        let part = StageRun {
            stage: number,
            examples,
            schedule: &stage.schedule,
            settings: self.steps,
            feed: self.feed,
            processes: self.processes,
        };
        let (processes, passes) = (self.processes.count(), part.examples.passes_per_step(self.steps));
        if processes > passes {
            return Err(ProcessesError::TooMany { processes, passes }.into());
        }
        let asking = Asking {
            batch_size: self.steps.batch_size,
            threads: self.steps.threads,
            processes: self.processes,
        };
        let epoch = part.examples.steps_per_epoch(self.steps);
        let last = stage.depth.is_none();
        let patience = self.validation.and_then(|validation| validation.patience).filter(|_| last);
        let validation = self.validation.filter(|validation| validation.every_stage || patience.is_some());
        let mut average = self.ema_decay.map(|decay| Average::new(decay, &network.variables));
        let mut best = patience.map(|_| Best::of(network));
        let first = self.processes.is_first();
        let mut kept = Loaded { network, adam, average: average.as_mut(), best: best.as_mut() };
        if let (Some((path, ..)), Some(_), true) = (self.checkpoint, begun, first) {
            checkpoint::load(path, &mut kept)?;
        }
        self.agree(kept)?;
        let ended =
            |best: Option<&Best>| best.zip(patience).is_some_and(|(best, patience)| best.since >= patience);
        if !ended(best.as_ref()) {
            let from = begun.map_or(0, |position| position.step);
            part.run(network, adam, from, |network, adam, mut progress| {
                if let Some(average) = &mut average {
                    average.update(&network.variables, adam.step);
                }
                if let (Some(validation), 0) = (validation, progress.step % epoch) {
                    let answering = answering(network, average.as_ref());
                    let validated = validation.ask(&answering, (self.taxonomy, frontier), asking)?;
                    if let Some(best) = &mut best {
                        best.note(&answering, validated.validation_loss);
                    }
                    progress.validated = Some(validated);
                }
                let ended = ended(best.as_ref());
                if let Some((path, apart, digest)) = self.checkpoint
                    && first
                    && (progress.step % apart.max(1) == 0 || progress.step == progress.steps || ended)
                {
                    let position = Position { stage: number, step: progress.step };
                    let kept = Kept { network, adam, average: average.as_ref(), best: best.as_ref() };
                    checkpoint::save(path, kept, position, digest)?;
                }
                done(progress)?;
                Ok(if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        // The best one is an average already, where there is one.
        match (best, average) {
            (Some(best), _) if best.loss.is_finite() => best.apply(network),
            (_, Some(average)) => average.apply(&mut network.variables),
            _ => {}
        }
        Ok(())
    }
}

/// First weights of classes whose parents were trained: `sqrt(a)` of the parent's and `sqrt(1 - a)` of the random ones,
/// biases likewise (paper section 3.2).
fn children(parent: &HeadWeights, random: &HeadWeights, parents: &[usize], keep: f64) -> HeadWeights {
    let features = random.weight.len() / random.bias.len().max(1);
    let row = |weights: &HeadWeights, class: usize| {
        weights.weight[class * features..(class + 1) * features].to_vec()
    };
    let weight = parents
        .iter()
        .enumerate()
        .flat_map(|(class, &above)| mixed(&row(parent, above), &row(random, class), keep))
        .collect();
    // Biases of new classes are zero: of the mixture only the parent's part is left.
    let bias = parents.iter().map(|&above| keep.sqrt() as f32 * parent.bias[above]).collect();
    HeadWeights { weight, bias, scale: 1.0, temperature: 1.0, feature: Feature::Pooled }
}
