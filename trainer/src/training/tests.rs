use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex};

use burn::tensor::{Device, Tensor, TensorData};
use fieldmark_models::picture::Picture;
use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};
use fieldmark_models::views::{View, ViewRenderer, ViewSet};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::evaluate;
use crate::features::Runner;
use crate::network::{Backbone, HeadWeights, NetworkSettings, NetworkWeights, Preset, export_features};
use crate::pictures::Augmentation;

const SEED: u64 = 5;

fn settings() -> NetworkSettings {
    let preset = Preset::named("inception-resnet-v2-small").expect("a preset");
    NetworkSettings::random(preset, SEED)
}

fn views(names: &[&str], settings: &NetworkSettings) -> ViewSet {
    let view = |(position, name): (usize, &&str)| View {
        name: (*name).into(),
        magnification: 1.0 + position as f64,
    };
    ViewSet::new(names.iter().enumerate().map(view).collect(), settings.preset.input_size).expect("views")
}

/// Two genera, the second of two species; pictures of plain colours with noise.
struct Set {
    folder: tempfile::TempDir,
    pictures: Vec<PathBuf>,
    labels: Vec<TaxonIndex>,
    taxonomy: Taxonomy,
}

fn set(each: usize) -> Set {
    let mut builder = TaxonomyBuilder::new();
    let species = [["Q", "A", "A a"], ["Q", "B", "B a"], ["Q", "B", "B b"]];
    let ranks = [Rank::Kingdom, Rank::Genus, Rank::Species];
    let lineage = |names: &[&str; 3]| Lineage::new(ranks.clone().into_iter().zip(*names)).expect("a lineage");
    for names in &species {
        builder.insert(&lineage(names), None);
    }
    let taxonomy = builder.build().expect("a tree");
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = StdRng::seed_from_u64(1);
    let (mut pictures, mut labels) = (Vec::new(), Vec::new());
    for number in 0..each * species.len() {
        let class = number % species.len();
        let path = folder.path().join(format!("{number}.png"));
        let colours = [[200, 40, 40], [40, 200, 40], [40, 60, 200]];
        let image = image::RgbImage::from_fn(40, 40, |_, _| {
            image::Rgb(colours[class].map(|channel: u8| channel.saturating_add(random.random_range(0..40))))
        });
        image.save(&path).expect("a picture");
        pictures.push(path);
        labels.push(taxonomy.find_lineage(&lineage(&species[class])).expect("a taxon"));
    }
    Set { folder, pictures, labels, taxonomy }
}

fn steps() -> StepSettings {
    StepSettings {
        batch_size: 6,
        passes: 1,
        dropout: 0.2,
        precision: Precision::Float32,
        norm_decay: 0.8,
        auxiliary_weight: 0.4,
        sampling: Sampling::Once,
        seed: SEED,
        threads: 2,
    }
}

fn plain_training() -> Mode {
    Mode::Training { dropout: 0.0, seed: 1, precision: Precision::Float32 }
}

fn schedule(epochs: f64, rate: f64) -> Schedule {
    Schedule::new(vec![Span { epochs, rate }]).expect("a schedule")
}

/// What a run may have beside its steps.
#[derive(Clone, Copy, Default)]
struct Extras {
    ema_decay: Option<f64>,
    patience: Option<usize>,
    every_stage: bool,
    /// Whether colours are not turned, by up to 72 degrees where three of them lie 120 apart.
    steady_hue: bool,
}

const STOPPING: Extras = Extras { ema_decay: None, patience: Some(2), every_stage: false, steady_hue: false };
const ALL: Extras = Extras { ema_decay: Some(0.9), patience: Some(9), every_stage: true, steady_hue: false };

/// Trains genus then species on `set`; `done` may stop it. With a checkpoint after every other step.
fn train_on(
    set: &Set,
    checkpoint: Option<&Path>,
    epochs: f64,
    done: impl FnMut(Progress) -> Result<(), TrainingError>,
) -> Result<Network, TrainingError> {
    train_with(set, checkpoint, epochs, Extras::default(), done)
}

fn rows(network: &Network, feed: &Feed<'_>, pictures: &[usize], batch_size: usize) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    let asking = Asking { batch_size, threads: 1, processes: &Alone };
    logits(network, feed, pictures, asking, |row| rows.push(row.to_vec())).expect("logits");
    rows
}

/// The same with the decay of a moving average, and patience for the same pictures as validation.
fn train_with(
    set: &Set,
    checkpoint: Option<&Path>,
    epochs: f64,
    extras: Extras,
    done: impl FnMut(Progress) -> Result<(), TrainingError>,
) -> Result<Network, TrainingError> {
    train_in(set, checkpoint, epochs, extras, (&Alone, steps()), done)
}

/// The same in one of several processes.
fn train_in(
    set: &Set,
    checkpoint: Option<&Path>,
    epochs: f64,
    Extras { ema_decay, patience, every_stage, steady_hue }: Extras,
    (processes, steps): (&dyn Processes, StepSettings),
    done: impl FnMut(Progress) -> Result<(), TrainingError>,
) -> Result<Network, TrainingError> {
    let settings = settings();
    let views = views(&["whole", "crop"], &settings);
    let backbone = Backbone::random(&settings.preset, SEED);
    let start = NetworkWeights::of_backbone(&settings, &backbone, 2);
    let mut augmentation = Augmentation::default();
    if steady_hue {
        augmentation.hue = 0.0;
    }
    let feed = feed(set, &views, &settings, Some(augmentation));
    let pictures: Vec<usize> = (0..set.pictures.len()).collect();
    let device = Device::flex();
    let unchanged = self::feed(set, &views, &settings, None);
    let validation = patience.map(|patience| Validation {
        feed: &unchanged,
        pictures: &pictures,
        labels: &set.labels,
        patience: Some(patience),
        every_stage,
    });
    let run = Run {
        ema_decay,
        validation,
        network: &settings,
        start: &start,
        taxonomy: &set.taxonomy,
        stages: &[
            StageSettings { depth: Some(2), schedule: schedule(epochs, 0.003), keep: 0.5 },
            StageSettings { depth: None, schedule: schedule(epochs, 0.003), keep: 0.5 },
        ],
        steps: &steps,
        adam: AdamSettings { epsilon: 1e-8, ..AdamSettings::default() },
        feed: &feed,
        pictures: &pictures,
        labels: &set.labels,
        checkpoint: checkpoint.map(|path| (path, 2, "digest")),
        device: &device,
        processes,
    };
    train(&run, done).map(|trained| trained.network)
}

fn feed<'a>(
    set: &'a Set,
    views: &'a ViewSet,
    settings: &NetworkSettings,
    augmentation: Option<Augmentation>,
) -> Feed<'a> {
    let normalisation = settings.preset.normalisation;
    Feed { pictures: &set.pictures, views, normalisation, augmentation, seed: SEED, repeats: false }
}

#[test]
fn what_is_trained_answers_as_what_is_exported() {
    let settings = settings();
    for names in [&["whole"][..], &["whole", "crop"], &["whole", "crop", "detail"]] {
        let views = views(names, &settings);
        let start =
            NetworkWeights::of_backbone(&settings, &Backbone::random(&settings.preset, SEED), names.len());
        let head = HeadWeights::random(settings.preset.features(), 3, &mut StdRng::seed_from_u64(2));
        let mut network = Network::new(&settings, &start, &head, &Device::flex().autodiff());
        // Statistics other than the first ones, so that forgetting them shows.
        let set = set(1);
        let feed = feed(&set, &views, &settings, None);
        let batch = feed.batch(0, 0, &[0, 1, 2], &mut ViewRenderer::new()).expect("a batch");
        let side = settings.preset.input_size as usize;
        let inputs = batch.views.iter().map(|view| {
            let data = TensorData::new(view.clone(), [3, 3, side, side]);
            Tensor::from_data(data, &Device::flex().autodiff())
        });
        let pass = network.pass(inputs.collect(), plain_training());
        assert_eq!(pass.auxiliary.map(|logits| logits.dims()), Some([3, 3]));
        network.keep_statistics(pass.batch_statistics, 0.5);
        let trained = rows(&network, &feed, &[0, 1, 2], 2);
        let runner = Runner::new(&export_features(&settings, &network.weights(), &views), &views);
        let runner = runner.expect("an engine");
        for (path, trained) in set.pictures.iter().zip(trained) {
            let picture = Picture::decode(&std::fs::read(path).expect("a file")).expect("a picture");
            let feature = runner.run(&picture, &mut ViewRenderer::new()).expect("features");
            for (a, b) in evaluate::logits(&network.head(), &feature).iter().zip(trained) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let set = set(6);
    let extras = Extras { ema_decay: Some(0.9), patience: Some(9), ..Extras::default() };
    let whole = train_with(&set, None, 2.0, extras, |_| Ok(())).expect("a run");
    let path = set.folder.path().join("checkpoint.safetensors");
    let mut made = 0;
    // Stopped between two checkpoints, once in each stage.
    for stop in [3, 7] {
        let before = made;
        let stopped = train_with(&set, Some(&path), 2.0, extras, |_| {
            made += 1;
            if made - before == stop { Err(BatchError::Stopped.into()) } else { Ok(()) }
        });
        assert!(stopped.is_err());
    }
    let resumed = train_with(&set, Some(&path), 2.0, extras, |_| {
        made += 1;
        Ok(())
    });
    let resumed = resumed.expect("a run");
    assert_eq!(made, 3 + 7 + 4, "each time it went on from the last checkpoint");
    assert_eq!(whole.weights(), resumed.weights());
    assert_eq!(whole.head(), resumed.head());
}

#[test]
fn the_last_stage_ends_when_validation_gets_no_better_and_gives_its_best_network() {
    let set = set(6);
    let path = set.folder.path().join("checkpoint.safetensors");
    let mut losses = Vec::new();
    let mut last = (0, 0);
    let network = train_with(&set, Some(&path), 40.0, STOPPING, |progress| {
        losses.extend(progress.validated.map(|validated| validated.validation_loss));
        last = (progress.step, progress.steps);
        Ok(())
    });
    let network = network.expect("a run");
    assert!(last.0 < last.1, "{last:?}: {losses:?}");
    let best = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(epoch, _)| epoch);
    assert_eq!(best, Some(losses.len() - 3), "{losses:?}");
    // An ended stage is not gone on with, and gives the same.
    let again = train_with(&set, Some(&path), 40.0, STOPPING, |_| panic!("a step after the end"));
    let again = again.expect("a run");
    assert_eq!((network.weights(), network.head()), (again.weights(), again.head()));
}

#[test]
fn colours_are_learned() {
    assert_colours_are_learned(Precision::Float32);
}

#[test]
fn colours_are_learned_in_bfloat16() {
    assert_colours_are_learned(Precision::BFloat16);
}

fn assert_colours_are_learned(precision: Precision) {
    let set = set(8);
    // At six epochs it hangs on the last bits of sums whether all or a third are right: running statistics come after.
    let with = (&Alone as &dyn Processes, StepSettings { precision, ..steps() });
    let extras = Extras { steady_hue: true, ..Extras::default() };
    let network = train_in(&set, None, 12.0, extras, with, |_| Ok(())).expect("a run");
    let settings = settings();
    let views = views(&["whole", "crop"], &settings);
    let feed = feed(&set, &views, &settings, None);
    let pictures: Vec<usize> = (0..set.pictures.len()).collect();
    let rows = rows(&network, &feed, &pictures, 8);
    let best = |row: &Vec<f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let right = rows
        .iter()
        .zip(&set.labels)
        .filter(|(row, label)| best(row).and_then(|leaf| set.taxonomy.leaf(leaf)) == Some(**label))
        .count();
    assert!(right * 10 >= rows.len() * 8, "{right} of {}", rows.len());
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_pictures() {
    let set = set(2);
    let settings = settings();
    let views = views(&["whole"], &settings);
    let mut start = NetworkWeights::of_backbone(&settings, &Backbone::random(&settings.preset, SEED), 1);
    start.shared[0][0].weight[0] = f32::NAN;
    let feed = feed(&set, &views, &settings, None);
    let (steps, device) = (steps(), Device::flex());
    let run = Run {
        ema_decay: None,
        validation: None,
        network: &settings,
        start: &start,
        taxonomy: &set.taxonomy,
        stages: &[StageSettings { depth: None, schedule: schedule(1.0, 0.1), keep: 0.5 }],
        steps: &steps,
        adam: AdamSettings::default(),
        feed: &feed,
        pictures: &[0, 1, 2, 3, 4, 5],
        labels: &set.labels,
        checkpoint: None,
        device: &device,
        processes: &Alone,
    };
    let Err(error) = train(&run, |_| Ok(())) else { panic!("a loss of NaN was accepted") };
    let text = error.to_string();
    assert!(text.contains("is NaN at rate 0.1") && text.contains("3.png"), "{text}");
}

#[test]
fn a_checkpoint_of_another_recipe_is_none_and_a_torn_one_is_told() {
    let set = set(2);
    let path = set.folder.path().join("checkpoint.safetensors");
    train_on(&set, Some(&path), 1.0, |_| Ok(())).expect("a run");
    let before = std::fs::read(&path).expect("a checkpoint");
    assert!(checkpoint::position(&path, "another recipe").expect("readable").is_none());
    std::fs::write(&path, &before[..before.len() / 2]).expect("write");
    let error = checkpoint::position(&path, "digest").expect_err("damaged").to_string();
    assert!(error.contains("remove it to begin anew"), "{error}");
}

/// Processes that are threads of this one.
struct Thread<'a> {
    number: usize,
    meeting: &'a Meeting,
}

struct Meeting {
    barrier: Barrier,
    numbers: Mutex<Vec<Vec<f32>>>,
    bytes: Mutex<Vec<u8>>,
    count: usize,
}

impl Meeting {
    fn of(count: usize) -> Self {
        let numbers = Mutex::new(vec![Vec::new(); count]);
        Self { barrier: Barrier::new(count), numbers, bytes: Mutex::default(), count }
    }
}

impl Processes for Thread<'_> {
    fn number(&self) -> usize {
        self.number
    }

    fn count(&self) -> usize {
        self.meeting.count
    }

    fn on_machine(&self) -> usize {
        self.number
    }

    fn sum(&self, numbers: &mut [f32]) {
        self.meeting.numbers.lock().expect("a lock")[self.number] = numbers.to_vec();
        self.meeting.barrier.wait();
        let mut sum = Pairwise::of_numbers();
        self.meeting.numbers.lock().expect("a lock").iter().for_each(|of_one| sum.add(of_one.clone()));
        numbers.copy_from_slice(&sum.total().expect("some"));
        self.meeting.barrier.wait();
    }

    fn of_first(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.number == 0 {
            *self.meeting.bytes.lock().expect("a lock") = bytes;
        }
        self.meeting.barrier.wait();
        let firsts = self.meeting.bytes.lock().expect("a lock").clone();
        self.meeting.barrier.wait();
        firsts
    }

    fn stop(&self, code: u8) -> ! {
        panic!("stopped with {code}")
    }
}

/// Trains in `count` processes, each with its own checkpoint, and gives the losses and the network of each.
fn train_together(
    set: &Set,
    count: usize,
    settings: &StepSettings,
    checkpoints: &[PathBuf],
) -> Vec<Result<(Vec<f32>, Network), TrainingError>> {
    let meeting = Meeting::of(count);
    std::thread::scope(|scope| {
        let started = (0..count).map(|number| {
            let (meeting, settings) = (&meeting, settings.clone());
            scope.spawn(move || {
                let mut losses = Vec::new();
                let process = Thread { number, meeting };
                let checkpoint = checkpoints.get(number).map(PathBuf::as_path);
                let network = train_in(set, checkpoint, 1.0, ALL, (&process, settings), |progress| {
                    losses.push(progress.loss);
                    Ok(())
                });
                network.map(|network| (losses, network))
            })
        });
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn several_processes_end_where_one_does() {
    let set = set(5);
    for (passes, counts) in [(3, &[3][..]), (4, &[2, 4])] {
        let settings = StepSettings { batch_size: 2, passes, ..steps() };
        let (mut alone, mut ranks) = (Vec::new(), [Vec::new(), Vec::new()]);
        let network = train_in(&set, None, 1.0, ALL, (&Alone, settings.clone()), |progress| {
            alone.push(progress.loss);
            let asked = progress.validated.into_iter();
            ranks[progress.stage].extend(asked.flat_map(|validated| validated.validation_top1.into_keys()));
            Ok(())
        });
        let network = network.expect("a run");
        assert!(alone.len() >= 2, "{alone:?}");
        assert_eq!(ranks, [&["genus", "kingdom"][..], &["genus", "kingdom", "species"]]);
        for &count in counts {
            for (number, of_one) in train_together(&set, count, &settings, &[]).into_iter().enumerate() {
                let (losses, together) = of_one.expect("a run");
                assert_eq!(losses, alone, "process {number} of {count}");
                assert_eq!(together.weights(), network.weights(), "process {number} of {count}");
                assert_eq!(together.head(), network.head(), "process {number} of {count}");
            }
        }
    }
}

#[test]
fn the_first_process_keeps_the_checkpoint_for_all() {
    let set = set(4);
    let settings = StepSettings { batch_size: 3, passes: 2, ..steps() };
    let checkpoints = [0, 1].map(|number| set.folder.path().join(format!("{number}.safetensors")));
    let whole = train_together(&set, 2, &settings, &checkpoints);
    assert!(checkpoints[0].exists() && !checkpoints[1].exists());
    let (_, network) = whole.into_iter().next().expect("two").expect("a run");
    let again = train_together(&set, 2, &settings, &checkpoints);
    for of_one in again {
        let (losses, resumed) = of_one.expect("a run");
        assert!(losses.is_empty(), "nothing is left to be done");
        assert_eq!(resumed.weights(), network.weights());
    }
}

#[test]
fn more_processes_than_passes_are_told_how_many_there_can_be() {
    let set = set(2);
    let settings = StepSettings { batch_size: 3, passes: 2, ..steps() };
    for of_one in train_together(&set, 3, &settings, &[]) {
        let Err(error) = of_one else { panic!("a process without work") };
        assert!(error.to_string().contains("start 2 or fewer"), "{error}");
    }
}
