//! `fieldmarkd run`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::alert::find_watched;
use crate::command::{Ending, Kept};
use crate::config::{self, Config, ModelConfig, Written};
use crate::decide::Decider;
use crate::engine::{EngineSettings, LoadedModel, Phase, shipped_package};
use crate::publish::BuildNotice;
use crate::release::ReleaseKind;
use crate::service::{self, ServiceManager, Updating};
use crate::update::{self, Slot};

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

/// Time a model may need to be loaded and to pass its golden pictures: an engine may have to be built first.
const LOADING: Duration = Duration::from_secs(1200);

pub(super) fn execute(arguments: &RunArguments) -> Result<(), Failure> {
    let manager = ServiceManager::from_environment();
    let (config, written) = read(&arguments.config)?;
    manager.starting("loading the model", LOADING);
    let Opened { config, written, decider, updating } = with_updates(config, written, &arguments.config)?;
    let (identity, tested) = (decider.identity(), decider.tested());
    let (model, engine) = (format!("{} {}", identity.name, identity.version), decider.engine_name());
    tracing::info!(
        %model, engine, threshold = decider.cut_off().threshold.value(), golden_pictures = tested.pictures,
        largest_difference = tested.largest_difference, "model {model} is ready on {engine}"
    );
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match threads?.block_on(service::run(&config, written, decider, updating))? {
        Ending::Running => Ok(()),
        Ending::Restart => Err(restart().into()),
    }
}

/// Becomes the program anew, as the same process; why not, if that fails.
fn restart() -> anyhow::Error {
    use std::os::unix::process::CommandExt as _;
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "fieldmarkd".into());
    // The name it was called by finds a program that was replaced meanwhile; the running one is the last resort.
    let error = std::process::Command::new(&program).args(arguments.by_ref()).exec();
    anyhow::anyhow!("cannot start {} again: {error}; start it by hand", program.to_string_lossy())
}

/// What a start has found.
struct Opened {
    config: Config,
    written: Written,
    decider: Decider,
    updating: Option<Updating>,
}

/// As [`with_kept`], with the configuration and the model that updates have led to. What cannot be used is given up
/// for what was before: a node always comes up, and answers with something.
fn with_updates(base: Config, written: Written, path: &Path) -> Result<Opened, Failure> {
    let Some(update) = &base.update else {
        let (config, decider) = with_kept(base)?;
        return Ok(Opened { config, written, decider, updating: None });
    };
    let mut configs = update::begin(update, ReleaseKind::Config);
    let mut models = update::begin(update, ReleaseKind::Model);
    loop {
        let live = configs.journal.running.clone();
        let opened = match &live {
            // A configuration that does not go with the model is at fault, not the model.
            Slot::Released(kept) => {
                let layer = configs.path(kept);
                config::read_layered(path, Some(&layer)).map_err(Failure::usage).and_then(
                    |(config, written)| {
                        let model = models.journal.running.clone();
                        let package = match &model {
                            Slot::Released(kept) => Some(models.path(kept)),
                            Slot::Configured => None,
                        };
                        with_package(&config, package.as_deref()).map(|opened| ((opened, model), written))
                    },
                )
            }
            Slot::Configured => models
                .first_usable(|package| with_package(&base, package))
                .map(|opened| (opened, written.clone())),
        };
        match (opened, &live) {
            (Ok((((config, decider), model), written)), _) => {
                let config_path = path.into();
                let updating = Updating { config_path, model: (models, model), config: (configs, live) };
                return Ok(Opened { config, written, decider, updating: Some(updating) });
            }
            (Err(failure), Slot::Released(_)) => configs.give_up(&failure),
            (Err(failure), Slot::Configured) => return Err(failure),
        }
    }
}

fn with_package(config: &Config, package: Option<&Path>) -> Result<(Config, Decider), Failure> {
    let mut with = config.clone();
    if let Some(package) = package {
        with.model.package = Some(package.into());
    }
    with_kept(with)
}

/// `config` with what commands asked to keep over it, and its decider. Kept settings that cannot be used, as after a
/// change of model, are told and passed over: they must not stop the node.
fn with_kept(config: Config) -> Result<(Config, Decider), Failure> {
    // A broker inside the daemon does not run yet, and nobody could be connected to it.
    let mut notice = config.broker.is_none().then(|| BuildNotice::new(&config));
    let mut tell = |phase: Phase| {
        log(&phase);
        if let Some(notice) = &mut notice {
            notice.tell(&phase);
        }
    };
    let Some(path) = Kept::path(&config) else {
        let decider = decider_telling(&config.model, &config.engine, &mut tell)?;
        return Ok((config, decider));
    };
    let passed_over = |error: &dyn std::fmt::Display| {
        tracing::error!("settings kept by command are passed over: {error}");
    };
    let kept = Kept::read(&path).inspect_err(|error| passed_over(error)).unwrap_or_default();
    if kept != Kept::default() {
        let mut changed = config.clone();
        kept.lay_over(&mut changed);
        let decided = decider_telling(&changed.model, &changed.engine, &mut tell)
            .inspect_err(|error| passed_over(error));
        if let Ok(decider) = decided {
            let watched = find_watched(decider.taxonomy(), &changed.watch.taxa);
            if let Err(error) = watched {
                passed_over(&error);
                changed.watch.taxa.clone_from(&config.watch.taxa);
            }
            tracing::info!(path = %path.display(), "settings kept by command are in force");
            return Ok((changed, decider));
        }
    }
    let decider = decider_telling(&config.model, &config.engine, &mut tell)?;
    Ok((config, decider))
}

/// The checked configuration, with logging as it says.
pub(super) fn configured(path: &Path) -> Result<Config, Failure> {
    Ok(read(path)?.0)
}

fn read(path: &Path) -> Result<(Config, Written), Failure> {
    let (config, written) = config::read(path).map_err(Failure::usage)?;
    service::logging::start(&config.log).map_err(Failure::usage)?;
    Ok((config, written))
}

/// The decider the configuration asks for, on the engine it asks for.
pub(super) fn decider(config: &ModelConfig, engine: &EngineSettings) -> Result<Decider, Failure> {
    decider_telling(config, engine, &mut |phase| log(&phase))
}

/// As [`decider`]; `tell` hears what is being done.
fn decider_telling(
    config: &ModelConfig,
    engine: &EngineSettings,
    tell: &mut dyn FnMut(Phase),
) -> Result<Decider, Failure> {
    let path = match &config.package {
        Some(path) => path.clone(),
        None => shipped_package()?,
    };
    let model = LoadedModel::open(&path, engine, tell)?;
    // A target or prior the model does not have was asked for wrongly.
    Decider::new(model, &config.dial, &config.expected).map_err(Failure::usage)
}

fn log(phase: &Phase) {
    match phase {
        Phase::Trying(engine) => tracing::debug!("trying the engine {engine}"),
        Phase::Building { engine, step, percent } => tracing::info!(percent, "{engine} builds: {step}"),
        Phase::PassedOver(passed) => {
            tracing::info!(engine = %passed.engine, "engine passed over: {}", passed.reason);
        }
        Phase::Taken(engine) => tracing::debug!("engine taken: {engine}"),
    }
}
