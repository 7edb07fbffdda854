//! `fieldmarkd trial`: a released package on this machine's engine, in a process that may crash.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use fieldmark_models::picture::Picture;
use fieldmark_models::views::FractionBox;

use super::Failure;
use crate::config;
use crate::decide::Decider;
use crate::engine::LoadedModel;
use crate::service::peak_rss_bytes;
use crate::update::TrialReport;

/// Times a picture is shown for the latency.
const ROUNDS: usize = 5;

#[derive(Debug, Args)]
pub(super) struct TrialArguments {
    /// Configuration file; its engine and its targets are used.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The package.
    #[arg(long, value_name = "FILE")]
    package: PathBuf,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &TrialArguments) -> Result<(), Failure> {
    let config = config::load(&arguments.config).map_err(Failure::usage)?;
    let model = LoadedModel::open(&arguments.package, &config.engine, &mut |_| ())?;
    let mut decider = Decider::new(model, &config.model.dial, &config.model.expected)?;
    let size = decider.views().input_size();
    let grey = Picture::from_rgb(size, size, vec![128; (size * size * 3) as usize])?;
    let mut latencies = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        decider.decide(&grey, FractionBox::FRAME, None)?;
        latencies.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    latencies.sort_by(f64::total_cmp);
    let tested = decider.tested();
    let report = TrialReport {
        engine: decider.engine_name().into(),
        pictures: tested.pictures,
        largest_difference: tested.largest_difference,
        tolerance: tested.tolerance,
        latency_ms: latencies.get(ROUNDS / 2).copied().unwrap_or_default(),
        peak_memory: peak_rss_bytes().unwrap_or_default(),
    };
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!(
            "ok    {} golden pictures on {} within {:.1e} (allowed {:.1e}), {:.1} ms a picture, {} MB",
            report.pictures,
            report.engine,
            report.largest_difference,
            report.tolerance,
            report.latency_ms,
            report.peak_memory >> 20
        );
    }
    Ok(())
}
