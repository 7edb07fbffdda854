//! The project's float engine on any values of a graph, for many pictures at once.

use fieldmark_models::onnx::{Graph, Model, ValueInfo};
use fieldmark_models::picture::Picture;
use fieldmark_models::taxonomy::TaxonIndex;
use fieldmark_models::views::{FractionBox, ViewRenderer, ViewSet};
use prost::Message as _;
use rayon::prelude::*;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::optim::Optimizer;

use super::QuantiseError;

/// A picture as the network sees it, and what is on it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// One `[H, W, 3]` RGB picture a view.
    pub views: Vec<Vec<u8>>,
    /// The lowest taxon of its label that the model knows.
    pub truth: TaxonIndex,
    /// Pictures of one individual share it.
    pub group: usize,
}

impl Sample {
    /// Cuts the views of the whole of `picture`.
    ///
    /// # Errors
    /// If a view cannot be cut.
    pub fn new(
        picture: &Picture,
        views: &ViewSet,
        truth: TaxonIndex,
        group: usize,
    ) -> Result<Self, QuantiseError> {
        let mut renderer = ViewRenderer::new();
        let mut bytes = Vec::with_capacity(views.views().len());
        for view in views.views() {
            let mut shown = vec![0; views.view_bytes()];
            renderer.render(
                picture,
                views.shown(view, FractionBox::FRAME, None),
                views.input_size(),
                &mut shown,
            )?;
            bytes.push(shown);
        }
        Ok(Self { views: bytes, truth, group })
    }
}

/// A float graph, ready to run one picture at a time.
pub struct Engine {
    plan: Arc<TypedRunnableModel>,
    side: usize,
}

impl Engine {
    /// Loads `graph`, written as `model` is, to give the values `outputs`.
    ///
    /// # Errors
    /// If the engine refuses it.
    pub fn new(
        model: &Model,
        graph: &Graph,
        outputs: &[String],
        views: &ViewSet,
    ) -> Result<Self, QuantiseError> {
        let output = |name: &String| ValueInfo { name: name.clone(), value_type: None };
        let graph = Graph { output: outputs.iter().map(output).collect(), ..graph.clone() };
        let bytes = Model { graph: Some(graph), ..model.clone() }.encode_to_vec();
        let side = views.input_size() as usize;
        let mut loaded = tract_onnx::onnx().model_for_read(&mut std::io::Cursor::new(bytes))?;
        for input in 0..views.views().len() {
            loaded = loaded.with_input_fact(input, u8::fact([1, side, side, 3]).into())?;
        }
        let mut model = loaded.into_typed()?;
        for optimizer in [Optimizer::declutter(), Optimizer::codegen()] {
            without_merging(optimizer).optimize(&mut model)?;
        }
        Ok(Self { plan: model.into_runnable()?, side })
    }

    /// The values for one picture.
    ///
    /// # Errors
    /// If the engine fails, or a value is not of floats.
    pub fn run(&self, sample: &Sample) -> Result<Vec<Vec<f32>>, QuantiseError> {
        let shape = [1, self.side, self.side, 3];
        let inputs = sample.views.iter().map(|view| Ok(Tensor::from_shape(&shape, view)?.into()));
        let values = self.plan.run(inputs.collect::<TractResult<TVec<TValue>>>()?)?;
        let floats = |value: &TValue| Ok(value.to_plain_array_view::<f32>()?.iter().copied().collect());
        Ok(values.iter().map(floats).collect::<TractResult<_>>()?)
    }

    /// The first value for every picture.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn rows(&self, samples: &[Sample]) -> Result<Vec<Vec<f32>>, QuantiseError> {
        samples
            .par_iter()
            .map(|sample| Ok(self.run(sample)?.into_iter().next().unwrap_or_default()))
            .collect()
    }

    /// The mean of every value over all pictures, element by element.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn means(&self, samples: &[Sample]) -> Result<Vec<Vec<f64>>, QuantiseError> {
        let share = 1.0 / samples.len().max(1) as f64;
        let add = |mut sum: Vec<Vec<f64>>, values: Vec<Vec<f64>>| {
            if sum.is_empty() {
                return values;
            }
            for (sum, values) in sum.iter_mut().zip(values) {
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            sum
        };
        let one = |sample: &Sample| {
            let values = self.run(sample)?;
            let scaled = |value: Vec<f32>| value.into_iter().map(|value| f64::from(value) * share).collect();
            Ok(values.into_iter().map(scaled).collect::<Vec<Vec<f64>>>())
        };
        samples.par_iter().map(one).try_reduce(Vec::new, |sum, values| Ok(add(sum, values)))
    }
}

/// `optimizer` less the pass that looks for nodes that compute the same: it compares the weights of all that read one value,
/// again after every step, and beside a layer of the graph stand up to four copies. There a network of full size would keep
/// it busy for hours, and no two copies are the same.
fn without_merging(mut optimizer: Optimizer) -> Optimizer {
    optimizer.passes.retain(|pass| format!("{pass:?}") != "PushSplitDown");
    optimizer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pass_that_is_left_out_is_one_that_the_optimiser_has() {
        for all in [Optimizer::declutter, Optimizer::codegen] {
            assert_eq!(without_merging(all()).passes.len() + 1, all().passes.len());
        }
    }
}
