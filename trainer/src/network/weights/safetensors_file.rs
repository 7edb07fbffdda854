//! A safetensors file.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::advice;
use super::published::{Found, Tensors, WeightsError, floats};
use crate::network::Preset;

pub(super) fn open<T>(
    path: &Path,
    preset: &Preset,
    read: impl FnOnce(&dyn Tensors) -> Result<T, WeightsError>,
) -> Result<T, WeightsError> {
    let bytes = std::fs::read(path).map_err(|source| WeightsError::Missing {
        path: path.into(),
        source,
        advice: advice(preset, path),
    })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| WeightsError::Damaged { path: path.into(), reason: error.to_string() })?;
    read(&tensors)
}

impl Tensors for SafeTensors<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Found> {
        let tensor = SafeTensors::tensor(self, name).map_err(|_| Found::Other("nothing".into()))?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::F32 {
            return Err(Found::Other(format!("{:?} {:?}", tensor.dtype(), tensor.shape())));
        }
        Ok(floats(tensor.data()))
    }
}
