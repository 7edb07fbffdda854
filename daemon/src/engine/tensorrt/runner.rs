//! The thread that owns context and stream. Buffers are bound once; host and device share them, so nothing is copied
//! between them; what one call does is recorded as a CUDA graph and launched as one, where all layers can be recorded.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fieldmark_models::package::PROBABILITIES;

use super::TensorRtError;
use super::cuda::{Context, Cuda, Recording, Shared, Stream};
use super::library::TensorRt;
use super::plan_cache::Plan;
use super::shim::{Execution, PlanEngine, Runtime};
use crate::engine::Shape;

const TYPE_F32: i32 = 0;
const TYPE_U8: i32 = 5;

/// Views in, probabilities out. Caller and thread take turns, so nobody waits for the lock.
struct Buffers {
    /// In the order of the model's inputs.
    views: Vec<Shared>,
    probabilities: Shared,
}

fn lock(buffers: &Mutex<Buffers>) -> MutexGuard<'_, Buffers> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread tells once it is ready.
struct Ready {
    buffers: Arc<Mutex<Buffers>>,
    layers: Vec<String>,
    recorded: bool,
}

/// What a plan has to be.
pub(super) struct Wanted {
    /// Names of the inputs in the order of the model.
    pub(super) views: Vec<String>,
    /// Of a region.
    pub(super) shape: Shape,
    /// Regions in every call.
    pub(super) batch: usize,
}

/// A plan on its thread.
pub(super) struct Runner {
    go: Option<SyncSender<()>>,
    done: Receiver<Result<(), String>>,
    /// Given back before the thread ends, which frees them in their context.
    buffers: Option<Arc<Mutex<Buffers>>>,
    thread: Option<JoinHandle<()>>,
    shape: Shape,
    /// What the inspector tells of the plan's layers.
    pub(super) layers: Vec<String>,
    /// Whether a call is one launch.
    pub(super) recorded: bool,
}

impl Runner {
    /// Loads `plan` on a thread of its own.
    ///
    /// # Errors
    /// If the plan does not load, or is not what is wanted.
    pub(super) fn start(libraries: Option<&Path>, plan: Plan, wanted: Wanted) -> Result<Self, TensorRtError> {
        let library = TensorRt::open(libraries)?;
        let shape = wanted.shape;
        let (go, gone) = sync_channel(1);
        let (told, done) = sync_channel(1);
        let (ready, readied) = sync_channel(1);
        let serve = move || match Work::new(&library, &plan, &wanted) {
            Ok((mut work, told_ready)) => {
                drop(plan);
                let _ = ready.send(Ok(told_ready));
                while gone.recv().is_ok() && told.send(work.once()).is_ok() {}
            }
            Err(reason) => {
                let _ = ready.send(Err(TensorRtError::Plan { reason }));
            }
        };
        let lost = |reason: String| TensorRtError::Plan { reason };
        let thread = std::thread::Builder::new().name("tensorrt".into()).spawn(serve);
        let thread = thread.map_err(|error| lost(format!("the system gives no thread: {error}")))?;
        let Ready { buffers, layers, recorded } =
            readied.recv().map_err(|_| lost("its thread ended".into()))??;
        let buffers = Some(buffers);
        Ok(Self { go: Some(go), done, buffers, thread: Some(thread), shape, layers, recorded })
    }

    /// Runs the regions of `views` from `first` on, as many as `out` has room for.
    ///
    /// # Errors
    /// In words: a call that failed leaves nothing behind.
    pub(super) fn run(&self, views: &[Vec<u8>], first: usize, out: &mut [f32]) -> Result<(), String> {
        let lost = || "the engine's thread ended".to_owned();
        let (bytes, count) = (self.shape.view_bytes(), out.len() / self.shape.leaves);
        let shared = self.buffers.as_deref().ok_or_else(lost)?;
        for (view, buffer) in views.iter().zip(&mut lock(shared).views) {
            let regions = view.get(first * bytes..(first + count) * bytes).unwrap_or_default();
            buffer.bytes_mut()[..regions.len()].copy_from_slice(regions);
        }
        self.go.as_ref().ok_or_else(lost)?.send(()).map_err(|_| lost())?;
        self.done.recv().map_err(|_| lost())??;
        let buffers = lock(shared);
        for (out, bytes) in out.iter_mut().zip(buffers.probabilities.bytes().as_chunks::<4>().0) {
            *out = f32::from_ne_bytes(*bytes);
        }
        Ok(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.buffers = None;
        self.go = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has; freed in this order.
struct Work {
    recording: Option<Recording>,
    execution: Execution,
    stream: Stream,
    _buffers: Arc<Mutex<Buffers>>,
    _context: Context,
}

impl Work {
    fn new(library: &TensorRt, plan: &Plan, wanted: &Wanted) -> Result<(Self, Ready), String> {
        let cuda = Cuda::open().map_err(|error| error.to_string())?;
        let context = cuda.enter()?;
        let entry = library.runtime_entry()?;
        // SAFETY: the entry is of the library's own name, its major version was compared with the shim's.
        let runtime = unsafe { Runtime::new(library.shim, entry) }?;
        let engine = PlanEngine::new(runtime, &plan.bytes)?;
        if engine.tensors() != plan.tensors {
            return Err("it takes and gives other tensors than were written beside it".into());
        }
        let layers = engine.layers();
        let mut execution = Execution::new(engine)?;
        let buffers = bind(&context, &mut execution, wanted)?;
        let stream = context.stream()?;
        let mut work =
            Self { recording: None, execution, stream, _buffers: Arc::clone(&buffers), _context: context };
        // The first call allocates what a recording must not.
        work.once()?;
        work.record();
        let ready = Ready { buffers, layers, recorded: work.recording.is_some() };
        Ok((work, ready))
    }

    fn record(&mut self) {
        let (execution, stream) = (&mut self.execution, &self.stream);
        // SAFETY: the stream is of the current context, and everything was bound.
        let recorded = stream.record(|| unsafe { execution.enqueue(stream.pointer()) });
        match recorded {
            Ok(recording) => self.recording = Some(recording),
            Err(reason) => tracing::info!("calls are not recorded as a CUDA graph: {reason}"),
        }
    }

    fn once(&mut self) -> Result<(), String> {
        if let Some(recording) = &self.recording {
            let launched = self.stream.launch(recording).and_then(|()| self.stream.wait());
            if let Err(reason) = launched {
                tracing::warn!("a recorded call failed, the next ones are made one by one: {reason}");
                self.recording = None;
                return Err(reason);
            }
            return Ok(());
        }
        // SAFETY: the stream is of the current context, and everything was bound.
        unsafe { self.execution.enqueue(self.stream.pointer()) }?;
        self.stream.wait()
    }
}

/// Memory for every tensor, bound once.
fn bind(
    context: &Context,
    execution: &mut Execution,
    wanted: &Wanted,
) -> Result<Arc<Mutex<Buffers>>, String> {
    let Wanted { views, shape, batch } = wanted;
    let side = |side: usize| i64::try_from(side).unwrap_or(i64::MAX);
    let view = [side(*batch), side(shape.side), side(shape.side), 3];
    let output = [side(*batch), side(shape.leaves)];
    let mut memory = Vec::new();
    for name in views {
        memory.push(bind_one(context, execution, name, TYPE_U8, &view, batch * shape.view_bytes())?);
    }
    let bytes = batch * shape.leaves * 4;
    let probabilities = bind_one(context, execution, PROBABILITIES, TYPE_F32, &output, bytes)?;
    if execution.engine().tensors().len() != views.len() + 1 {
        return Err("it has other tensors than the model".into());
    }
    Ok(Arc::new(Mutex::new(Buffers { views: memory, probabilities })))
}

fn bind_one(
    context: &Context,
    execution: &mut Execution,
    name: &str,
    kind: i32,
    shape: &[i64],
    bytes: usize,
) -> Result<Shared, String> {
    let tensors = execution.engine().tensors();
    let tensor = tensors.iter().find(|tensor| tensor.name == name && tensor.kind == kind);
    let tensor = tensor.ok_or_else(|| format!("it has no tensor {name} of the model's type"))?;
    let fixed = |(&own, &wanted): (&i64, &i64)| own == wanted || own == -1;
    if tensor.shape.len() != shape.len() || !tensor.shape.iter().zip(shape).all(fixed) {
        return Err(format!("{name} has the shape {:?}, the model {shape:?}", tensor.shape));
    }
    let memory = context.shared(bytes)?;
    // SAFETY: the memory is as large as the shape, and lives in buffers that the work keeps until after the execution.
    unsafe { execution.bind(tensor, shape, memory.device()) }?;
    Ok(memory)
}
