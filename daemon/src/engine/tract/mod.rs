//! The engine that needs nothing installed: tract, float32, on the processor.
//!
//! A multi-view graph runs as what it is: its columns are plans of their own that run beside each other, then the
//! tail. Several regions run beside each other as well.

mod split;

use std::sync::Arc;

use fieldmark_models::package::MODEL;
use rayon::prelude::*;
use tract_onnx::prelude::*;

use super::{Engine, EngineError, EngineKind, Precision, Shape, TractSettings};

const NAME: &str = "tract-f32";

/// The network, optimised for one region at a time: tract's plans are made for fixed shapes, and cameras bring
/// one region at a time.
pub struct TractEngine {
    plans: Plans,
    /// `None` where everything runs on the caller's thread.
    pool: Option<rayon::ThreadPool>,
    threads: usize,
    shape: Shape,
}

enum Plans {
    Whole(Arc<TypedRunnableModel>),
    Split { columns: Vec<Arc<TypedRunnableModel>>, tail: Arc<TypedRunnableModel> },
}

fn failed(attempt: &'static str) -> impl Fn(TractError) -> EngineError {
    move |error| EngineError::Graph {
        engine: EngineKind::Tract,
        attempt,
        file: MODEL,
        reason: format!("{error:#}"),
    }
}

impl TractEngine {
    /// Reads and optimises the graph in `onnx`. The bytes are freed before the optimiser makes its own copies of the
    /// weights.
    ///
    /// # Errors
    /// If the graph uses what tract does not know, its shapes do not work out, or the system gives no threads.
    pub fn new(onnx: Vec<u8>, shape: Shape, settings: &TractSettings) -> Result<Self, EngineError> {
        let proto = tract_onnx::onnx().proto_model_for_read(&mut &onnx[..]).map_err(failed("read"))?;
        drop(onnx);
        let model = tract_onnx::onnx().with_ignore_output_shapes(true).model_for_proto_model(&proto);
        let mut model = model.map_err(failed("understand"))?;
        drop(proto);
        for input in 0..shape.views {
            let fact = InferenceFact::dt_shape(u8::datum_type(), [1, shape.side, shape.side, 3]);
            model = model.with_input_fact(input, fact).map_err(failed("shape the inputs of"))?;
        }
        let model = model.into_optimized().map_err(failed("optimise"))?;
        let threads = settings.threads.unwrap_or_else(|| cores().min(shape.views));
        let plans = Plans::new(model, threads).map_err(failed("plan"))?;
        Ok(Self { plans, pool: pool(threads)?, threads, shape })
    }

    fn run(&self, views: &[Vec<u8>], out: &mut [f32]) -> TractResult<()> {
        let region = |(region, out): (usize, &mut [f32])| self.region(views, region, out);
        let rows = self.shape.leaves;
        match &self.pool {
            None => out.chunks_mut(rows).enumerate().try_for_each(region),
            Some(pool) => pool.install(|| out.par_chunks_mut(rows).enumerate().try_for_each(region)),
        }
    }

    fn region(&self, views: &[Vec<u8>], region: usize, out: &mut [f32]) -> TractResult<()> {
        let (side, bytes) = (self.shape.side, self.shape.view_bytes());
        let input = |view: &Vec<u8>| {
            let pixels = view.get(region * bytes..(region + 1) * bytes).unwrap_or_default();
            Tensor::from_shape(&[1, side, side, 3], pixels)
        };
        let outputs = match &self.plans {
            Plans::Whole(plan) => {
                plan.run(views.iter().map(|view| Ok(input(view)?.into())).collect::<TractResult<_>>()?)?
            }
            Plans::Split { columns, tail } => {
                let column = |(plan, view): (&Arc<TypedRunnableModel>, &Vec<u8>)| {
                    let ends = plan.run(tvec!(input(view)?.into()))?;
                    Ok(ends.into_iter().map(TValue::into_tensor).collect::<Vec<_>>())
                };
                let ends: TractResult<Vec<Vec<Tensor>>> = columns.par_iter().zip(views).map(column).collect();
                tail.run(ends?.into_iter().flatten().map(Into::into).collect())?
            }
        };
        let Some(probabilities) = outputs.first() else { return Ok(()) };
        let probabilities = probabilities.to_plain_array_view::<f32>()?;
        out.iter_mut().zip(probabilities.iter()).for_each(|(out, &value)| *out = value);
        Ok(())
    }
}

impl Plans {
    fn new(model: TypedModel, threads: usize) -> TractResult<Self> {
        let parts = if threads > 1 { split::split(&model)? } else { None };
        let Some(parts) = parts else { return Ok(Self::Whole(model.into_runnable()?)) };
        drop(model);
        let columns = parts.columns.into_iter().map(IntoRunnable::into_runnable);
        Ok(Self::Split { columns: columns.collect::<TractResult<_>>()?, tail: parts.tail.into_runnable()? })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn pool(threads: usize) -> Result<Option<rayon::ThreadPool>, EngineError> {
    if threads < 2 {
        return Ok(None);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("tract-{n}"));
    let missing = |error| EngineError::Missing {
        engine: EngineKind::Tract,
        reason: format!("the system gives no {threads} threads: {error}; set tract.threads = 1"),
    };
    pool.build().map(Some).map_err(missing)
}

impl Engine for TractEngine {
    fn name(&self) -> &str {
        NAME
    }

    fn precision(&self) -> Precision {
        Precision::F32
    }

    fn batch(&self) -> usize {
        self.threads.max(1)
    }

    fn infer(
        &mut self,
        views: &[Vec<u8>],
        regions: usize,
        probabilities: &mut [f32],
    ) -> Result<(), EngineError> {
        self.shape.check(views, regions, probabilities)?;
        self.run(views, probabilities).map_err(failed("run"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fieldmark_models::package::Package;

    use super::*;

    /// The shipped package's network, for `threads` threads.
    fn shipped(threads: usize) -> TractEngine {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/packages");
        let package = Package::open(&folder.join("garden-0.1.0.fieldmark")).expect("the shipped package");
        let shape = Shape::new(package.views(), package.taxonomy().leaf_count());
        let onnx = package.file(MODEL).expect("a model").to_vec();
        TractEngine::new(onnx, shape, &TractSettings { threads: Some(threads) }).expect("an engine")
    }

    #[test]
    fn the_shipped_networks_columns_are_plans_that_can_run_beside_each_other() {
        let engine = shipped(2);
        let Plans::Split { columns, tail } = &engine.plans else { panic!("the network was not cut") };
        assert_eq!(columns.len(), engine.shape.views);
        // Nearly everything is in the columns; a cut that left it in the tail would gain nothing.
        let nodes = |plan: &Arc<TypedRunnableModel>| plan.model().nodes().len();
        let least = columns.iter().map(nodes).min().unwrap_or_default();
        assert!(least > 5 * nodes(tail), "{least} nodes in a column, {} in the tail", nodes(tail));
        assert!(matches!(shipped(1).plans, Plans::Whole(_)));
    }
}
