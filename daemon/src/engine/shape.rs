//! The buffers an engine is given.

use fieldmark_models::views::ViewSet;

use super::EngineError;

/// How large the buffers of one region are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Side of every view, pixels.
    pub side: usize,
    /// Views.
    pub views: usize,
    /// Leaves.
    pub leaves: usize,
}

impl Shape {
    /// Of a model that looks through `views` and answers for `leaves` leaves.
    #[must_use]
    pub fn new(views: &ViewSet, leaves: usize) -> Self {
        Self { side: views.input_size() as usize, views: views.views().len(), leaves }
    }

    /// Bytes of one view of one region.
    #[must_use]
    pub fn view_bytes(&self) -> usize {
        self.side * self.side * 3
    }

    /// Whether the buffers of a call fit.
    ///
    /// # Errors
    /// With the first that does not.
    pub fn check(&self, views: &[Vec<u8>], regions: usize, probabilities: &[f32]) -> Result<(), EngineError> {
        fits("the list of views", views.len(), self.views)?;
        views.iter().try_for_each(|view| fits("a view", view.len(), regions * self.view_bytes()))?;
        fits("the output", probabilities.len(), regions * self.leaves)
    }
}

fn fits(what: &'static str, found: usize, needed: usize) -> Result<(), EngineError> {
    if found == needed { Ok(()) } else { Err(EngineError::Buffer { what, found, needed }) }
}
