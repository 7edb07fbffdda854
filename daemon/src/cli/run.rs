//! `fieldmarkd run`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::config::{self, Config, ModelConfig};
use crate::decide::Decider;
use crate::engine::{LoadedModel, shipped_package};
use crate::service;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

pub(super) fn execute(arguments: &RunArguments) -> Result<(), Failure> {
    let config = configured(&arguments.config)?;
    let decider = decider(&config.model)?;
    let (identity, tested) = (decider.identity(), decider.tested());
    tracing::info!(
        model = %format!("{} {}", identity.name, identity.version), engine = decider.engine_name(),
        threshold = decider.cut_off().threshold.value(), golden_pictures = tested.pictures,
        largest_difference = tested.largest_difference, "model ready"
    );
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    threads?.block_on(service::run(&config, decider))?;
    Ok(())
}

/// The checked configuration, with logging as it says.
pub(super) fn configured(path: &Path) -> Result<Config, Failure> {
    let config = config::load(path).map_err(Failure::usage)?;
    service::logging::start(&config.log).map_err(Failure::usage)?;
    Ok(config)
}

/// The decider the configuration asks for.
pub(super) fn decider(config: &ModelConfig) -> Result<Decider, Failure> {
    let path = match &config.package {
        Some(path) => path.clone(),
        None => shipped_package()?,
    };
    let model = LoadedModel::open(&path)?;
    // A target or prior the model does not have was asked for wrongly.
    Decider::new(model, &config.dial, &config.expected).map_err(Failure::usage)
}
