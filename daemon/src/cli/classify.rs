//! `fieldmarkd classify`.

use std::path::{Path, PathBuf};

use clap::Args;
use fieldmark_models::calibration::Guarantee;
use fieldmark_models::checklist::Place;
use fieldmark_models::package::Sha256Digest;
use fieldmark_models::specificity::{Stop, Threshold};
use fieldmark_models::views::FractionBox;
use serde::Serialize;

use super::engine::EngineArguments;
use super::{Failure, run};
use crate::capture::read_picture;
use crate::config::ModelConfig;
use crate::decide::{Answer, BestLeaf, Decider, Dial, Expected, ListedIn, Sureness, TaxonAnswer};

const DEFAULT_TARGET: f64 = 0.9;

#[derive(Debug, Args)]
pub(super) struct ClassifyArguments {
    /// Pictures.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Package; the shipped one when absent.
    #[arg(long, value_name = "PACKAGE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArguments,
    /// One line of JSON for each file.
    #[arg(long)]
    json: bool,
    /// Confidence cut-off, 0 to 1.
    #[arg(long, value_name = "T", conflicts_with = "target", value_parser = threshold)]
    threshold: Option<Threshold>,
    /// Accuracy to reach; the model's calibration gives the cut-off. 0.9 when neither is given.
    #[arg(long, value_name = "A", value_parser = target)]
    target: Option<f64>,
    /// Name or id of a taxon to expect; may be given several times.
    #[arg(long = "prior", value_name = "TAXON")]
    priors: Vec<String>,
    /// What the cut-off for a target promises.
    #[arg(long, value_enum, default_value = "none")]
    guarantee: Promise,
    /// CSV or TSV of taxa to expect, with their places and months.
    #[arg(long, value_name = "FILE")]
    checklist: Option<PathBuf>,
    /// Where the pictures were taken: latitude,longitude in degrees.
    #[arg(long, value_name = "LAT,LON", value_parser = place, allow_hyphen_values = true)]
    place: Option<Place>,
    /// Where the organism is: left,top,right,bottom in fractions of the picture. The magnified view shows it.
    #[arg(long = "box", value_name = "L,T,R,B", value_parser = fraction_box)]
    focus: Option<FractionBox>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Promise {
    /// Nothing: the threshold the paper's hill climbing found.
    None,
    /// The target is reached on average over calibrations.
    Average,
    /// The target is reached with the calibration's confidence.
    Confident,
}

impl From<Promise> for Guarantee {
    fn from(promise: Promise) -> Self {
        match promise {
            Promise::None => Self::None,
            Promise::Average => Self::Average,
            Promise::Confident => Self::Confident,
        }
    }
}

fn place(text: &str) -> Result<Place, String> {
    let wrong = || "give latitude,longitude in degrees".to_owned();
    let (latitude, longitude) = text.split_once(',').ok_or_else(wrong)?;
    let degrees = |text: &str| text.trim().parse().map_err(|_| wrong());
    Place::new(degrees(latitude)?, degrees(longitude)?).map_err(|error| error.to_string())
}

fn threshold(text: &str) -> Result<Threshold, String> {
    let value = text.parse().map_err(|_| "give a number from 0 to 1")?;
    Threshold::new(value).map_err(|_| "give a number from 0 to 1".into())
}

fn target(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.01..=0.999).contains(value));
    value.ok_or_else(|| "give an accuracy from 0.01 to 0.999".into())
}

fn fraction_box(text: &str) -> Result<FractionBox, String> {
    let edges: Result<Vec<f64>, _> = text.split(',').map(|edge| edge.trim().parse()).collect();
    match edges.as_deref() {
        Ok([left, top, right, bottom]) => {
            FractionBox::new(*left, *top, *right, *bottom).map_err(|error| error.to_string())
        }
        _ => Err("give four numbers: left,top,right,bottom in fractions of the picture".into()),
    }
}

pub(super) fn execute(arguments: &ClassifyArguments) -> Result<(), Failure> {
    let everywhere = match (arguments.threshold, arguments.target) {
        (Some(threshold), _) => Sureness::Threshold(threshold),
        (None, target) => Sureness::Target(target.unwrap_or(DEFAULT_TARGET)),
    };
    let dial = Dial { guarantee: arguments.guarantee.into(), ..Dial::everywhere(everywhere) };
    let checklist = arguments.checklist.clone().map(|file| ListedIn { file, unlisted: 0.0 });
    let expected = Expected { taxa: arguments.priors.clone(), checklist, place: arguments.place };
    let model = ModelConfig { package: arguments.model.clone(), dial, expected };
    let mut decider = run::decider(&model, &arguments.engine.settings())?;
    let mut failed = false;
    for file in &arguments.files {
        match classify(&mut decider, file, arguments.focus) {
            Ok(answer) => print_answer(file, answer, arguments.json),
            Err(error) => {
                failed = true;
                print_error(file, &error, arguments.json);
            }
        }
    }
    if failed { Err(Failure::told()) } else { Ok(()) }
}

fn classify(decider: &mut Decider, file: &Path, focus: Option<FractionBox>) -> anyhow::Result<Answer> {
    let picture = read_picture(file)?;
    Ok(decider.decide(&picture, FractionBox::FRAME, focus)?)
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    taxon: TaxonAnswer,
    probability: f64,
    lineage_probabilities: Vec<f64>,
    threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    stop: Stop,
    best_leaf: BestLeaf,
    #[serde(skip_serializing_if = "Option::is_none")]
    checklist: Option<Sha256Digest>,
    latency_ms: f64,
}

fn print_answer(file: &Path, answer: Answer, json: bool) {
    let file = file.to_string_lossy();
    let Answer { taxon, probability, cut_off, stop, best_leaf, latency_ms, .. } = answer;
    let Answer { lineage_probabilities, checklist, .. } = answer;
    if json {
        let (threshold, target) = (cut_off.threshold.value(), cut_off.target);
        let line = Line {
            file: &file,
            taxon,
            probability,
            lineage_probabilities,
            threshold,
            target,
            stop,
            best_leaf,
            checklist,
            latency_ms,
        };
        // Texts and numbers always become JSON.
        println!("{}", serde_json::to_string(&line).unwrap_or_default());
        return;
    }
    let common = taxon.common_name.map(|name| format!(", {name}")).unwrap_or_default();
    let leaf = format!("{} {:.2}", best_leaf.name, best_leaf.probability);
    println!(
        "{file}: {} ({}{common}) {probability:.2}  [best leaf {leaf}, threshold {}, {latency_ms} ms]",
        taxon.name, taxon.rank, cut_off.threshold
    );
}

fn print_error(file: &Path, error: &anyhow::Error, json: bool) {
    if json {
        println!("{}", serde_json::json!({ "file": file.to_string_lossy(), "error": format!("{error}") }));
    } else {
        eprintln!("{}: {error}", file.display());
    }
}
