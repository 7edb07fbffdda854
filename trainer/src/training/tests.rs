use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use fieldmark_models::picture::Picture;
use fieldmark_models::taxonomy::{Lineage, Rank, TaxonIndex, Taxonomy, TaxonomyBuilder};
use fieldmark_models::views::{View, ViewRenderer, ViewSet};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::evaluate;
use crate::features::Runner;
use crate::network::{
    Backbone, ColumnInit, HeadWeights, NetworkSettings, NetworkWeights, Preset, export_features,
};
use crate::pictures::Augmentation;

const SEED: u64 = 5;

fn settings() -> NetworkSettings {
    let preset = Preset::named("inception-resnet-v2-small").expect("a preset");
    NetworkSettings {
        split: preset.split,
        merge: preset.merge,
        weights: None,
        crop_column: ColumnInit::Random,
        whole_share: 0.5,
        seed: SEED,
        preset,
    }
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
        norm_decay: 0.8,
        auxiliary_weight: 0.4,
        sampling: Sampling::Once,
        seed: SEED,
        threads: 2,
    }
}

fn schedule(epochs: f64, rate: f64) -> Schedule {
    Schedule::new(vec![Span { epochs, rate }]).expect("a schedule")
}

/// Trains genus then species on `set`; `done` may stop it. With a checkpoint after every other step.
fn train_on(
    set: &Set,
    checkpoint: Option<&Path>,
    epochs: f64,
    done: impl FnMut(Progress) -> Result<(), TrainingError>,
) -> Result<Network, TrainingError> {
    train_with(set, checkpoint, epochs, (None, None), done)
}

/// The same with the decay of a moving average, and patience for the same pictures as validation.
fn train_with(
    set: &Set,
    checkpoint: Option<&Path>,
    epochs: f64,
    (ema_decay, patience): (Option<f64>, Option<usize>),
    done: impl FnMut(Progress) -> Result<(), TrainingError>,
) -> Result<Network, TrainingError> {
    let settings = settings();
    let views = views(&["whole", "crop"], &settings);
    let backbone = Backbone::random(&settings.preset, SEED);
    let start = NetworkWeights::of_backbone(&settings, &backbone, 2);
    let feed = feed(set, &views, &settings, Some(Augmentation::default()));
    let pictures: Vec<usize> = (0..set.pictures.len()).collect();
    let (steps, device) = (steps(), Device::flex());
    let unchanged = self::feed(set, &views, &settings, None);
    let validation = patience.map(|patience| Validation {
        feed: &unchanged,
        pictures: &pictures,
        labels: &set.labels,
        patience,
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
    Feed { pictures: &set.pictures, views, normalisation, augmentation, seed: SEED }
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
        let pass = network.pass(inputs.collect(), Mode::Training { dropout: 0.0, seed: 1 });
        assert_eq!(pass.auxiliary.map(|logits| logits.dims()), Some([3, 3]));
        network.keep_statistics(pass.batch_statistics, 0.5);
        let trained = logits(&network, &feed, &[0, 1, 2], 2, 1, |_| {}).expect("logits");
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
    let extras = (Some(0.9), Some(9));
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
    let network = train_with(&set, Some(&path), 40.0, (None, Some(2)), |progress| {
        losses.extend(progress.validation_loss);
        last = (progress.step, progress.steps);
        Ok(())
    });
    let network = network.expect("a run");
    assert!(last.0 < last.1, "{last:?}: {losses:?}");
    let best = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(epoch, _)| epoch);
    assert_eq!(best, Some(losses.len() - 3), "{losses:?}");
    // An ended stage is not gone on with, and gives the same.
    let again = train_with(&set, Some(&path), 40.0, (None, Some(2)), |_| panic!("a step after the end"));
    let again = again.expect("a run");
    assert_eq!((network.weights(), network.head()), (again.weights(), again.head()));
}

#[test]
fn colours_are_learned() {
    let set = set(8);
    let network = train_on(&set, None, 6.0, |_| Ok(())).expect("a run");
    let settings = settings();
    let views = views(&["whole", "crop"], &settings);
    let feed = feed(&set, &views, &settings, None);
    let pictures: Vec<usize> = (0..set.pictures.len()).collect();
    let rows = logits(&network, &feed, &pictures, 8, 1, |_| {}).expect("logits");
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
    };
    let Err(error) = train(&run, |_| Ok(())) else { panic!("a loss of NaN was accepted") };
    let text = error.to_string();
    assert!(text.contains("is NaN at rate 0.1") && text.contains("3.png"), "{text}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before() {
    let set = set(2);
    let path = set.folder.path().join("checkpoint.safetensors");
    train_on(&set, Some(&path), 1.0, |_| Ok(())).expect("a run");
    let before = std::fs::read(&path).expect("a checkpoint");
    assert!(checkpoint::position(&path, "another recipe").expect("readable").is_none());
    std::fs::write(&path, &before[..before.len() / 2]).expect("write");
    let error = checkpoint::position(&path, "digest").expect_err("damaged").to_string();
    assert!(error.contains("remove it to begin anew"), "{error}");
}
