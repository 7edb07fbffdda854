//! A package with its quantised files: thresholds, golden answers and report of their own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fieldmark_models::calibration::Calibration;
use fieldmark_models::package::{
    Draft, Golden, GoldenPicture, Package, Quantisation, QuantisedFiles, REPORT,
};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::ViewRenderer;

use super::fidelity::{cases, judged, logits};
use super::{Quantised, Record, Sample, transport};
use crate::calibrate::{self, Settings};
use crate::features::Runner;
use crate::package;
use crate::recalibrate::{on_top_of, with_temperature};

/// Two int8 engines round a half differently, and later layers carry it on: probabilities differ by this at most.
const TOLERANCE: f32 = 0.05;

/// What the new package is and where it goes.
pub struct Destination<'a> {
    /// Its version.
    pub version: semver::Version,
    /// Its folder.
    pub folder: &'a Path,
    /// With settings: the judging pictures were never trained on, so thresholds are found again by their labels.
    /// Without: thresholds are brought over from the float model.
    pub calibrate: Option<&'a Settings>,
}

/// Writes `package` with `quantised`, judged on `judging`, and gives its path.
///
/// # Errors
/// If there are too few pictures to calibrate on, or the package cannot be written.
pub fn write(
    package: &Package,
    quantised: Quantised,
    judging: &[Sample],
    to: &Destination<'_>,
) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(to.folder)
        .with_context(|| format!("cannot create folder {}", to.folder.display()))?;
    let (quantised, calibration) = calibrated(package, quantised, judging, to.calibrate)?;
    let manifest = package.manifest();
    let path = to.folder.join(format!("{}-{}.fieldmark", manifest.name, to.version));
    let golden = golden(package, &quantised.simulated)?;
    let pictures = package.golden().picture.iter().map(|picture| {
        let name = picture.file.rsplit('/').next().unwrap_or(&picture.file);
        (name.to_owned(), package.file(&picture.file).unwrap_or_default().to_vec())
    });
    let record = &quantised.record;
    let old = String::from_utf8_lossy(package.file(REPORT).unwrap_or_default()).into_owned();
    let report =
        crate::report::with(&old, &format!("{}{}", report(record), crate::report::calibration(&calibration)));
    let files = QuantisedFiles {
        quantisation: Quantisation {
            layers: u32::try_from(record.layers)?,
            int8_layers: u32::try_from(record.int8_layers.len())?,
            float_layers: record.float_layers.clone(),
        },
        calibration: &calibration,
        golden: &golden,
        record: toml::to_string(record).context("cannot write the record of the quantisation")?,
        int8: quantised.int8,
        fp16: quantised.fp16.ok(),
    };
    let draft = Draft {
        name: &manifest.name,
        version: to.version.clone(),
        created: jiff::Timestamp::now(),
        preset: &manifest.preset,
        licence: &manifest.licence,
        provenance: manifest.provenance.clone(),
        views: package.views(),
        taxonomy: package.taxonomy(),
        calibration: package.calibration(),
        golden: package.golden(),
        golden_pictures: pictures.collect(),
        model: package.file(fieldmark_models::package::MODEL).unwrap_or_default().to_vec(),
        quantised: Some(files),
        report,
    };
    package::save(draft, &path)?;
    Ok(path)
}

/// The thresholds of the int8 graph, and the graph that they are of: where they are found anew its logits are divided by the
/// temperature that was found with them.
fn calibrated(
    package: &Package,
    quantised: Quantised,
    judging: &[Sample],
    settings: Option<&Settings>,
) -> anyhow::Result<(Quantised, Calibration)> {
    let taxonomy = package.taxonomy();
    let Some(settings) = settings else {
        let float = judged(taxonomy, judging, &quantised.float_answers);
        let other = judged(taxonomy, judging, &quantised.answers);
        let calibration = transport(package.calibration(), &float, &other)?;
        return Ok((quantised, calibration));
    };
    let logits = logits(&quantised.answers);
    let fitted = calibrate::calibrate(&cases(taxonomy, judging, &logits), settings)
        .context("calibration needs photographs of at least two individuals")?;
    let int8 = with_temperature(&quantised.int8, fitted.temperature())?;
    let simulated = with_temperature(&quantised.simulated, fitted.temperature())?;
    let calibration = on_top_of(package.calibration(), &fitted)?;
    Ok((Quantised { int8, simulated, ..quantised }, calibration))
}

/// What the golden pictures give on the float equivalent of the int8 graph.
fn golden(package: &Package, simulated: &[u8]) -> anyhow::Result<Golden> {
    let runner = Runner::new(simulated, package.views())?;
    let mut renderer = ViewRenderer::new();
    let mut golden = Golden { tolerance: TOLERANCE, picture: Vec::new() };
    for picture in &package.golden().picture {
        let decoded = Picture::decode(package.file(&picture.file).unwrap_or_default())
            .with_context(|| picture.file.clone())?;
        let probabilities = runner.run(&decoded, &mut renderer)?;
        golden.picture.push(GoldenPicture { probabilities, ..picture.clone() });
    }
    Ok(golden)
}

/// The section of the report.
fn report(record: &Record) -> String {
    let fidelity = &record.fidelity;
    let mut html = format!(
        "<h1>In int8</h1><p>{} of {} layers in int8 · ranges from {} pictures · judged on {} others: best leaf as the \
         float model's {:.4}, top-1 {:.4} (float {:.4}), mean depth {:.3} (float {:.3}) · {} bytes (float {}).</p>",
        record.int8_layers.len(),
        record.layers,
        record.calibration_pictures,
        fidelity.pictures,
        fidelity.agreement,
        fidelity.top1,
        fidelity.top1_float,
        fidelity.depth,
        fidelity.depth_float,
        record.int8_bytes,
        record.float32_bytes,
    );
    html.push_str("<table><tr><th>tried<th>divergence (nats)");
    for variant in record.variant.iter().chain(&record.fine_tuning).chain(&record.sensitivity) {
        // Writing to a String cannot fail.
        let _ = write!(html, "<tr><td>{}<td>{:.5}", variant.name, variant.divergence);
    }
    html.push_str("</table><table><tr><th>tensor<th>method<th>range<th>relative error");
    for tensor in &record.tensor {
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{:.4}<td>{:.2e}",
            tensor.value,
            tensor.method.name(),
            tensor.range,
            tensor.error
        );
    }
    html.push_str("</table>");
    html
}
