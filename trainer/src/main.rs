//! `fieldmark-trainer`: parses, composes and dispatches.

mod commands;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use fieldmark_models::calibration::Calibration;
use fieldmark_models::package::{GOLDEN, GOLDEN_INT8, MODEL, MODEL_FP16, MODEL_INT8, Package};
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, ViewRenderer};
use fieldmark_trainer::calibrate::{Settings, Specificity};
use fieldmark_trainer::compare;
use fieldmark_trainer::dataset;
use fieldmark_trainer::evaluate::Measured;
use fieldmark_trainer::lint::{self, Severity};
use fieldmark_trainer::quantise::{self, Destination, Record, Target};
use fieldmark_trainer::recalibrate::Recalibration;
use fieldmark_trainer::recipe::Recipe;
use fieldmark_trainer::report;
use fieldmark_trainer::run::{self, Prepared};

use commands::download::DownloadArgs;
use commands::prepare::{EXAMPLES, PrepareArgs};
use commands::train::TrainArgs;

/// Exit code for bad usage or a recipe that cannot be followed (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Trains, evaluates and packages fieldmark models.
#[derive(Parser)]
#[command(version, after_help = "Example: fieldmark-trainer train configs/training/garden.toml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a set of pictures to train on.
    #[command(after_help = EXAMPLES)]
    Prepare(Box<PrepareArgs>),
    /// Fetch the pictures of a prepared set. Interrupted, it goes on where it stopped.
    #[command(after_help = "Example: fieldmark-trainer download work/sets/birds --per-host 4")]
    Download(DownloadArgs),
    /// Put the figures of several runs beside each other.
    #[command(after_help = "Example: fieldmark-trainer compare work/runs/* --out compare.html")]
    Compare {
        /// Folders of runs.
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// The same with curves as a page.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Follow recipes from photographs to packages. Interrupted, it goes on where it stopped.
    #[command(after_help = commands::train::EXAMPLES)]
    Train(Box<TrainArgs>),
    /// Measure a recipe on its random splits and print the figures.
    #[command(after_help = "Example: fieldmark-trainer evaluate configs/training/garden.toml --json")]
    Evaluate {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
        /// Folder for report.html, evaluation.json and curve.svg.
        #[arg(long, value_name = "FOLDER")]
        report: Option<PathBuf>,
        /// What the curve shows accuracy against.
        #[arg(long, value_enum, default_value = "depth")]
        specificity: Specificity,
    },
    /// Calibrate a package again, on your own photographs, and write it as a new version.
    #[command(after_help = "Example: fieldmark-trainer calibrate models/packages/garden-0.1.0.fieldmark \
                      --photos survey.csv --folder /data/survey --out /tmp/packages")]
    Calibrate(CalibrateArgs),
    /// Make int8 and float16 models beside the float one, and write the package as a new version.
    #[command(after_help = "Example: fieldmark-trainer quantise models/packages/garden-0.1.0.fieldmark \
                      --calibration configs/training/garden-taxa.csv --folder /usr/share/tuxpaint/stamps \
                      --out /tmp/packages")]
    Quantise(QuantiseArgs),
    /// Check any ONNX against TensorRT's rules for explicit quantisation.
    #[command(
        after_help = "Example: fieldmark-trainer lint model.int8.onnx\n\nOne line a finding: error or advice, \
                      [rule], node, what to do. The exit code is 1 where there is an error."
    )]
    Lint {
        /// The model.
        model: PathBuf,
    },
    /// Write the views of a package's golden pictures as raw bytes, for judging the model with another engine.
    #[command(
        after_help = "Example: fieldmark-trainer views models/packages/garden-0.1.0.fieldmark --out /tmp/views"
    )]
    Views {
        /// The package.
        package: PathBuf,
        /// Folder for the engine files, golden indexes and PICTURE.VIEW.u8 (`[H, W, 3]` RGB).
        #[arg(long)]
        out: PathBuf,
        /// CSV of photographs whose views are written too, with photos.csv: name, side (as `quantise` halves them),
        /// and the outputs that are right: from first_leaf to before end_leaf.
        #[arg(long, value_name = "TABLE")]
        photos: Option<PathBuf>,
        /// Folder that the table's paths start from; the table's own when absent.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
}

#[derive(Args)]
struct CalibrateArgs {
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
    /// Version of the new package; the next patch version when absent.
    #[arg(long)]
    version: Option<semver::Version>,
    /// Folder it is written to; the package's own when absent.
    #[arg(long)]
    out: Option<PathBuf>,
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

    fn execute(&self) -> Result<(), Failure> {
        let settings = self.settings()?;
        let package = Package::open(&self.package).map_err(anyhow::Error::from)?;
        let of = |path: &Path| path.parent().unwrap_or(Path::new(".")).to_owned();
        let folder = self.folder.clone().unwrap_or_else(|| of(&self.photos));
        let hint = "give the folder its paths start from with --folder";
        let (photos, dropped) = dataset::read_table(&self.photos, &folder, &[], hint)
            .map_err(|error| Failure::Usage(error.into()))?;
        eprintln!("{} photographs, {} rows dropped", photos.len(), dropped.len());
        let mut version = package.manifest().version.clone();
        version.patch += 1;
        let version = self.version.clone().unwrap_or(version);
        let bar = run::progress("answers", photos.len());
        let recalibration = Recalibration::new(package, &photos, &settings, || bar.inc(1))?;
        bar.finish();
        print_calibration(recalibration.calibration());
        let out = self.out.clone().unwrap_or_else(|| of(&self.package));
        println!("{}", recalibration.write(version, &out)?.display());
        Ok(())
    }
}

#[derive(Args)]
struct QuantiseArgs {
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
    /// Learning rate of fine-tuning.
    #[arg(long, value_name = "RATE", default_value_t = 1e-6, value_parser = positive)]
    fine_tune_rate: f64,
    /// Version of the new package; the next patch version when absent.
    #[arg(long)]
    version: Option<semver::Version>,
    /// Folder it is written to; the package's own when absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "give a number, such as 1e-5".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("give a number above 0".into()) }
}

/// Halvings of a small held-out set.
const HALVINGS: usize = 10;

impl QuantiseArgs {
    fn execute(&self) -> Result<(), Failure> {
        let package = Package::open(&self.package).map_err(anyhow::Error::from)?;
        let of = |path: &Path| path.parent().unwrap_or(Path::new(".")).to_owned();
        let folder = self.folder.clone().unwrap_or_else(|| of(&self.calibration));
        let hint = "give the folder its paths start from with --folder";
        let (photos, _) = dataset::read_table(&self.calibration, &folder, &[], hint)
            .map_err(|error| Failure::Usage(error.into()))?;
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
        let mut version = package.manifest().version.clone();
        version.patch += 1;
        let targets = package.calibration().curve().iter().map(|point| point.target).collect();
        let confidence = package.calibration().confidence();
        let settings = Settings { targets, confidence, halvings: HALVINGS, seed: 1 };
        let out = self.out.clone().unwrap_or_else(|| of(&self.package));
        let to = Destination {
            version: self.version.clone().unwrap_or(version),
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

#[derive(Args)]
struct RecipeArgs {
    /// The recipe.
    recipe: PathBuf,
    /// Take the quick variant beside it: NAME-quick.toml.
    #[arg(long)]
    quick: bool,
    /// Folder for features that are computed once.
    #[arg(long, default_value = "work/features")]
    cache: PathBuf,
}

impl RecipeArgs {
    fn path(&self) -> PathBuf {
        if self.quick { quick_variant(&self.recipe) } else { self.recipe.clone() }
    }

    fn prepared(&self) -> Result<Prepared, Failure> {
        let recipe = Recipe::read(&self.path()).map_err(|error| Failure::Usage(error.into()))?;
        Ok(Prepared::new(recipe, &self.cache)?)
    }
}

/// NAME-quick.toml beside NAME.toml.
fn quick_variant(recipe: &Path) -> PathBuf {
    let stem = recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    recipe.with_file_name(format!("{stem}-quick.toml"))
}

enum Failure {
    Usage(anyhow::Error),
    Work(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Work(error)
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let (error, code) = match dispatch(cli.command) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, EXIT_USAGE),
        Err(Failure::Work(error)) => (error, 1),
    };
    eprintln!("fieldmark-trainer: {error:#}");
    ExitCode::from(code)
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Prepare(arguments) => arguments.execute()?,
        Command::Download(arguments) => arguments.execute()?,
        Command::Compare { runs, out } => {
            let runs = compare::Runs::read(&runs)?;
            print!("{}", runs.table());
            if let Some(path) = out {
                std::fs::write(&path, runs.page()?)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Command::Train(arguments) => arguments.execute()?,
        Command::Evaluate { recipe, json, report, specificity } => {
            let prepared = recipe.prepared()?;
            let measured = prepared.evaluate()?;
            if json {
                println!("{}", serde_json::to_string(&measured).map_err(anyhow::Error::from)?);
            } else {
                print_table(&measured);
            }
            if let Some(folder) = report {
                write_report(&prepared, &measured, specificity, &folder)?;
            }
        }
        Command::Calibrate(arguments) => arguments.execute()?,
        Command::Quantise(arguments) => arguments.execute()?,
        Command::Lint { model } => lint_file(&model)?,
        Command::Views { package, out, photos, folder } => {
            let package = Package::open(&package).map_err(anyhow::Error::from)?;
            write_views(&package, &out)?;
            if let Some(table) = photos {
                let beside = table.parent().unwrap_or(Path::new(".")).to_owned();
                write_photos(&package, &table, &folder.unwrap_or(beside), &out)?;
            }
        }
    }
    Ok(())
}

fn print_table(measured: &Measured) {
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

fn print_calibration(calibration: &Calibration) {
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

fn lint_file(path: &Path) -> anyhow::Result<()> {
    let onnx = std::fs::read(path).with_context(|| format!("cannot read model {}", path.display()))?;
    let findings = lint::lint(&onnx).with_context(|| path.display().to_string())?;
    findings.iter().for_each(|finding| println!("{finding}"));
    let errors = findings.iter().filter(|finding| finding.rule.severity() == Severity::Error).count();
    anyhow::ensure!(errors == 0, "{}: {errors} errors, TensorRT will not take it as meant", path.display());
    Ok(())
}

fn write_photos(package: &Package, table: &Path, folder: &Path, out: &Path) -> anyhow::Result<()> {
    let (photos, _) =
        dataset::read_table(table, folder, &[], "give the folder its paths start from with --folder")?;
    let (calibration, judging) = quantise::samples(package, &photos)?;
    let mut index = String::from("name,side,first_leaf,end_leaf\n");
    for (side, samples) in [("calibration", calibration), ("judging", judging)] {
        for (number, sample) in samples.iter().enumerate() {
            let name = format!("{side}_{number}");
            for (view, bytes) in package.views().views().iter().zip(&sample.views) {
                let path = out.join(format!("{name}.{}.u8", view.name));
                std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            }
            let leaves = package.taxonomy().taxon(sample.truth).leaves();
            index.push_str(&format!("{name},{side},{},{}\n", leaves.start, leaves.end));
        }
    }
    let path = out.join("photos.csv");
    std::fs::write(&path, index).with_context(|| format!("cannot write {}", path.display()))
}

fn write_views(package: &Package, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create folder {}", out.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    for file in [MODEL, MODEL_INT8, MODEL_FP16, GOLDEN, GOLDEN_INT8] {
        if let Some(bytes) = package.file(file) {
            write(file.rsplit('/').next().unwrap_or(file), bytes)?;
        }
    }
    let (views, mut renderer) = (package.views(), ViewRenderer::new());
    for golden in &package.golden().picture {
        let picture = Picture::decode(package.file(&golden.file).unwrap_or_default())?;
        for view in views.views() {
            let mut bytes = vec![0; views.view_bytes()];
            let shown = views.shown(view, FractionBox::FRAME, None);
            renderer.render(&picture, shown, views.input_size(), &mut bytes)?;
            write(&format!("{}.{}.u8", golden.file.replace('/', "_"), view.name), &bytes)?;
        }
    }
    Ok(())
}
