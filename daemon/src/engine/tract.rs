//! The engine that needs nothing installed: tract, float32, on the CPU.

use std::sync::Arc;

use fieldmark_models::views::ViewSet;
use tract_onnx::prelude::*;

use super::{Engine, EngineError};

const NAME: &str = "tract-f32";

/// The network, optimised for one region at a time: tract's plans are made for fixed shapes, and cameras bring
/// one region at a time.
pub struct TractEngine {
    plan: Arc<TypedRunnableModel>,
    input_size: usize,
    views: usize,
    leaves: usize,
}

impl TractEngine {
    /// Reads and optimises the graph in `onnx`, which answers for `leaves` leaves. The bytes are freed before the
    /// optimiser makes its own copies of the weights.
    ///
    /// # Errors
    /// If the graph uses what tract does not know, or its shapes do not work out.
    pub fn new(onnx: Vec<u8>, views: &ViewSet, leaves: usize) -> Result<Self, EngineError> {
        let failed = |attempt: &'static str| {
            move |error: TractError| EngineError::Graph {
                engine: NAME,
                attempt,
                reason: format!("{error:#}"),
            }
        };
        let proto = tract_onnx::onnx().proto_model_for_read(&mut &onnx[..]).map_err(failed("read"))?;
        drop(onnx);
        let model = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_proto_model(&proto);
        let mut model = model.map_err(failed("understand"))?;
        drop(proto);
        let size = views.input_size() as usize;
        for input in 0..views.views().len() {
            let fact = InferenceFact::dt_shape(u8::datum_type(), [1, size, size, 3]);
            model = model.with_input_fact(input, fact).map_err(failed("shape the inputs of"))?;
        }
        let plan =
            model.into_optimized().and_then(IntoRunnable::into_runnable).map_err(failed("optimise"))?;
        Ok(Self { plan, input_size: size, views: views.views().len(), leaves })
    }

    fn run(&self, views: &[Vec<u8>], region: usize, out: &mut [f32]) -> TractResult<()> {
        let (size, bytes) = (self.input_size, self.input_size * self.input_size * 3);
        let mut inputs: TVec<TValue> = tvec!();
        for view in views {
            let pixels = view.get(region * bytes..(region + 1) * bytes).unwrap_or_default();
            inputs.push(Tensor::from_shape(&[1, size, size, 3], pixels)?.into());
        }
        let outputs = self.plan.run(inputs)?;
        let Some(probabilities) = outputs.first() else { return Ok(()) };
        let probabilities = probabilities.to_plain_array_view::<f32>()?;
        out.iter_mut().zip(probabilities.iter()).for_each(|(out, &value)| *out = value);
        Ok(())
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(
        &mut self,
        views: &[Vec<u8>],
        regions: usize,
        probabilities: &mut [f32],
    ) -> Result<(), EngineError> {
        check("the list of views", views.len(), self.views)?;
        for view in views {
            check("a view", view.len(), regions * self.input_size * self.input_size * 3)?;
        }
        check("the output", probabilities.len(), regions * self.leaves)?;
        for (region, out) in probabilities.chunks_mut(self.leaves).enumerate() {
            self.run(views, region, out).map_err(|error| EngineError::Graph {
                engine: NAME,
                attempt: "run",
                reason: format!("{error:#}"),
            })?;
        }
        Ok(())
    }
}

fn check(what: &str, found: usize, needed: usize) -> Result<(), EngineError> {
    if found == needed { Ok(()) } else { Err(EngineError::Buffer { what: what.into(), found, needed }) }
}
