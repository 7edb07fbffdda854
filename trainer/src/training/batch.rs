//! Batches of augmented pictures, made on threads of their own while the network works on the ones before.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, Scope};

use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, RenderError, ViewRenderer, ViewSet};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::order::mixed;
use crate::network::Normalisation;
use crate::pictures::{Augmentation, PicturesError, read_picture};

/// Batches that wait for the network, for each thread.
const AHEAD: usize = 2;

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A picture cannot be read.
    #[error(transparent)]
    Pictures(#[from] PicturesError),
    /// A view cannot be cut.
    #[error("{path}: {source}")]
    Render {
        /// Path of the picture.
        path: PathBuf,
        /// What is wrong.
        source: RenderError,
    },
    /// The threads that make batches are gone.
    #[error("the threads that read pictures have stopped")]
    Stopped,
}

/// Numbers for one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The step it is for.
    pub step: usize,
    /// Positions of its pictures.
    pub pictures: Vec<usize>,
    /// One `[N, 3, H, W]` a view, row-major, normalised.
    pub views: Vec<Vec<f32>>,
}

/// What pictures become.
pub struct Feed<'a> {
    /// Paths of all pictures.
    pub pictures: &'a [PathBuf],
    /// The views.
    pub views: &'a ViewSet,
    /// How bytes become numbers.
    pub normalisation: Normalisation,
    /// Random changes; none in evaluation.
    pub augmentation: Option<Augmentation>,
    /// Decides them, with the epoch and the picture's position.
    pub seed: u64,
    /// Whether a picture comes more than once in an epoch: changes are then other ones in every step.
    pub repeats: bool,
}

impl Feed<'_> {
    /// The batch of `pictures` in `epoch`.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn batch(
        &self,
        step: usize,
        epoch: u64,
        pictures: &[usize],
        renderer: &mut ViewRenderer,
    ) -> Result<Batch, BatchError> {
        let side = self.views.input_size() as usize;
        let planes = 3 * side * side;
        let mut views = vec![vec![0.0; pictures.len() * planes]; self.views.views().len()];
        let mut bytes = vec![0; self.views.view_bytes()];
        for (row, &position) in pictures.iter().enumerate() {
            let path = &self.pictures[position];
            let seed = mixed(mixed(self.seed, epoch), position as u64);
            let seed = if self.repeats { mixed(seed, step as u64) } else { seed };
            let (picture, region) = self.seen(path, seed)?;
            for (view, numbers) in self.views.views().iter().zip(&mut views) {
                let shown = self.views.shown(view, region, None);
                renderer
                    .render(&picture, shown, self.views.input_size(), &mut bytes)
                    .map_err(|source| BatchError::Render { path: path.clone(), source })?;
                self.planes(&bytes, &mut numbers[row * planes..(row + 1) * planes]);
            }
        }
        Ok(Batch { step, pictures: pictures.to_vec(), views })
    }

    fn seen(&self, path: &Path, seed: u64) -> Result<(Picture, FractionBox), PicturesError> {
        let picture = read_picture(path)?;
        let Some(augmentation) = &self.augmentation else { return Ok((picture, FractionBox::FRAME)) };
        Ok(augmentation.apply(picture, &mut StdRng::seed_from_u64(seed)))
    }

    /// `[H, W, 3]` bytes to `[3, H, W]` numbers.
    fn planes(&self, bytes: &[u8], numbers: &mut [f32]) {
        let Normalisation { centre, width } = self.normalisation;
        let pixels = numbers.len() / 3;
        for (channel, plane) in numbers.chunks_exact_mut(pixels).enumerate() {
            for (number, pixel) in plane.iter_mut().zip(bytes.chunks_exact(3)) {
                *number = (f32::from(pixel[channel]) - centre) / width;
            }
        }
    }
}

/// A step that batches are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub step: usize,
    /// Its epoch.
    pub epoch: u64,
    /// Positions of its pictures.
    pub pictures: Vec<usize>,
}

/// Batches in the order of their steps.
pub struct Batches {
    made: Vec<Receiver<Result<Batch, BatchError>>>,
    next: usize,
}

impl Batches {
    /// Makes the batches of `steps` on `threads` threads of `scope`.
    pub fn spawn<'scope>(
        scope: &'scope Scope<'scope, '_>,
        feed: &'scope Feed<'scope>,
        steps: Vec<Step>,
        threads: usize,
    ) -> Self {
        let threads = threads.max(1);
        let mut shares = vec![Vec::new(); threads];
        for (number, step) in steps.into_iter().enumerate() {
            shares[number % threads].push(step);
        }
        let made = shares.into_iter().map(|share| {
            let (give, take) = sync_channel(AHEAD);
            scope.spawn(move || {
                let mut renderer = ViewRenderer::new();
                for Step { step, epoch, pictures } in share {
                    let batch = feed.batch(step, epoch, &pictures, &mut renderer);
                    // Nobody waits any more when training stopped.
                    if give.send(batch).is_err() {
                        return;
                    }
                }
            });
            take
        });
        Self { made: made.collect(), next: 0 }
    }

    /// The next step's batch; waits for it.
    ///
    /// # Errors
    /// If one of its pictures cannot be read.
    pub fn next_batch(&mut self) -> Result<Batch, BatchError> {
        let thread = self.next % self.made.len();
        self.next += 1;
        self.made[thread].recv().map_err(|_| BatchError::Stopped)?
    }
}

/// Threads that are worth having beside the network's own.
#[must_use]
pub fn reading_threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}
