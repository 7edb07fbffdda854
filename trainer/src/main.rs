//! `fieldmark-trainer`: parses, composes and dispatches.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::calibrate::CalibrateArgs;
use commands::compare::CompareArgs;
use commands::download::DownloadArgs;
use commands::evaluate::EvaluateArgs;
use commands::failure::{EXIT_USAGE, Failure};
use commands::lint::LintArgs;
use commands::prepare::{EXAMPLES, PrepareArgs};
use commands::quantise::QuantiseArgs;
use commands::train::TrainArgs;
use commands::views::ViewsArgs;

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
    Compare(CompareArgs),
    /// Follow recipes from photographs to packages. Interrupted, it goes on where it stopped.
    #[command(after_help = commands::train::EXAMPLES)]
    Train(Box<TrainArgs>),
    /// Measure a recipe on its random splits and print the figures.
    #[command(after_help = "Example: fieldmark-trainer evaluate configs/training/garden.toml --json")]
    Evaluate(EvaluateArgs),
    /// Calibrate a package again, on your own photographs, and write it as a new version.
    #[command(after_help = commands::calibrate::EXAMPLE)]
    Calibrate(CalibrateArgs),
    /// Make int8 and float16 models beside the float one, and write the package as a new version.
    #[command(after_help = commands::quantise::EXAMPLE)]
    Quantise(QuantiseArgs),
    /// Check any ONNX against TensorRT's rules for explicit quantisation.
    #[command(
        after_help = "Example: fieldmark-trainer lint model.int8.onnx\n\nOne line a finding: error or advice, \
                      [rule], node, what to do. The exit code is 1 where there is an error."
    )]
    Lint(LintArgs),
    /// Write the views of a package's golden pictures as raw bytes, for judging the model with another engine.
    #[command(
        after_help = "Example: fieldmark-trainer views models/packages/garden-0.1.0.fieldmark --out /tmp/views"
    )]
    Views(ViewsArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    dispatch(cli.command).map_or_else(Failure::told, |()| ExitCode::SUCCESS)
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Prepare(arguments) => Ok(arguments.execute()?),
        Command::Download(arguments) => Ok(arguments.execute()?),
        Command::Compare(arguments) => Ok(arguments.execute()?),
        Command::Train(arguments) => arguments.execute(),
        Command::Evaluate(arguments) => arguments.execute(),
        Command::Calibrate(arguments) => arguments.execute(),
        Command::Quantise(arguments) => arguments.execute(),
        Command::Lint(arguments) => Ok(arguments.execute()?),
        Command::Views(arguments) => Ok(arguments.execute()?),
    }
}
