//! Runs beside each other: the columns of the paper's Table 1, mean and spread over the seeds of a recipe, and its
//! Figures 3 and 4.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::calibrate::Specificity;
use crate::evaluate::SizeClass;
use crate::report;
use crate::training::EVALUATION;

/// The target that the paper reports.
const TARGET: f64 = 0.9;

/// A column of Table 1.
type Column = (&'static str, fn(&Run) -> f64);

const COLUMNS: [Column; 4] = [
    ("validation", |run| run.validation),
    ("training", |run| run.training),
    ("at target 0.9", |run| run.accuracy),
    ("mean depth", |run| run.depth),
];

/// What is compared of one run.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    validation: f64,
    training: f64,
    accuracy: f64,
    depth: f64,
    /// `(mean depth, accuracy)` over all thresholds.
    curve: Vec<(f64, f64)>,
    sizes: Vec<SizeClass>,
}

/// Runs by the name of their recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Runs {
    by_recipe: BTreeMap<String, Vec<Run>>,
}

impl Runs {
    /// Reads the figures in the folders `runs`.
    ///
    /// # Errors
    /// If a folder has no figures, or not those of a run.
    pub fn read(runs: &[PathBuf]) -> anyhow::Result<Self> {
        let mut by_recipe: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for run in runs {
            let (name, run) = read(&run.join(EVALUATION))?;
            by_recipe.entry(name).or_default().push(run);
        }
        Ok(Self { by_recipe })
    }

    /// A line a recipe.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{:28} {:>5}", "recipe", "seeds");
        // Writing to a String cannot fail.
        for (name, _) in COLUMNS {
            let _ = write!(text, "  {name:>15}");
        }
        for (name, runs) in &self.by_recipe {
            let _ = write!(text, "\n{name:28} {:>5}", runs.len());
            for (_, column) in COLUMNS {
                let _ = write!(text, "  {:>15}", spread(runs, column));
            }
        }
        text.push('\n');
        text
    }

    /// The same as a page, with the curves of each recipe's first run.
    ///
    /// # Errors
    /// If a chart cannot be drawn.
    pub fn page(&self) -> anyhow::Result<String> {
        let mut html = report::head("Runs compared");
        html.push_str("<div class=wide tabindex=0><table><tr><th>recipe<th>seeds");
        for (name, _) in COLUMNS {
            let _ = write!(html, "<th>{name}");
        }
        for (name, runs) in &self.by_recipe {
            let _ = write!(html, "<tr><td>{}<td>{}", report::escape(name), runs.len());
            for (_, column) in COLUMNS {
                let _ = write!(html, "<td>{}", spread(runs, column));
            }
        }
        html.push_str("</table></div><p>Curves are those of each recipe's first run.</p>");
        let firsts = || self.by_recipe.iter().filter_map(|(name, runs)| Some((name.clone(), runs.first()?)));
        let curves: Vec<_> = firsts().map(|(name, run)| (name, run.curve.clone())).collect();
        html.push_str("<h2>Accuracy against depth</h2>");
        html.push_str(&report::against(&curves, Specificity::Depth)?);
        let sizes: Vec<_> = firsts().map(|(name, run)| (name, run.sizes.as_slice())).collect();
        html.push_str("<h2>By training photographs of the species</h2>");
        html.push_str(&report::sizes(&sizes)?);
        Ok(report::with(&html, ""))
    }
}

fn read(path: &Path) -> anyhow::Result<(String, Run)> {
    let reading = || format!("cannot read the figures of a run from {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    let figures: Value = serde_json::from_str(&text).with_context(reading)?;
    let name = figures["name"].as_str().map(str::to_owned);
    name.zip(run(&figures)).with_context(|| format!("{} has not the figures of a run", path.display()))
}

fn run(figures: &Value) -> Option<Run> {
    let measured = &figures["measured"];
    let near = |point: &&Value| point["target"].as_f64().is_some_and(|target| (target - TARGET).abs() < 1e-9);
    let point = measured["calibration"]["curve"].as_array()?.iter().find(near)?;
    let of_curve = |point: &Value| Some((point["mean_depth"].as_f64()?, point["accuracy"].as_f64()?));
    Some(Run {
        validation: measured["top1"]["species"][0].as_f64()?,
        training: figures["training_top1"].as_f64()?,
        accuracy: point["accuracy"].as_f64()?,
        depth: point["mean_depth"].as_f64()?,
        curve: measured["curve"]["points"].as_array()?.iter().map(of_curve).collect::<Option<_>>()?,
        sizes: serde_json::from_value(measured["by_size"].clone()).ok()?,
    })
}

/// Mean and, of several runs, standard deviation.
fn spread(runs: &[Run], column: fn(&Run) -> f64) -> String {
    let n = runs.len() as f64;
    let mean = runs.iter().map(column).sum::<f64>() / n;
    if runs.len() < 2 {
        return format!("{mean:.3}");
    }
    let variance = runs.iter().map(|run| (column(run) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    format!("{mean:.3} ± {:.3}", variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_recipe_are_one_line_with_their_spread() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |name: &str, validation: f64| {
            let path = folder.path().join(format!("{name}-{validation}"));
            std::fs::create_dir(&path).expect("a folder");
            let figures = serde_json::json!({
                "name": name, "training_top1": 0.9,
                "measured": {
                    "top1": {"species": [validation, 0.0]},
                    "calibration": {"curve": [{"target": 0.9, "accuracy": 0.91, "mean_depth": 5.0}]},
                    "curve": {"points": [{"mean_depth": 6.0, "accuracy": 0.7}, {"mean_depth": 1.0, "accuracy": 1.0}]},
                    "by_size": [{"from": 1, "to": 1, "n": 4, "top1": 0.5}, {"from": 100, "to": null, "n": 9, "top1": 0.9}],
                },
            });
            std::fs::write(path.join(EVALUATION), figures.to_string()).expect("write");
            path
        };
        let runs = [run("one", 0.5), run("<two>", 0.6), run("<two>", 0.8)];
        let runs = Runs::read(&runs).expect("runs");
        let table = runs.table();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("<two>") && lines[1].contains("0.700 ± 0.141"), "{table}");
        assert!(lines[2].starts_with("one") && lines[2].contains("0.500"), "{table}");
        let page = runs.page().expect("a page");
        assert!(page.contains("<td>&lt;two&gt;<td>2<td>0.700 ± 0.141") && !page.contains("<two>"), "{page}");
        assert_eq!(page.matches("<svg ").count(), 2);
        assert!(Runs::read(&[folder.path().join("nothing")]).is_err());
    }
}
