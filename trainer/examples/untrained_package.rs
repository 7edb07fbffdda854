//! A package with a network of random weights, for measuring engines on the size and shape of a preset.
//!
//! `untrained_package PRESET LEAVES OUT.fieldmark [INT8.onnx]`: two views, whole and middle. `OUT.onnx` gets the float
//! model. A quantised model of the same network can be put beside it; nothing is promised of what it answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fieldmark_models::calibration::{Calibration, Point};
use fieldmark_models::package::{Draft, Golden, Quantisation, QuantisedFiles};
use fieldmark_models::specificity::Threshold;
use fieldmark_models::taxonomy::{Lineage, Rank, Taxonomy, TaxonomyBuilder};
use fieldmark_models::views::{View, ViewSet};
use fieldmark_trainer::network::{
    Backbone, HeadWeights, NetworkSettings, NetworkWeights, Preset, export_model,
};
use fieldmark_trainer::package::{golden_pictures, save};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [preset, leaves, out, int8 @ ..] = &arguments[..] else {
        anyhow::bail!("usage: untrained_package PRESET LEAVES OUT.fieldmark [INT8.onnx]");
    };
    let (leaves, out): (usize, _) = (leaves.parse()?, PathBuf::from(out));
    let preset = Preset::named(preset)?;
    let (name, side, features) = (preset.name, preset.input_size, preset.features());
    let settings = NetworkSettings::random(preset, 1);
    let view = |name: &str, magnification| View { name: name.into(), magnification };
    let views = ViewSet::new(vec![view("whole", 1.0), view("crop", 1.5)], side)?;
    let network = NetworkWeights::of_backbone(&settings, &Backbone::random(&settings.preset, 1), 2);
    let head = HeadWeights::random(features, leaves, &mut StdRng::seed_from_u64(1));
    let model = export_model(&settings, &network, &views, &head)?;
    std::fs::write(out.with_extension("onnx"), &model).context("cannot write the model")?;
    let (golden, golden_pictures) = golden_pictures(&model, &views)?;
    let (taxonomy, calibration) = (taxonomy(leaves)?, calibration()?);
    // Any answer will do.
    let any = Golden { tolerance: 1.0, ..golden.clone() };
    let draft = Draft {
        name: "untrained",
        version: semver::Version::new(0, 1, 0),
        created: jiff::Timestamp::UNIX_EPOCH,
        preset: name,
        licence: "CC0-1.0",
        provenance: vec!["random weights".into()],
        views: &views,
        taxonomy: &taxonomy,
        calibration: &calibration,
        golden: &golden,
        golden_pictures,
        model,
        quantised: int8.first().map(|path| quantised(Path::new(path), &calibration, &any)).transpose()?,
        report: "<p>random weights".into(),
    };
    save(draft, &out)
}

fn quantised<'a>(
    path: &Path,
    calibration: &'a Calibration,
    golden: &'a Golden,
) -> anyhow::Result<QuantisedFiles<'a>> {
    let int8 = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let quantisation = Quantisation { layers: 0, int8_layers: 0, float_layers: Vec::new() };
    let record = "# not recorded\n".into();
    Ok(QuantisedFiles { int8, fp16: None, quantisation, calibration, golden, record })
}

fn taxonomy(leaves: usize) -> anyhow::Result<Taxonomy> {
    let mut builder = TaxonomyBuilder::new();
    for leaf in 0..leaves {
        let genus = leaf / 4;
        let levels = [
            (Rank::Kingdom, "Untrained".to_owned()),
            (Rank::Family, format!("Family{}", genus / 8)),
            (Rank::Genus, format!("Genus{genus}")),
            (Rank::Species, format!("Genus{genus} species{leaf}")),
        ];
        let levels = levels.iter().map(|(rank, name)| (rank.clone(), name.as_str()));
        builder.insert(&Lineage::new(levels)?, None);
    }
    Ok(builder.build()?)
}

fn calibration() -> anyhow::Result<Calibration> {
    let half = Threshold::new(0.5)?;
    let point = Point {
        target: 0.9,
        threshold: half,
        exact: half,
        average: half,
        confident: Threshold::CERTAIN,
        accuracy: 0.5,
        accuracy_low: 0.0,
        accuracy_high: 1.0,
        mean_depth: 1.0,
        ranks: BTreeMap::from([("species".into(), 1.0)]),
    };
    Ok(Calibration::new(100, 1.0, 0.95, vec![point])?)
}
