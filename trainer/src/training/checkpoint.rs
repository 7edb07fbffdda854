//! A training run on disk: every number that the next step depends on, written whole or not at all.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use burn::tensor::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::adam::Adam;
use super::average::Average;
use super::early::Best;
use super::network::Network;
use super::variables::{flat, numbers};

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be written. The one before is still there.
    #[error("cannot write checkpoint {path}: {source}; the one before it is kept")]
    Write {
        /// Path of the checkpoint.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be read.
    #[error("cannot read checkpoint {path}: {reason}; remove it to begin anew")]
    Read {
        /// Path of the checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Position of the recipe's stage.
    pub stage: usize,
    /// Steps of it that are done.
    pub step: usize,
}

/// Names of the two numbers of a [`Position`], of the optimiser's steps, and of the recipe's digest.
const STAGE: &str = "stage";
const STEP: &str = "step";
const OPTIMISER_STEP: &str = "optimiser_step";
const RECIPE: &str = "recipe";
/// Of the lowest validation loss, and of the epochs since, where there is an early stop.
const BEST_LOSS: &str = "best_loss";
const BEST_SINCE: &str = "best_since";

/// What a checkpoint keeps.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    /// The network at its last step.
    pub network: &'a Network,
    /// The optimiser.
    pub adam: &'a Adam,
    /// The average of the variables.
    pub average: Option<&'a Average>,
    /// The network with the lowest validation loss.
    pub best: Option<&'a Best>,
}

/// Where a checkpoint's numbers belong.
pub(super) struct Loaded<'a> {
    pub network: &'a mut Network,
    pub adam: &'a mut Adam,
    pub average: Option<&'a mut Average>,
    pub best: Option<&'a mut Best>,
}

/// Writes what is `kept` at `position` to `path`. `recipe` is a digest of everything that the
/// run depends on.
///
/// # Errors
/// If the file cannot be written; what was there before stays.
pub(super) fn save(
    path: &Path,
    kept: Kept<'_>,
    position: Position,
    recipe: &str,
) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::Write { path: path.into(), source };
    let whole = whole(kept, position, recipe).map_err(failed)?;
    let mut file = AtomicWriteFile::open(path).map_err(failed)?;
    file.write_all(&whole).map_err(failed)?;
    file.commit().map_err(failed)
}

/// A checkpoint's bytes.
///
/// # Errors
/// If the numbers cannot be put into the format.
pub(super) fn whole(kept: Kept<'_>, position: Position, recipe: &str) -> std::io::Result<Vec<u8>> {
    let bytes: Vec<(String, Vec<u8>)> = parts(kept)
        .map(|(name, tensor)| (name, numbers(tensor).iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
        view.map(|view| (name.clone(), view)).map_err(std::io::Error::other)
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    let mut facts = HashMap::from([
        (STAGE.into(), position.stage.to_string()),
        (STEP.into(), position.step.to_string()),
        (OPTIMISER_STEP.into(), kept.adam.step.to_string()),
        (RECIPE.into(), recipe.into()),
    ]);
    if let Some(best) = kept.best {
        facts.insert(BEST_LOSS.into(), best.loss.to_string());
        facts.insert(BEST_SINCE.into(), best.since.to_string());
    }
    safetensors::serialize(views, Some(facts)).map_err(std::io::Error::other)
}

/// Where the checkpoint at `path` stands; none where there is none, or it is of another recipe.
///
/// # Errors
/// If the file is there and no checkpoint.
pub(super) fn position(path: &Path, recipe: &str) -> Result<Option<Position>, CheckpointError> {
    let Some(bytes) = bytes(path)? else { return Ok(None) };
    let facts = facts(path, &bytes)?;
    if facts.get(RECIPE).is_none_or(|of| of != recipe) {
        return Ok(None);
    }
    Ok(Some(Position { stage: number(path, &facts, STAGE)?, step: number(path, &facts, STEP)? }))
}

/// Puts the numbers of the checkpoint at `path` where they belong, which has its recipe's shape.
///
/// # Errors
/// If the file is no checkpoint of that shape.
pub(super) fn load(path: &Path, into: &mut Loaded<'_>) -> Result<(), CheckpointError> {
    let gone = || CheckpointError::Read { path: path.into(), reason: "it is gone".into() };
    take(path, &bytes(path)?.ok_or_else(gone)?, into)
}

/// The same from the checkpoint's `bytes`, which are from `path`.
///
/// # Errors
/// If they are no checkpoint of that shape.
pub(super) fn take(path: &Path, bytes: &[u8], into: &mut Loaded<'_>) -> Result<(), CheckpointError> {
    let (network, adam) = (&mut *into.network, &mut *into.adam);
    let (average, best) = (into.average.as_deref_mut(), into.best.as_deref_mut());
    let damaged = |reason: String| CheckpointError::Read { path: path.into(), reason };
    let facts = facts(path, bytes)?;
    adam.step = number(path, &facts, OPTIMISER_STEP)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let read = |name: &str, old: &Tensor<1>| {
        let tensor = tensors.tensor(name).map_err(|error| damaged(error.to_string()))?;
        let [wanted] = old.dims();
        if tensor.dtype() != Dtype::F32 || tensor.shape() != [wanted] {
            return Err(damaged(format!("{name} is {:?}, needed are {wanted} floats", tensor.shape())));
        }
        let values: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(flat(&values, &old.device().inner()))
    };
    if let Some(average) = average {
        for (value, variable) in average.values.iter_mut().zip(network.variables.all()) {
            *value = read(&format!("average/{}", variable.name), value)?;
        }
    }
    if let Some(best) = best {
        (best.loss, best.since) = (number(path, &facts, BEST_LOSS)?, number(path, &facts, BEST_SINCE)?);
        for (value, variable) in best.values.iter_mut().zip(network.variables.all()) {
            *value = read(&format!("best/{}", variable.name), value)?;
        }
        for ([mean, variance], of) in best.statistics.iter_mut().zip(&network.statistics) {
            *mean = read(&format!("best_mean/{}", of.name), mean)?;
            *variance = read(&format!("best_variance/{}", of.name), variance)?;
        }
    }
    for (position, variable) in network.variables.all_mut().iter_mut().enumerate() {
        let name = variable.name.clone();
        variable.value = read(&format!("variable/{name}"), &variable.value)?.autodiff().require_grad();
        adam.first[position] = read(&format!("first/{name}"), &adam.first[position])?;
        adam.second[position] = read(&format!("second/{name}"), &adam.second[position])?;
    }
    for statistics in &mut network.statistics {
        statistics.mean = read(&format!("mean/{}", statistics.name), &statistics.mean)?;
        statistics.variance = read(&format!("variance/{}", statistics.name), &statistics.variance)?;
    }
    Ok(())
}

fn parts(kept: Kept<'_>) -> impl Iterator<Item = (String, &Tensor<1>)> {
    let Kept { network, adam, average, best } = kept;
    let moments = adam.first.iter().zip(&adam.second);
    let variables = network.variables.all().iter().zip(moments).flat_map(|(variable, (first, second))| {
        let name = &variable.name;
        [
            (format!("variable/{name}"), &variable.value),
            (format!("first/{name}"), first),
            (format!("second/{name}"), second),
        ]
    });
    let statistics = network.statistics.iter().flat_map(|statistics| {
        [
            (format!("mean/{}", statistics.name), &statistics.mean),
            (format!("variance/{}", statistics.name), &statistics.variance),
        ]
    });
    let average = named("average", network, average.map(|average| &average.values[..]));
    let best_values = named("best", network, best.map(|best| &best.values[..]));
    let best_statistics = best.into_iter().flat_map(|best| {
        network.statistics.iter().zip(&best.statistics).flat_map(|(of, [mean, variance])| {
            [(format!("best_mean/{}", of.name), mean), (format!("best_variance/{}", of.name), variance)]
        })
    });
    variables.chain(statistics).chain(average).chain(best_values).chain(best_statistics)
}

/// `values`, one a variable of `network`, each with the variable's name behind `kind`.
fn named<'a>(
    kind: &'a str,
    network: &'a Network,
    values: Option<&'a [Tensor<1>]>,
) -> impl Iterator<Item = (String, &'a Tensor<1>)> {
    let pairs = values.into_iter().flat_map(|values| network.variables.all().iter().zip(values));
    pairs.map(move |(variable, value)| (format!("{kind}/{}", variable.name), value))
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CheckpointError::Read { path: path.into(), reason: error.to_string() }),
    }
}

fn facts(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Read { path: path.into(), reason };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    metadata.metadata().clone().ok_or_else(|| damaged("it says nothing of itself".into()))
}

fn number<T: std::str::FromStr>(
    path: &Path,
    facts: &HashMap<String, String>,
    name: &str,
) -> Result<T, CheckpointError> {
    facts
        .get(name)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| CheckpointError::Read { path: path.into(), reason: format!("it has no {name}") })
}
