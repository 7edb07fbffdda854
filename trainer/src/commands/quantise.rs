//! `quantise`: int8 and float16 beside the float model.

use std::path::PathBuf;

use clap::Args;
use fieldmark_models::package::Package;
use fieldmark_trainer::calibrate::Settings;
use fieldmark_trainer::quantise::{self, Destination, Record, Target};

use super::failure::Failure;
use super::new_version::NewVersionArgs;

/// What is told of the command below its options.
pub(crate) const EXAMPLE: &str = "Example: fieldmark-trainer quantise models/packages/garden-0.1.0.fieldmark \
    --calibration configs/training/garden-taxa.csv --folder /usr/share/tuxpaint/stamps --out /tmp/packages";

#[derive(Args)]
pub(crate) struct QuantiseArgs {
    /// The package.
    package: PathBuf,
    /// CSV of photographs: file, kingdom, phylum, class, order, family, genus, species. Every other individual gives
    /// ranges, the rest judge.
    #[arg(long, value_name = "TABLE")]
    calibration: PathBuf,
    /// Folder that the table's paths start from; the table's own when absent.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The photographs were never trained on: thresholds are found again by their labels. Otherwise those of the float
    /// model are brought over.
    #[arg(long)]
    held_out: bool,
    /// Least share of photographs with the float model's best leaf.
    #[arg(long, default_value_t = 0.99)]
    agreement: f64,
    /// Largest drop of top-1 accuracy.
    #[arg(long, default_value_t = 0.005)]
    drop: f64,
    /// Largest difference of mean depths at target 0.9.
    #[arg(long, default_value_t = 0.05)]
    depth: f64,
    /// Photographs that every candidate is measured on.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    probes: u16,
    /// Where the target is missed: this many epochs in which the int8 model learns to answer as the float model does.
    /// Needs no labels. The best epoch is kept.
    #[arg(long, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(1..))]
    fine_tune: Option<u32>,
    /// Learning rate of the first step of fine-tuning; it falls evenly to nothing.
    #[arg(long, value_name = "RATE", default_value_t = 1e-6, value_parser = positive)]
    fine_tune_rate: f64,
    #[command(flatten)]
    new_version: NewVersionArgs,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "give a number, such as 1e-5".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("give a number above 0".into()) }
}

/// Halvings of a small held-out set.
const HALVINGS: usize = 10;

impl QuantiseArgs {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let package = Package::open(&self.package).map_err(anyhow::Error::from)?;
        let (photos, _) =
            super::photographs(&self.calibration, self.folder.as_deref()).map_err(Failure::Usage)?;
        eprintln!("{} photographs", photos.len());
        let (calibration, judging) = quantise::samples(&package, &photos)?;
        let target = Target { agreement: self.agreement, drop: self.drop, depth: self.depth };
        let fine_tuning =
            self.fine_tune.map(|epochs| quantise::FineTuning { epochs, rate: self.fine_tune_rate });
        let settings = quantise::Settings { target, probes: self.probes.into(), accuracy: 0.9, fine_tuning };
        let quantised =
            quantise::quantise(&package, &calibration, &judging, &settings, &|line| eprintln!("{line}"))
                .map_err(anyhow::Error::from)?;
        print_quantised(&quantised.record);
        if let Err(error) = &quantised.fp16 {
            eprintln!("{error}");
        }
        let targets = package.calibration().curve().iter().map(|point| point.target).collect();
        let confidence = package.calibration().confidence();
        let settings = Settings { targets, confidence, halvings: HALVINGS, seed: 1 };
        let out = self.new_version.folder(&self.package);
        let to = Destination {
            version: self.new_version.version(&package),
            folder: &out,
            calibrate: self.held_out.then_some(&settings),
        };
        let reached = quantised.record.reached;
        eprintln!("writing the package");
        println!("{}", quantise::write(&package, quantised, &judging, &to)?.display());
        if !reached {
            return Err(anyhow::anyhow!("the target is not reached, see the figures above").into());
        }
        Ok(())
    }
}

fn print_quantised(record: &Record) {
    let fidelity = &record.fidelity;
    println!("{} of {} layers in int8", record.int8_layers.len(), record.layers);
    for layer in &record.float_layers {
        println!("in float: {layer}");
    }
    for layer in &record.padded_layers {
        println!("padded apart: {layer}");
    }
    println!("best leaf as the float model's: {:.4} of {}", fidelity.agreement, fidelity.pictures);
    println!("top-1 {:.4}, float {:.4}", fidelity.top1, fidelity.top1_float);
    println!("mean depth at target 0.9: {:.3}, float {:.3}", fidelity.depth, fidelity.depth_float);
    println!("largest difference of a probability {:.3}", fidelity.largest_difference);
    let ratio = |bytes: usize| bytes as f64 / record.float32_bytes.max(1) as f64;
    println!(
        "size: int8 {:.3}, float16 {:.3} of float32",
        ratio(record.int8_bytes),
        ratio(record.float16_bytes)
    );
}
