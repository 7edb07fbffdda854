//! `calibrate`: thresholds of a package found again on somebody's own photographs.

use std::path::PathBuf;

use clap::Args;
use fieldmark_models::calibration::Calibration;
use fieldmark_models::package::Package;
use fieldmark_trainer::calibrate::Settings;
use fieldmark_trainer::recalibrate::Recalibration;
use fieldmark_trainer::run;

use super::failure::Failure;
use super::new_version::NewVersionArgs;

/// What is told of the command below its options.
pub(crate) const EXAMPLE: &str = "Example: fieldmark-trainer calibrate models/packages/garden-0.1.0.fieldmark \
    --photos survey.csv --folder /data/survey --out /tmp/packages";

#[derive(Args)]
pub(crate) struct CalibrateArgs {
    /// The package.
    package: PathBuf,
    /// CSV of photographs: file, kingdom, phylum, class, order, family, genus, species. Never ones the model was
    /// trained on.
    #[arg(long, value_name = "TABLE")]
    photos: PathBuf,
    /// Folder that the table's paths start from; the table's own when absent.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Accuracies to find thresholds for, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [0.8, 0.85, 0.9, 0.95, 0.98, 0.99])]
    targets: Vec<f64>,
    /// Probability with which a `confident` threshold keeps its promise.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// 1: thresholds from one half of the photographs, figures from the other. More, for small sets: thresholds
    /// from all, figures as the mean over so many halvings.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    halvings: u16,
    /// Decides the halves.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    new_version: NewVersionArgs,
}

impl CalibrateArgs {
    fn settings(&self) -> Result<Settings, Failure> {
        let ascending = self.targets.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = self.targets.iter().all(|target| (0.0..1.0).contains(target));
        if !(ascending && inside) {
            return Err(Failure::Usage(anyhow::anyhow!(
                "--targets: give ascending numbers from 0 to below 1"
            )));
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(Failure::Usage(anyhow::anyhow!("--confidence: give a number between 0 and 1")));
        }
        let Self { targets, confidence, halvings, seed, .. } = self;
        let halvings = usize::from(*halvings);
        Ok(Settings { targets: targets.clone(), confidence: *confidence, halvings, seed: *seed })
    }

    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let settings = self.settings()?;
        let package = Package::open(&self.package).map_err(anyhow::Error::from)?;
        let (photos, dropped) =
            super::photographs(&self.photos, self.folder.as_deref()).map_err(Failure::Usage)?;
        eprintln!("{} photographs, {} rows dropped", photos.len(), dropped.len());
        let version = self.new_version.version(&package);
        let bar = run::progress("answers", photos.len());
        let recalibration = Recalibration::new(package, &photos, &settings, || bar.inc(1))?;
        bar.finish();
        print_calibration(recalibration.calibration());
        let out = self.new_version.folder(&self.package);
        println!("{}", recalibration.write(version, &out)?.display());
        Ok(())
    }
}

pub(crate) fn print_calibration(calibration: &Calibration) {
    println!("temperature {:.3}, {} answers", calibration.temperature(), calibration.n());
    println!("target  climbed  exact  average  confident  accuracy               mean depth");
    for point in calibration.curve() {
        println!(
            "{:6.2}  {:7.3}  {:5.3}  {:7.3}  {:9.3}  {:.3} ({:.3} to {:.3})  {:10.2}",
            point.target,
            point.threshold.value(),
            point.exact.value(),
            point.average.value(),
            point.confident.value(),
            point.accuracy,
            point.accuracy_low,
            point.accuracy_high,
            point.mean_depth,
        );
    }
}
