//! `fieldmark-trainer`: parses, composes and dispatches.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use fieldmark_models::package::Package;
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, ViewRenderer};
use fieldmark_trainer::evaluate::Measured;
use fieldmark_trainer::recipe::Recipe;
use fieldmark_trainer::run::Prepared;

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
    /// Follow a recipe from photographs to a package. Interrupted, it goes on where it stopped.
    #[command(
        after_help = "Example: fieldmark-trainer train --quick configs/training/garden.toml --out /tmp/packages"
    )]
    Train {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Folder the package is written to.
        #[arg(long, default_value = "models/packages")]
        out: PathBuf,
    },
    /// Measure a recipe on its random splits and print the figures.
    #[command(after_help = "Example: fieldmark-trainer evaluate configs/training/garden.toml --json")]
    Evaluate {
        #[command(flatten)]
        recipe: RecipeArgs,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Write the views of a package's golden pictures as raw bytes, for judging the model with another engine.
    #[command(
        after_help = "Example: fieldmark-trainer views models/packages/garden-0.1.0.fieldmark --out /tmp/views"
    )]
    Views {
        /// The package.
        package: PathBuf,
        /// Folder for model.onnx, index.toml and PICTURE.VIEW.u8 (`[H, W, 3]` RGB).
        #[arg(long)]
        out: PathBuf,
    },
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
    fn prepared(&self) -> Result<Prepared, Failure> {
        let mut path = self.recipe.clone();
        if self.quick {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            path.set_file_name(format!("{stem}-quick.toml"));
        }
        let recipe = Recipe::read(&path).map_err(|error| Failure::Usage(error.into()))?;
        Ok(Prepared::new(recipe, &self.cache)?)
    }
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
        Command::Train { recipe, out } => {
            let prepared = recipe.prepared()?;
            let measured = prepared.evaluate()?;
            print_table(&measured);
            prepared.check_floor(&measured)?;
            let path = prepared.package(&measured, &out)?;
            println!("{}", path.display());
        }
        Command::Evaluate { recipe, json } => {
            let measured = recipe.prepared()?.evaluate()?;
            if json { println!("{}", as_json(&measured)) } else { print_table(&measured) }
        }
        Command::Views { package, out } => write_views(&package, &out)?,
    }
    Ok(())
}

fn print_table(measured: &Measured) {
    for (rank, (mean, deviation)) in &measured.top1 {
        let (other, _) = measured.top1_held_out_backgrounds.get(rank).copied().unwrap_or_default();
        println!("top-1 {rank:8} {mean:.3} ± {deviation:.3}   on unseen backgrounds {other:.3}");
    }
    println!("temperature {:.3}", measured.calibration.temperature());
    for (point, unseen) in measured.calibration.curve().iter().zip(&measured.unseen) {
        println!(
            "target {:.2}: threshold {:.3}, accuracy {:.3} ({:.3} to {:.3}), mean depth {:.2}; \
             unseen species: {:.3} of {} true ancestors, {:.3} of {} at order or deeper, mean depth {:.2}",
            point.target,
            point.threshold.value(),
            point.accuracy,
            point.accuracy_low,
            point.accuracy_high,
            point.mean_depth,
            unseen.correct,
            unseen.n,
            unseen.specific.0,
            unseen.specific.1,
            unseen.mean_depth,
        );
    }
}

fn as_json(measured: &Measured) -> serde_json::Value {
    let unseen = measured.unseen.iter().map(|row| {
        serde_json::json!({"target": row.target, "n": row.n, "correct": row.correct,
            "correct_at_order_or_deeper": row.specific.0, "mean_depth": row.mean_depth, "ranks": row.ranks})
    });
    serde_json::json!({
        "top1": measured.top1,
        "top1_held_out_backgrounds": measured.top1_held_out_backgrounds,
        "calibration": measured.calibration,
        "unseen": unseen.collect::<Vec<_>>(),
    })
}

fn write_views(package: &Path, out: &Path) -> anyhow::Result<()> {
    let package = Package::open(package)?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create folder {}", out.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    for (file, name) in [("model.onnx", "model.onnx"), ("golden/index.toml", "index.toml")] {
        write(name, package.file(file).unwrap_or_default())?;
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
