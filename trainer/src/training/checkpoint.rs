//! A training run on disk: every number that the next step depends on, written whole or not at all.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use burn::tensor::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::adam::Adam;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Writes `network` and `adam` as they stand at `position` to `path`. `recipe` is a digest of everything that the
/// run depends on.
///
/// # Errors
/// If the file cannot be written; what was there before stays.
pub(super) fn save(
    path: &Path,
    network: &Network,
    adam: &Adam,
    position: Position,
    recipe: &str,
) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::Write { path: path.into(), source };
    let bytes: Vec<(String, Vec<u8>)> = parts(network, adam)
        .map(|(name, tensor)| (name, numbers(tensor).iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| failed(std::io::Error::other(error)))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    let facts = HashMap::from([
        (STAGE.into(), position.stage.to_string()),
        (STEP.into(), position.step.to_string()),
        (OPTIMISER_STEP.into(), adam.step.to_string()),
        (RECIPE.into(), recipe.into()),
    ]);
    let whole =
        safetensors::serialize(views, Some(facts)).map_err(|error| failed(std::io::Error::other(error)))?;
    let mut file = AtomicWriteFile::open(path).map_err(failed)?;
    file.write_all(&whole).map_err(failed)?;
    file.commit().map_err(failed)
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

/// Puts the numbers of the checkpoint at `path` into `network` and `adam`, which have its recipe's shape.
///
/// # Errors
/// If the file is no checkpoint of that shape.
pub(super) fn load(path: &Path, network: &mut Network, adam: &mut Adam) -> Result<(), CheckpointError> {
    let damaged = |reason: String| CheckpointError::Read { path: path.into(), reason };
    let bytes = bytes(path)?.ok_or_else(|| damaged("it is gone".into()))?;
    adam.step = number(path, &facts(path, &bytes)?, OPTIMISER_STEP)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
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

fn parts<'a>(network: &'a Network, adam: &'a Adam) -> impl Iterator<Item = (String, &'a Tensor<1>)> {
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
    variables.chain(statistics)
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
