//! Runs beside each other: the columns of the paper's Table 1, mean and spread over the seeds of a recipe.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::training::EVALUATION;

/// The target that the paper reports.
const TARGET: f64 = 0.9;

/// What is compared of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    validation: f64,
    training: f64,
    accuracy: f64,
    depth: f64,
}

/// A table with one line a recipe, from the folders of its runs.
///
/// # Errors
/// If a folder has no figures, or not those of a run.
pub fn table(runs: &[PathBuf]) -> anyhow::Result<String> {
    let mut by_recipe: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for run in runs {
        let (name, row) = read(&run.join(EVALUATION))?;
        by_recipe.entry(name).or_default().push(row);
    }
    let mut text = format!(
        "{:28} {:>5}  {:>15}  {:>15}  {:>15}  {:>15}\n",
        "recipe", "seeds", "validation", "training", "at target 0.9", "mean depth"
    );
    for (name, rows) in &by_recipe {
        let columns: [fn(&Row) -> f64; 4] =
            [|row| row.validation, |row| row.training, |row| row.accuracy, |row| row.depth];
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:28} {:>5}", rows.len());
        for column in columns {
            let _ = write!(text, "  {:>15}", spread(rows, column));
        }
        text.push('\n');
    }
    Ok(text)
}

fn read(path: &Path) -> anyhow::Result<(String, Row)> {
    let reading = || format!("cannot read the figures of a run from {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    let figures: Value = serde_json::from_str(&text).with_context(reading)?;
    let row = || {
        let measured = &figures["measured"];
        let curve = measured["calibration"]["curve"].as_array()?;
        let point = curve
            .iter()
            .find(|point| point["target"].as_f64().is_some_and(|target| (target - TARGET).abs() < 1e-9))?;
        Some(Row {
            validation: measured["top1"]["species"][0].as_f64()?,
            training: figures["training_top1"].as_f64()?,
            accuracy: point["accuracy"].as_f64()?,
            depth: point["mean_depth"].as_f64()?,
        })
    };
    let name = figures["name"].as_str().map(str::to_owned);
    name.zip(row()).with_context(|| format!("{} has not the figures of a run", path.display()))
}

/// Mean and, of several runs, standard deviation.
fn spread(rows: &[Row], column: fn(&Row) -> f64) -> String {
    let n = rows.len() as f64;
    let mean = rows.iter().map(column).sum::<f64>() / n;
    if rows.len() < 2 {
        return format!("{mean:.3}");
    }
    let variance = rows.iter().map(|row| (column(row) - mean).powi(2)).sum::<f64>() / (n - 1.0);
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
                },
            });
            std::fs::write(path.join(EVALUATION), figures.to_string()).expect("write");
            path
        };
        let runs = [run("one", 0.5), run("two", 0.6), run("two", 0.8)];
        let table = table(&runs).expect("a table");
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("one") && lines[1].contains("0.500"), "{table}");
        assert!(lines[2].starts_with("two") && lines[2].contains("0.700 ± 0.141"), "{table}");
        assert!(super::table(&[folder.path().join("nothing")]).is_err());
    }
}
