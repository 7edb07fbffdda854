//! `fieldmarkd classify`.

use std::path::{Path, PathBuf};

use clap::Args;
use fieldmark_models::specificity::{Stop, Threshold};
use fieldmark_models::views::FractionBox;
use serde::Serialize;

use super::{Failure, run};
use crate::capture::read_picture;
use crate::config::ModelConfig;
use crate::decide::{Answer, BestLeaf, Decider, Sureness, TaxonAnswer};

const DEFAULT_TARGET: f64 = 0.9;

#[derive(Debug, Args)]
pub(super) struct ClassifyArguments {
    /// Pictures.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Package; the shipped one when absent.
    #[arg(long, value_name = "PACKAGE")]
    model: Option<PathBuf>,
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
    /// Where the organism is: left,top,right,bottom in fractions of the picture. The magnified view shows it.
    #[arg(long = "box", value_name = "L,T,R,B", value_parser = fraction_box)]
    focus: Option<FractionBox>,
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
    let sureness = match (arguments.threshold, arguments.target) {
        (Some(threshold), _) => Sureness::Threshold(threshold),
        (None, target) => Sureness::Target(target.unwrap_or(DEFAULT_TARGET)),
    };
    let (package, priors) = (arguments.model.clone(), arguments.priors.clone());
    let mut decider = run::decider(&ModelConfig { package, sureness, priors })?;
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
    threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    stop: Stop,
    best_leaf: BestLeaf,
    latency_ms: f64,
}

fn print_answer(file: &Path, answer: Answer, json: bool) {
    let file = file.to_string_lossy();
    let Answer { taxon, probability, cut_off, stop, best_leaf, latency_ms, .. } = answer;
    if json {
        let (threshold, target) = (cut_off.threshold.value(), cut_off.target);
        let line = Line { file: &file, taxon, probability, threshold, target, stop, best_leaf, latency_ms };
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
