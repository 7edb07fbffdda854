//! A recipe followed: photographs in, a trained network, its figures and a package out.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fieldmark_models::package::Sha256Digest;
use fieldmark_models::taxonomy::{TaxonIndex, Taxonomy};
use indicatif::ProgressDrawTarget;
use serde::Serialize;

use super::asking::{Asking, logits};
use super::batch::Feed;
use super::dashboard::{Dashboard, StagePlan};
use super::network::Network;
use super::order::Sampling;
use super::processes::{Processes, ProcessesError};
use super::processor::Processor;
use super::recipe::NetworkRecipe;
use super::stages::{Run, train};
use super::steps::Progress;
use super::training_error::TrainingError;
use super::validation::Validation;
use crate::calibrate;
use crate::dataset::{self, Photo};
use crate::evaluate::{self, Measured, Trial, Trials};
use crate::network::{Backbone, HeadWeights, NetworkWeights, export_model};
use crate::package;
use crate::pictures::Kind;
use crate::report;
use crate::run::progress;

/// Files of a run in its folder.
const CHECKPOINT: &str = "checkpoint.safetensors";
const LOG: &str = "steps.jsonl";
/// The photographs that a run does not train on.
const VALIDATION: &str = "validation.csv";
/// The page of a run.
const REPORT: &str = "report.html";
/// The figures of a run.
pub const EVALUATION: &str = "evaluation.json";

/// A recipe with its photographs. All processes that train together have one; the first keeps the run.
pub struct Session<'a> {
    recipe: NetworkRecipe,
    photos: Vec<Photo>,
    pictures: Vec<PathBuf>,
    training: Vec<usize>,
    validation: Vec<usize>,
    taxonomy: Taxonomy,
    folder: PathBuf,
    processes: &'a dyn Processes,
}

/// What a run is worth: the columns of the paper's Table 1 and all that [`Measured`] has.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// Name of the recipe.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Photographs trained on.
    pub training: usize,
    /// Photographs for validation.
    pub validation: usize,
    /// Species top-1 on training photographs, unchanged: far above validation, the network overfits.
    pub training_top1: f64,
    /// On the validation photographs.
    pub measured: Measured,
}

impl<'a> Session<'a> {
    /// Reads the photographs of `recipe`; `folder` is where the run is kept, by the first of `processes`.
    ///
    /// # Errors
    /// If a photograph is missing, or none is left to train on.
    pub fn new(recipe: NetworkRecipe, folder: &Path, processes: &'a dyn Processes) -> anyhow::Result<Self> {
        let labelled = recipe.data.source.read()?;
        let (training, validation) = labelled.split(recipe.data.validation, recipe.network.seed);
        let photos = labelled.photos;
        let taxonomy = dataset::taxonomy(training.iter().map(|&photo| &photos[photo]))?;
        anyhow::ensure!(!validation.is_empty(), "no photograph is left for validation: there are too few");
        if processes.is_first() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create folder {}", folder.display()))?;
            let kept = validation.iter().map(|&photo| &photos[photo]);
            dataset::write_table(&folder.join(VALIDATION), kept)?;
        }
        let pictures = photos.iter().map(|photo| photo.path.clone()).collect();
        let folder = folder.into();
        Ok(Self { recipe, photos, pictures, training, validation, taxonomy, folder, processes })
    }

    /// Trains on `processor`, or goes on where an interrupted run stopped.
    ///
    /// # Errors
    /// If training stops, see [`TrainingError`].
    pub fn train(&self, processor: Processor) -> anyhow::Result<Network> {
        let recipe = &self.recipe;
        let digest = self.digest();
        self.agree(&digest)?;
        // The others are told the first one's numbers.
        let backbone = if self.processes.is_first() {
            Backbone::of(&recipe.network)?
        } else {
            Backbone::random(&recipe.network.preset, recipe.network.seed)
        };
        let start = NetworkWeights::of_backbone(&recipe.network, &backbone, recipe.views.views().len());
        let labels: Vec<TaxonIndex> =
            self.training.iter().map(|&photo| self.photos[photo].lowest_known(&self.taxonomy)).collect();
        let checkpoint = self.folder.join(CHECKPOINT);
        let unchanged = self.feed(false);
        let judged: Vec<TaxonIndex> =
            self.validation.iter().map(|&photo| self.photos[photo].lowest_known(&self.taxonomy)).collect();
        let validation = Validation {
            feed: &unchanged,
            pictures: &self.validation,
            labels: &judged,
            patience: recipe.patience,
            every_stage: recipe.validate,
        };
        let feed = self.feed(true);
        let device = processor.device(self.processes.on_machine());
        let run = Run {
            network: &recipe.network,
            start: &start,
            taxonomy: &self.taxonomy,
            stages: &recipe.stages,
            steps: &recipe.steps,
            adam: recipe.adam,
            ema_decay: recipe.ema_decay,
            validation: (recipe.validate || recipe.patience.is_some()).then_some(validation),
            feed: &feed,
            pictures: &self.training,
            labels: &labels,
            checkpoint: Some((&checkpoint, recipe.checkpoint_every, &digest)),
            device: &device,
            processes: self.processes,
        };
        if !self.processes.is_first() {
            return Ok(train(&run, |_| Ok(()))?.network);
        }
        let mut log = Log::open(&self.folder.join(LOG))?;
        let mut dashboard = self.dashboard();
        let trained = train(&run, |step| {
            dashboard.step(&step);
            log.write(&step)
        })?;
        dashboard.end();
        Ok(trained.network)
    }

    fn dashboard(&self) -> Dashboard {
        let recipe = &self.recipe;
        let pictures = (recipe.steps.batch_size * recipe.steps.passes).min(self.training.len());
        let stages = recipe.stages.iter().map(|stage| StagePlan {
            name: stage.depth.map_or("leaves".into(), |depth| format!("depth {depth}")),
            steps: stage.schedule.steps(self.training.len() / pictures.max(1)),
        });
        Dashboard::new(stages.collect(), pictures)
    }

    /// The figures of `network`, also written beside its checkpoint. All processes share the work, the first has the
    /// figures.
    ///
    /// # Errors
    /// If a picture cannot be read, or the figures not be written.
    pub fn evaluate(&self, network: &Network) -> anyhow::Result<Option<Evaluation>> {
        let recipe = &self.recipe;
        let training =
            self.trials(network, &spread(&self.named(&self.training), recipe.evaluate.training_sample))?;
        let validation = self.trials(network, &self.named(&self.validation))?;
        if !self.processes.is_first() {
            return Ok(None);
        }
        let settings = calibrate::Settings {
            targets: recipe.evaluate.targets.clone(),
            confidence: recipe.evaluate.confidence,
            halvings: recipe.evaluate.halvings,
            seed: recipe.network.seed,
        };
        let evaluation = Evaluation {
            name: recipe.name.clone(),
            seed: recipe.network.seed,
            training: self.training.len(),
            validation: self.validation.len(),
            training_top1: evaluate::top1(&training),
            measured: evaluate::measure(&validation, &settings)?,
        };
        let path = self.folder.join(EVALUATION);
        let json = serde_json::to_string_pretty(&evaluation)?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(evaluation))
    }

    /// Writes `network` as a package into `folder`.
    ///
    /// # Errors
    /// If species top-1 is below the recipe's floor, or the package cannot be written.
    pub fn package(
        &self,
        network: &Network,
        evaluation: &Evaluation,
        folder: &Path,
    ) -> anyhow::Result<PathBuf> {
        let recipe = &self.recipe;
        let measured = &evaluation.measured;
        let (reached, _) = measured.top1.get("species").copied().unwrap_or_default();
        let floor = recipe.evaluate.floor;
        anyhow::ensure!(
            reached >= floor,
            "species top-1 is {reached:.3}, below the recipe's floor of {floor}: no package made"
        );
        let temperature = measured.calibration.temperature() as f32;
        let head = HeadWeights { temperature, ..network.head() };
        let model = export_model(&recipe.network, &network.weights(), &recipe.views, &head)?;
        let measured_on = measured_on(evaluation);
        // The photographs have licences of their own, and a package goes to every node.
        let report = self.page(evaluation, &|_| None)?;
        package::write(
            &self.identity(&measured_on),
            &self.taxonomy,
            &measured.calibration,
            report,
            model,
            folder,
        )
        .context("packaging failed")
    }

    /// Writes the page of `evaluation`, with photographs, beside its checkpoint, and gives its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn report(&self, evaluation: &Evaluation) -> anyhow::Result<PathBuf> {
        let photograph = |photo: usize| self.photos.get(photo).map(|photo| photo.path.clone());
        let page = self.page(evaluation, &photograph)?;
        let path = self.folder.join(REPORT);
        std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn page(&self, evaluation: &Evaluation, photograph: &report::Photograph<'_>) -> anyhow::Result<String> {
        report::report(&report::Content {
            identity: &self.identity(&measured_on(evaluation)),
            taxonomy: &self.taxonomy,
            measured: &evaluation.measured,
            training_top1: Some(evaluation.training_top1),
            photograph,
        })
    }

    fn identity<'b>(&'b self, measured_on: &'b str) -> package::Identity<'b> {
        let recipe = &self.recipe;
        package::Identity {
            name: &recipe.name,
            version: &recipe.version,
            preset: recipe.network.preset.name,
            licence: &recipe.licence,
            provenance: &recipe.provenance,
            views: &recipe.views,
            measured_on,
        }
    }

    fn feed(&self, training: bool) -> Feed<'_> {
        let recipe = &self.recipe;
        Feed {
            pictures: &self.pictures,
            views: &recipe.views,
            normalisation: recipe.network.preset.normalisation,
            augmentation: training.then_some(recipe.augmentation),
            seed: recipe.network.seed,
            repeats: recipe.steps.sampling == Sampling::Balanced,
        }
    }

    fn trials(&self, network: &Network, photos: &[usize]) -> anyhow::Result<Trials> {
        let settings = &self.recipe.steps;
        let (batch_size, threads, processes) = (settings.batch_size, settings.threads, self.processes);
        let asking = Asking { batch_size, threads, processes };
        let bar = progress("asked", photos.len());
        if !processes.is_first() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let mut rows = Vec::new();
        logits(network, &self.feed(false), photos, asking, |row| {
            if processes.is_first() {
                rows.push(row.to_vec());
            }
            bar.inc(1);
        })?;
        bar.finish();
        let sizes = evaluate::class_sizes(&self.taxonomy, &self.photos, &self.training);
        let individuals = dataset::individuals(&self.photos);
        let trial = |(&photo, logits): (&usize, Vec<f32>)| {
            let truth = self.photos[photo].lowest_known(&self.taxonomy);
            let seen = self.taxonomy.find_lineage(&self.photos[photo].lineage).is_some();
            let trained_on = if seen { sizes.get(&truth).copied().unwrap_or_default() } else { 0 };
            let best = evaluate::best_leaf(&self.taxonomy, &logits);
            let individual = individuals[photo];
            Trial { photo, individual, tree: 0, kind: Kind::Plain, seen, truth, trained_on, logits, best }
        };
        let trials = photos.iter().zip(rows).map(trial).collect();
        Ok(Trials { trees: vec![self.taxonomy.clone()], trials })
    }

    /// Those of `photos` whose labels are as specific as an answer can be: of a label above that nobody knows whether an answer
    /// below it is right.
    fn named(&self, photos: &[usize]) -> Vec<usize> {
        let named = |&&photo: &&usize| self.photos[photo].is_judged(&self.taxonomy);
        photos.iter().filter(named).copied().collect()
    }

    /// Whether all processes are about to train the same.
    fn agree(&self, digest: &str) -> Result<(), ProcessesError> {
        let own = format!("{} {digest}", env!("CARGO_PKG_VERSION")).into_bytes();
        let number = self.processes.number();
        if self.processes.of_first(own.clone()) == own {
            Ok(())
        } else {
            Err(ProcessesError::Differ { number })
        }
    }

    /// Of everything a checkpoint must agree with: what of the recipe training hangs on, its seed, and the photographs in their
    /// order, with their individuals and what they are for.
    fn digest(&self) -> String {
        let mut all = format!("{}\n{}\n", self.recipe.of_training(), self.recipe.network.seed);
        let mut sides = vec![' '; self.photos.len()];
        self.training.iter().for_each(|&photo| sides[photo] = 'T');
        self.validation.iter().for_each(|&photo| sides[photo] = 'V');
        for (photo, side) in self.photos.iter().zip(sides) {
            let line = (photo.path.display(), &photo.individual, &photo.lineage);
            all.push_str(&format!("{side} {} {} {}\n", line.0, line.1, line.2));
        }
        Sha256Digest::of(all.as_bytes()).to_string()
    }
}

/// At most `most` of `photos`, from all along them: they stand in the order of their taxa.
fn spread(photos: &[usize], most: usize) -> Vec<usize> {
    let count = photos.len().min(most);
    (0..count).map(|number| photos[number * photos.len() / count]).collect()
}

fn measured_on(evaluation: &Evaluation) -> String {
    let Evaluation { training, validation, .. } = evaluation;
    format!("{training} photographs for training, {validation} for validation.")
}

/// One line of JSON a step.
struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { file, path: path.into() })
    }

    fn write(&mut self, step: &Progress) -> Result<(), TrainingError> {
        let line = serde_json::to_string(step).map_err(std::io::Error::from);
        line.and_then(|line| writeln!(self.file, "{line}"))
            .map_err(|source| TrainingError::Log { path: self.path.clone(), source })
    }
}
