//! Features of every training picture through the frozen part of the network, computed once and cached.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use fieldmark_models::package::Sha256Digest;
use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, RenderError, ViewRenderer, ViewSet};
use rayon::prelude::*;
use tract_onnx::prelude::*;

use crate::dataset::Photo;
use crate::pictures::{Backgrounds, Kind, PicturesError, pictures_of};
use crate::recipe::Recipe;

/// Why features could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// A picture.
    #[error(transparent)]
    Pictures(#[from] PicturesError),
    /// A view.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The engine.
    #[error("the network cannot be run: {0:#}")]
    Engine(#[from] TractError),
    /// The cache.
    #[error("cannot write the feature cache {path}: {source}")]
    Cache {
        /// Path in the cache.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A graph with one row of floats out, ready to run.
pub struct Runner {
    plan: Arc<TypedRunnableModel>,
    views: ViewSet,
}

impl Runner {
    /// Loads `onnx`, which takes `views` one region at a time.
    ///
    /// # Errors
    /// If the engine refuses it.
    pub fn new(onnx: &[u8], views: &ViewSet) -> Result<Self, FeaturesError> {
        let side = views.input_size() as usize;
        let mut model = tract_onnx::onnx().model_for_read(&mut io::Cursor::new(onnx))?;
        for input in 0..views.views().len() {
            model = model.with_input_fact(input, u8::fact([1, side, side, 3]).into())?;
        }
        let plan = model.into_optimized()?.into_runnable()?;
        Ok(Self { plan, views: views.clone() })
    }

    /// The row for the whole of `picture`.
    ///
    /// # Errors
    /// If a view cannot be cut or the engine fails.
    pub fn run(&self, picture: &Picture, renderer: &mut ViewRenderer) -> Result<Vec<f32>, FeaturesError> {
        let side = self.views.input_size();
        let mut inputs = tvec!();
        for view in self.views.views() {
            let shown = self.views.shown(view, FractionBox::FRAME, None);
            let mut bytes = vec![0; self.views.view_bytes()];
            renderer.render(picture, shown, side, &mut bytes)?;
            inputs.push(Tensor::from_shape(&[1, side as usize, side as usize, 3], &bytes)?.into());
        }
        let outputs = self.plan.run(inputs)?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

/// Features of the pictures of one photograph, with what each may be used for.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotoFeatures {
    /// What each picture may be used for.
    pub kinds: Vec<Kind>,
    /// At unit length, one row a picture.
    pub rows: Vec<Vec<f32>>,
}

impl PhotoFeatures {
    /// Rows that may be trained on.
    pub fn training(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.of(|kind| kind != Kind::HeldOutBackground)
    }

    /// Rows of one kind.
    pub fn of(&self, wanted: impl Fn(Kind) -> bool) -> impl Iterator<Item = &Vec<f32>> {
        self.kinds.iter().zip(&self.rows).filter(move |(kind, _)| wanted(**kind)).map(|(_, row)| row)
    }
}

/// Features of every photograph. Each photograph's are cached under `cache` by everything they depend on, so
/// an interrupted run goes on where it stopped. `done` is called after each photograph.
///
/// # Errors
/// If a picture cannot be read, the engine fails, or the cache cannot be written.
pub fn extract(
    recipe: &Recipe,
    photos: &[Photo],
    onnx: &[u8],
    cache: &Path,
    done: impl Fn() + Sync,
) -> Result<Vec<PhotoFeatures>, FeaturesError> {
    let failed = |source| FeaturesError::Cache { path: cache.into(), source };
    fs::create_dir_all(cache).map_err(failed)?;
    let data = &recipe.data;
    let backgrounds = Backgrounds::read(&data.backgrounds, &data.held_out_backgrounds, &data.hint)?;
    let runner = Runner::new(onnx, &recipe.views)?;
    let network = Sha256Digest::of(onnx);
    photos
        .par_iter()
        .enumerate()
        .map_init(ViewRenderer::new, |renderer, (position, photo)| {
            let seed = recipe.seed.wrapping_mul(1_000_003).wrapping_add(position as u64);
            let key = format!(
                "{network} {} {:?} {:?} {data:?} {seed}",
                photo.path.display(),
                recipe.pictures,
                recipe.views
            );
            let path = cache.join(format!("{}.features", Sha256Digest::of(key.as_bytes())));
            let kinds = kinds(recipe);
            let features = match read_cached(&path, recipe.network.preset.features(), kinds.len()) {
                Some(rows) => PhotoFeatures { kinds, rows },
                None => {
                    let made = pictures_of(&photo.path, &recipe.pictures, &backgrounds, seed)?;
                    let rows = made
                        .iter()
                        .map(|(_, picture)| runner.run(picture, renderer).map(at_unit_length))
                        .collect::<Result<Vec<_>, _>>()?;
                    write_cached(&path, &rows).map_err(|source| FeaturesError::Cache { path, source })?;
                    PhotoFeatures { kinds: made.into_iter().map(|(kind, _)| kind).collect(), rows }
                }
            };
            done();
            Ok(features)
        })
        .collect()
}

fn kinds(recipe: &Recipe) -> Vec<Kind> {
    let counts = &recipe.pictures;
    let training = 1 + counts.on_grey + counts.on_rendered + counts.on_photographs;
    let mut kinds = vec![Kind::Plain];
    kinds.resize(1 + training, Kind::Training);
    kinds.push(Kind::HeldOutBackground);
    kinds
}

/// The row divided by its Euclidean length.
#[must_use]
pub fn at_unit_length(mut row: Vec<f32>) -> Vec<f32> {
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    row.iter_mut().for_each(|value| *value /= length);
    row
}

fn read_cached(path: &Path, width: usize, rows: usize) -> Option<Vec<Vec<f32>>> {
    let bytes = fs::read(path).ok().filter(|bytes| bytes.len() == width * rows * 4)?;
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Some(values.chunks_exact(width).map(<[f32]>::to_vec).collect())
}

fn write_cached(path: &Path, rows: &[Vec<f32>]) -> io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    for row in rows {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    file.commit()
}
