//! ONNX Runtime: a library that is opened at run time, where it is installed.

mod library;

use std::borrow::Cow;

use fieldmark_models::onnx::with_unsigned_activations;
use fieldmark_models::package::{MODEL, MODEL_INT8, Package};
use ort::ep;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::Tensor;

use super::{Engine, EngineError, EngineKind, OnnxRuntimeSettings, Precision, Provider, Shape};

const ENGINE: EngineKind = EngineKind::OnnxRuntime;
const OUTPUT: &str = fieldmark_models::package::PROBABILITIES;

/// A session with tensors of its own, which are used again from call to call.
pub struct OnnxRuntimeEngine {
    session: Session,
    name: String,
    file: &'static str,
    precision: Precision,
    shape: Shape,
    /// For the number of regions last given.
    tensors: Option<Tensors>,
}

/// Memory for so many regions. Views are copied into it: to lend the caller's memory, `ort` would allocate.
struct Tensors {
    regions: usize,
    inputs: Vec<SessionInputValue<'static>>,
    options: RunOptions<HasSelectedOutputs>,
}

impl Tensors {
    fn new(shape: Shape, regions: usize) -> ort::Result<Self> {
        let memory = ort::memory::Allocator::default();
        let input = |_| Ok(Tensor::<u8>::new(&memory, [regions, shape.side, shape.side, 3])?.into());
        let inputs = (0..shape.views).map(input).collect::<ort::Result<_>>()?;
        let output = Tensor::<f32>::new(&memory, [regions, shape.leaves])?;
        let outputs = OutputSelector::default().preallocate(OUTPUT, output);
        Ok(Self { regions, inputs, options: RunOptions::new()?.with_outputs(outputs) })
    }
}

impl OnnxRuntimeEngine {
    /// A session for the model of `package` that `settings` ask for.
    ///
    /// # Errors
    /// If there is no library, no such model, or the library refuses it.
    pub fn new(package: &Package, settings: &OnnxRuntimeSettings, shape: Shape) -> Result<Self, EngineError> {
        let environment = library::environment(settings.library.as_deref())
            .map_err(|reason| EngineError::Missing { engine: ENGINE, reason })?;
        let file = if settings.precision == Precision::Int8 { MODEL_INT8 } else { MODEL };
        let onnx = package.file(file).ok_or(EngineError::NoFile {
            engine: ENGINE,
            file,
            precision: settings.precision,
        })?;
        let failed = |attempt| move |reason| EngineError::Graph { engine: ENGINE, attempt, file, reason };
        let mut builder = builder(environment, settings).map_err(failed("be set up for"))?;
        // Other providers have kernels for what the package holds.
        let unsigned =
            settings.providers.is_empty() && settings.precision == Precision::Int8 && multiplies_bytes();
        let onnx = if unsigned { with_unsigned_activations(onnx) } else { Cow::Borrowed(onnx) };
        let session = builder.commit_from_memory(&onnx).map_err(|error| failed("load")(error.to_string()))?;
        let provider = settings.providers.first().map(|provider| format!("-{}", provider.as_str()));
        let name = format!("{ENGINE}{}-{}", provider.unwrap_or_default(), settings.precision);
        Ok(Self { session, name, file, precision: settings.precision, shape, tensors: None })
    }

    fn run(&mut self, views: &[Vec<u8>], regions: usize, out: &mut [f32]) -> ort::Result<()> {
        let tensors = match &mut self.tensors {
            Some(tensors) if tensors.regions == regions => tensors,
            other => other.insert(Tensors::new(self.shape, regions)?),
        };
        for (input, view) in tensors.inputs.iter_mut().zip(views) {
            if let SessionInputValue::Owned(value) = input {
                let (_, pixels) = value.try_extract_tensor_mut::<u8>()?;
                pixels.copy_from_slice(view);
            }
        }
        let outputs = self.session.run_with_options(&tensors.inputs[..], &tensors.options)?;
        let (_, probabilities) = outputs[OUTPUT].try_extract_tensor::<f32>()?;
        out.copy_from_slice(probabilities);
        Ok(())
    }
}

/// Whether the processor sums products of unsigned and signed bytes in 32 bits. Older ones of Intel and AMD sum pairs in 16,
/// which overflow; ONNX Runtime has a setting against that, but then it refuses graphs whose layers share weights.
fn multiplies_bytes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

fn builder(
    environment: &ort::environment::Environment,
    settings: &OnnxRuntimeSettings,
) -> Result<SessionBuilder, String> {
    fn said<E: std::fmt::Display>(error: E) -> String {
        error.to_string()
    }
    let mut builder = Session::builder(environment).map_err(said)?;
    builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(said)?;
    // Threads that wait for work by spinning heat a field computer between frames.
    builder = builder.with_intra_op_spinning(false).map_err(said)?;
    if let Some(threads) = settings.threads {
        builder = builder.with_intra_threads(threads).map_err(said)?;
    }
    let providers: Vec<_> = settings.providers.iter().map(|provider| dispatch(*provider, settings)).collect();
    builder.with_execution_providers(providers).map_err(said)
}

fn dispatch(provider: Provider, settings: &OnnxRuntimeSettings) -> ep::ExecutionProviderDispatch {
    let dispatch = match provider {
        Provider::OpenVino => {
            // Left to itself it computes in bfloat16 where the processor has that.
            let openvino = ep::OpenVINO::default().with_device_type("CPU").with_precision("ACCURACY");
            match settings.threads {
                Some(threads) => openvino.with_num_threads(threads).build(),
                None => openvino.build(),
            }
        }
        Provider::Xnnpack => ep::XNNPACK::default().build(),
        Provider::Cuda => ep::CUDA::default().build(),
    };
    dispatch.error_on_failure()
}

impl Engine for OnnxRuntimeEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn batch(&self) -> usize {
        1
    }

    fn infer(
        &mut self,
        views: &[Vec<u8>],
        regions: usize,
        probabilities: &mut [f32],
    ) -> Result<(), EngineError> {
        self.shape.check(views, regions, probabilities)?;
        let file = self.file;
        self.run(views, regions, probabilities).map_err(|error| EngineError::Graph {
            engine: ENGINE,
            attempt: "run",
            file,
            reason: error.to_string(),
        })
    }
}
