//! Views of a region into an engine, through buffers that are used again.

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

/// The memory between a picture and an engine. It grows to the most regions that were looked at together.
pub struct Eye {
    renderer: ViewRenderer,
    views: Vec<Vec<u8>>,
    probabilities: Vec<f32>,
    leaves: usize,
}

impl Eye {
    /// Memory for regions seen in `views`, answered for `leaves` leaves.
    #[must_use]
    pub fn new(views: &ViewSet, leaves: usize) -> Self {
        let buffers = views.views().iter().map(|_| vec![0; views.view_bytes()]).collect();
        Self { renderer: ViewRenderer::new(), views: buffers, probabilities: vec![0.0; leaves], leaves }
    }

    /// What was last seen: `[regions, leaves]`.
    #[must_use]
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
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
        self.look_at_all(views, engine, picture, &std::iter::once((region, focus)))
    }

    /// Leaf probabilities `[regions, leaves]` of `regions` of `picture`, each with its focus, in one batch.
    ///
    /// # Errors
    /// If a view cannot be made, or the engine fails.
    pub fn look_at_all(
        &mut self,
        views: &ViewSet,
        engine: &mut dyn Engine,
        picture: &Picture,
        regions: &(impl ExactSizeIterator<Item = (FractionBox, Option<FractionBox>)> + Clone),
    ) -> Result<&[f32], EyeError> {
        let (count, bytes) = (regions.len(), views.view_bytes());
        self.probabilities.resize(count * self.leaves, 0.0);
        for (view, buffer) in views.views().iter().zip(&mut self.views) {
            buffer.resize(count * bytes, 0);
            for ((region, focus), out) in regions.clone().zip(buffer.chunks_exact_mut(bytes)) {
                let shown = views.shown(view, region, focus);
                self.renderer.render(picture, shown, views.input_size(), out)?;
            }
        }
        if count > 0 {
            engine.infer(&self.views, count, &mut self.probabilities)?;
        }
        Ok(&self.probabilities)
    }
}
