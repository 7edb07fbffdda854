//! Views of regions into an engine, through buffers that are used again.

use std::time::{Duration, Instant};

use fieldmark_models::picture::Picture;
use fieldmark_models::views::{FractionBox, RenderError, ViewRenderer, ViewSet};

use crate::engine::{Engine, EngineError};

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

/// The memory between a picture and an engine.
pub struct Eye {
    renderer: ViewRenderer,
    views: Vec<Vec<u8>>,
    probabilities: Vec<f32>,
    leaves: usize,
    time: LookTime,
}

impl Eye {
    /// Memory for one region seen in `views`, answered for `leaves` leaves. It grows when more regions are looked at
    /// together.
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
        self.look_at(views, engine, picture, &[region], focus)
    }

    /// Leaf probabilities `[regions, leaves]` of `regions` of `picture`, in one call of the engine.
    ///
    /// # Errors
    /// If a view cannot be made, or the engine fails.
    pub fn look_at(
        &mut self,
        views: &ViewSet,
        engine: &mut dyn Engine,
        picture: &Picture,
        regions: &[FractionBox],
        focus: Option<FractionBox>,
    ) -> Result<&[f32], EyeError> {
        let begun = Instant::now();
        let bytes = views.view_bytes();
        for (view, buffer) in views.views().iter().zip(&mut self.views) {
            buffer.resize(regions.len() * bytes, 0);
            for (region, out) in regions.iter().zip(buffer.chunks_exact_mut(bytes)) {
                let shown = views.shown(view, *region, focus);
                self.renderer.render(picture, shown, views.input_size(), out)?;
            }
        }
        let rendered = Instant::now();
        self.probabilities.resize(regions.len() * self.leaves, 0.0);
        engine.infer(&self.views, regions.len(), &mut self.probabilities)?;
        self.time = LookTime { views: rendered - begun, inference: rendered.elapsed() };
        Ok(&self.probabilities)
    }
}
