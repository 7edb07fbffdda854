//! Views of regions into an engine, through buffers that are used again.

use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, RenderError, ViewRenderer, ViewSet};

use super::{Engine, EngineError};

/// Why a region got no probabilities.
#[derive(Debug, thiserror::Error)]
pub enum EyeError {
    /// A view cannot be cut out.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How long a look took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LookTime {
    /// Cutting out views.
    pub views: Duration,
    /// The engine.
    pub inference: Duration,
}

/// The memory between a picture and an engine. It grows to the largest batch and the most regions that were looked at
/// together.
pub struct Eye {
    renderer: ViewRenderer,
    views: Vec<Vec<u8>>,
    probabilities: Vec<f32>,
    leaves: usize,
    time: LookTime,
}

impl Eye {
    /// Memory for regions seen in `views`, answered for `leaves` leaves.
    #[must_use]
    pub fn new(views: &ViewSet, leaves: usize) -> Self {
        let buffers = views.views().iter().map(|_| vec![0; views.view_bytes()]).collect();
        let probabilities = vec![0.0; leaves];
        Self {
            renderer: ViewRenderer::new(),
            views: buffers,
            probabilities,
            leaves,
            time: LookTime::default(),
        }
    }

    /// What was last seen: `[regions, leaves]`.
    #[must_use]
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// How long the last look took.
    #[must_use]
    pub fn time(&self) -> LookTime {
        self.time
    }

    /// Leaf probabilities `[leaves]` of `region` of `picture`; `focus` replaces the middle in magnifying views.
    ///
    /// # Errors
    /// If a view cannot be made, or the engine fails.
    pub fn look(
        &mut self,
        views: &ViewSet,
        engine: &mut dyn Engine,
        picture: &Picture,
        region: FractionBox,
        focus: Option<FractionBox>,
    ) -> Result<&[f32], EyeError> {
        self.look_at_all(views, engine, picture, std::iter::once((region, focus)))
    }

    /// Leaf probabilities `[regions, leaves]` of `regions` of `picture`, each with its focus. They go to the engine in
    /// the batches it gains from.
    ///
    /// # Errors
    /// If a view cannot be made, or the engine fails.
    pub fn look_at_all(
        &mut self,
        views: &ViewSet,
        engine: &mut dyn Engine,
        picture: &Picture,
        mut regions: impl ExactSizeIterator<Item = (FractionBox, Option<FractionBox>)> + Clone,
    ) -> Result<&[f32], EyeError> {
        let (bytes, leaves) = (views.view_bytes(), self.leaves.max(1));
        self.time = LookTime::default();
        self.probabilities.resize(regions.len() * leaves, 0.0);
        for rows in self.probabilities.chunks_mut(engine.batch().max(1) * leaves) {
            let (count, begun) = (rows.len() / leaves, Instant::now());
            for (view, buffer) in views.views().iter().zip(&mut self.views) {
                buffer.resize(count * bytes, 0);
                for (out, (region, focus)) in buffer.chunks_exact_mut(bytes).zip(regions.clone()) {
                    let shown = views.shown(view, region, focus);
                    self.renderer.render(picture, shown, views.input_size(), out)?;
                }
            }
            regions.by_ref().take(count).for_each(drop);
            let rendered = Instant::now();
            engine.infer(&self.views, count, rows)?;
            self.time.views += rendered - begun;
            self.time.inference += rendered.elapsed();
        }
        Ok(&self.probabilities)
    }
}
