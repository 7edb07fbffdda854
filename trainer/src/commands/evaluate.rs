//! `evaluate`: a recipe measured on its random splits.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fieldmark_trainer::calibrate::Specificity;
use fieldmark_trainer::evaluate::Measured;
use fieldmark_trainer::recipe::Recipe;
use fieldmark_trainer::report;
use fieldmark_trainer::run::Prepared;

use super::calibrate::print_calibration;
use super::failure::Failure;
use super::quick_variant;

#[derive(Args)]
pub(crate) struct EvaluateArgs {
    /// The recipe.
    recipe: PathBuf,
    /// Take the quick variant beside it: NAME-quick.toml.
    #[arg(long)]
    quick: bool,
    /// Folder for features that are computed once.
    #[arg(long, default_value = "work/features")]
    cache: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Folder for report.html, evaluation.json and curve.svg.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// What the curve shows accuracy against.
    #[arg(long, value_enum, default_value = "depth")]
    specificity: Specificity,
}

impl EvaluateArgs {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let prepared = self.prepared()?;
        let measured = prepared.evaluate()?;
        if self.json {
            println!("{}", serde_json::to_string(&measured).map_err(anyhow::Error::from)?);
        } else {
            print_table(&measured);
        }
        if let Some(folder) = &self.report {
            write_report(&prepared, &measured, self.specificity, folder)?;
        }
        Ok(())
    }

    fn prepared(&self) -> Result<Prepared, Failure> {
        let path = if self.quick { quick_variant(&self.recipe) } else { self.recipe.clone() };
        let recipe = Recipe::read(&path).map_err(|error| Failure::Usage(error.into()))?;
        Ok(Prepared::new(recipe, &self.cache)?)
    }
}

pub(crate) fn print_table(measured: &Measured) {
    for (rank, (mean, deviation)) in &measured.top1 {
        print!("top-1 {rank:8} {mean:.3} ± {deviation:.3}");
        match measured.top1_held_out_backgrounds.get(rank) {
            Some((other, _)) => println!("   on unseen backgrounds {other:.3}"),
            None => println!(),
        }
    }
    for class in &measured.by_size {
        let to = class.to.map_or_else(|| "or more".into(), |to| format!("to {to}"));
        println!(
            "species trained on {:3} {to:7} photographs: top-1 {:.3} of {}",
            class.from, class.top1, class.n
        );
    }
    print_calibration(&measured.calibration);
    let curve = &measured.curve;
    println!(
        "hierarchical AURC {:.4} up to coverage {:.3}",
        curve.hierarchical_aurc, curve.hierarchical_coverage
    );
    for unseen in measured.unseen.iter().filter(|unseen| unseen.n > 0) {
        println!(
            "target {:.2}, unseen species: {:.3} of {} true ancestors, {:.3} of {} at order or deeper, mean depth {:.2}",
            unseen.target, unseen.correct, unseen.n, unseen.specific.0, unseen.specific.1, unseen.mean_depth,
        );
    }
}

fn write_report(
    prepared: &Prepared,
    measured: &Measured,
    metric: Specificity,
    folder: &Path,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create folder {}", folder.display()))?;
    let curve = [("answers".to_owned(), measured.curve.against(metric))];
    for (name, text) in [
        ("evaluation.json", serde_json::to_string(measured)?),
        ("curve.svg", report::against(&curve, metric)?),
        ("report.html", prepared.report(measured)?),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
