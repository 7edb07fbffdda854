//! The C functions of `shim.cpp`, and owners for what they give.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use super::version::Flavour;

type Bytes = unsafe extern "C" fn(context: *mut c_void, data: *const c_void, size: usize);
type Say = unsafe extern "C" fn(context: *mut c_void, severity: i32, text: *const c_char);
type Step = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, i32, i32);

/// `fm_build`.
#[repr(C)]
struct BuildRequest {
    create_builder: *mut c_void,
    create_parser: *mut c_void,
    onnx: *const c_void,
    onnx_size: usize,
    workspace: u64,
    batch: i32,
    fp16: i32,
    int8: i32,
    capability: i32,
    progress: Step,
    plan: Bytes,
    context: *mut c_void,
}

/// `fm_api`.
#[repr(C)]
struct Table {
    abi: i32,
    major: i32,
    minor: i32,
    patch: i32,
    rtx: i32,
    logger_new: unsafe extern "C" fn(tell: Say, context: *mut c_void) -> *mut c_void,
    logger_free: unsafe extern "C" fn(*mut c_void),
    runtime_new: unsafe extern "C" fn(create: *mut c_void, logger: *mut c_void) -> *mut c_void,
    runtime_free: unsafe extern "C" fn(*mut c_void),
    engine_new: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void,
    engine_free: unsafe extern "C" fn(*mut c_void),
    tensor_count: unsafe extern "C" fn(*mut c_void) -> i32,
    tensor_name: unsafe extern "C" fn(*mut c_void, i32) -> *const c_char,
    tensor_is_input: unsafe extern "C" fn(*mut c_void, *const c_char) -> i32,
    tensor_type: unsafe extern "C" fn(*mut c_void, *const c_char) -> i32,
    tensor_shape: unsafe extern "C" fn(*mut c_void, *const c_char, *mut i64, i32) -> i32,
    layers: unsafe extern "C" fn(*mut c_void, Bytes, *mut c_void) -> i32,
    context_new: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    context_free: unsafe extern "C" fn(*mut c_void),
    context_shape: unsafe extern "C" fn(*mut c_void, *const c_char, *const i64, i32) -> i32,
    context_address: unsafe extern "C" fn(*mut c_void, *const c_char, *mut c_void) -> i32,
    context_enqueue: unsafe extern "C" fn(*mut c_void, *mut c_void) -> i32,
    build: unsafe extern "C" fn(*const BuildRequest, *mut c_void) -> i32,
}

const ABI: i32 = 1;

unsafe extern "C" {
    #[cfg(tensorrt_shim = "trt8")]
    fn fieldmark_tensorrt_trt8() -> *const Table;
    #[cfg(tensorrt_shim = "trt10")]
    fn fieldmark_tensorrt_trt10() -> *const Table;
    #[cfg(tensorrt_shim = "trt11")]
    fn fieldmark_tensorrt_trt11() -> *const Table;
    #[cfg(tensorrt_shim = "rtx1")]
    fn fieldmark_tensorrt_rtx1() -> *const Table;
}

/// The functions for one major version.
#[derive(Clone, Copy)]
pub(super) struct Shim {
    table: &'static Table,
}

impl Shim {
    /// All that this program was built with.
    pub(super) fn all() -> Vec<Self> {
        let tables: &[unsafe extern "C" fn() -> *const Table] = &[
            #[cfg(tensorrt_shim = "trt11")]
            fieldmark_tensorrt_trt11,
            #[cfg(tensorrt_shim = "trt10")]
            fieldmark_tensorrt_trt10,
            #[cfg(tensorrt_shim = "trt8")]
            fieldmark_tensorrt_trt8,
            #[cfg(tensorrt_shim = "rtx1")]
            fieldmark_tensorrt_rtx1,
        ];
        // SAFETY: each gives the address of a constant of its object file, laid out as `Table` is.
        let tables = tables.iter().filter_map(|table| unsafe { (*table)().as_ref() });
        tables.filter(|table| table.abi == ABI).map(|table| Self { table }).collect()
    }

    /// Which library it speaks to.
    pub(super) fn flavour(self) -> Flavour {
        Flavour { rtx: self.table.rtx != 0, major: self.table.major.unsigned_abs() }
    }

    /// Version of the headers it was compiled with.
    pub(super) fn headers(self) -> String {
        format!("{}.{}.{}", self.table.major, self.table.minor, self.table.patch)
    }
}

/// Lines of NVIDIA's log, the errors of which become reasons.
#[derive(Default)]
pub(super) struct Log {
    errors: Mutex<Vec<String>>,
}

/// Lines kept: a model that is refused is refused in a few.
const MOST_ERRORS: usize = 12;

impl Log {
    fn heard(&self, severity: i32, text: &str) {
        match severity {
            0 | 1 => {
                let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                // The parser tells its errors, and writes them to the log too.
                let told = errors.iter().any(|error| error.contains(&line));
                if errors.len() < MOST_ERRORS && !told {
                    errors.push(line);
                }
            }
            2 => tracing::debug!("TensorRT: {text}"),
            _ => tracing::trace!("TensorRT: {text}"),
        }
    }

    /// What went wrong, in NVIDIA's words.
    pub(super) fn errors(&self) -> String {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.is_empty() { "it gave no reason".into() } else { errors.join("; ") }
    }
}

/// # Safety
/// `context` is a [`Log`] and `text` a string that ends with a zero, both alive during the call.
unsafe extern "C" fn heard(context: *mut c_void, severity: i32, text: *const c_char) {
    if context.is_null() || text.is_null() {
        return;
    }
    // SAFETY: as promised above; a log takes lines from any thread.
    let (log, text) = unsafe { (&*context.cast::<Log>(), CStr::from_ptr(text)) };
    log.heard(severity, &text.to_string_lossy());
}

/// The object that the library writes its log to.
struct Logger {
    shim: Shim,
    pointer: *mut c_void,
    log: Arc<Log>,
}

// SAFETY: the object is used by the library alone, which locks what it writes to; here it is only freed.
unsafe impl Send for Logger {}
// SAFETY: as above.
unsafe impl Sync for Logger {}

impl Logger {
    fn new(shim: Shim) -> Self {
        let log = Arc::new(Log::default());
        let context = Arc::as_ptr(&log).cast_mut().cast();
        // SAFETY: the log lives as long as the object, which is freed first.
        let pointer = unsafe { (shim.table.logger_new)(heard, context) };
        Self { shim, pointer, log }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        // SAFETY: it was made by `logger_new` and everything that used it is gone: owners keep it until then.
        unsafe { (self.shim.table.logger_free)(self.pointer) }
    }
}

/// An entry point of a library: `createInferRuntime_INTERNAL` and its like.
#[derive(Clone, Copy)]
pub(super) struct Entry(pub(super) *mut c_void);

/// `IRuntime`.
pub(super) struct Runtime {
    pointer: *mut c_void,
    logger: Arc<Logger>,
}

impl Runtime {
    /// # Errors
    /// With NVIDIA's words, if the library gives none.
    ///
    /// # Safety
    /// `create` is `createInferRuntime_INTERNAL` of a library of the shim's major version that stays open.
    pub(super) unsafe fn new(shim: Shim, create: Entry) -> Result<Self, String> {
        let logger = Arc::new(Logger::new(shim));
        // SAFETY: as promised above; the logger outlives the runtime.
        let pointer = unsafe { (shim.table.runtime_new)(create.0, logger.pointer) };
        if pointer.is_null() { Err(logger.log.errors()) } else { Ok(Self { pointer, logger }) }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // SAFETY: made by `runtime_new`; engines hold the runtime, so there are none left.
        unsafe { (self.logger.shim.table.runtime_free)(self.pointer) }
    }
}

/// A tensor that a plan takes or gives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct TensorDescription {
    pub(super) name: String,
    pub(super) is_input: bool,
    /// TensorRT's number of the type: 0 is f32, 5 is u8.
    pub(super) kind: i32,
    pub(super) shape: Vec<i64>,
}

/// `ICudaEngine`.
pub(super) struct PlanEngine {
    pointer: *mut c_void,
    runtime: Runtime,
}

impl PlanEngine {
    /// # Errors
    /// With NVIDIA's words, if the plan is of another version, another device, or damaged.
    pub(super) fn new(runtime: Runtime, plan: &[u8]) -> Result<Self, String> {
        let table = runtime.logger.shim.table;
        // SAFETY: the runtime is alive and the plan's bytes are for the length of the call.
        let pointer = unsafe { (table.engine_new)(runtime.pointer, plan.as_ptr().cast(), plan.len()) };
        if pointer.is_null() { Err(runtime.logger.log.errors()) } else { Ok(Self { pointer, runtime }) }
    }

    fn table(&self) -> &'static Table {
        self.runtime.logger.shim.table
    }

    /// What it takes and gives.
    pub(super) fn tensors(&self) -> Vec<TensorDescription> {
        let table = self.table();
        // SAFETY: the engine is alive; names belong to it and are copied at once; eight sides are TensorRT's most.
        let describe = |index| unsafe {
            let name = (table.tensor_name)(self.pointer, index);
            if name.is_null() {
                return None;
            }
            let mut sides = [0; 8];
            let rank = (table.tensor_shape)(self.pointer, name, sides.as_mut_ptr(), 8);
            Some(TensorDescription {
                name: CStr::from_ptr(name).to_string_lossy().into_owned(),
                is_input: (table.tensor_is_input)(self.pointer, name) != 0,
                kind: (table.tensor_type)(self.pointer, name),
                shape: sides.into_iter().take(usize::try_from(rank).unwrap_or(0)).collect(),
            })
        };
        // SAFETY: the engine is alive.
        let count = unsafe { (table.tensor_count)(self.pointer) };
        (0..count).filter_map(describe).collect()
    }

    /// What its layers are, as the library's inspector tells: a JSON object or a name a layer.
    pub(super) fn layers(&self) -> Vec<String> {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        // SAFETY: `gathered` is given the list below, on this thread, during the call.
        unsafe { (self.table().layers)(self.pointer, gathered, (&raw mut lines).cast()) };
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }
}

/// # Safety
/// `context` is a `Vec<Vec<u8>>` that nobody else uses, `data` has `size` bytes.
unsafe extern "C" fn gathered(context: *mut c_void, data: *const c_void, size: usize) {
    if context.is_null() || data.is_null() {
        return;
    }
    // SAFETY: as promised above.
    let (lines, data) = unsafe {
        (&mut *context.cast::<Vec<Vec<u8>>>(), std::slice::from_raw_parts(data.cast::<u8>(), size))
    };
    lines.push(data.to_vec());
}

impl Drop for PlanEngine {
    fn drop(&mut self) {
        // SAFETY: made by `engine_new`; contexts hold the engine, so there are none left.
        unsafe { (self.table().engine_free)(self.pointer) }
    }
}

/// `IExecutionContext`. Used by the one thread that made it.
pub(super) struct Execution {
    pointer: *mut c_void,
    engine: PlanEngine,
}

impl Execution {
    /// # Errors
    /// With NVIDIA's words, if the device has no memory for it.
    pub(super) fn new(engine: PlanEngine) -> Result<Self, String> {
        // SAFETY: the engine is alive and held.
        let pointer = unsafe { (engine.table().context_new)(engine.pointer) };
        if pointer.is_null() { Err(engine.runtime.logger.log.errors()) } else { Ok(Self { pointer, engine }) }
    }

    pub(super) fn engine(&self) -> &PlanEngine {
        &self.engine
    }

    /// Binds `address` to the tensor `name`, which has the sides `shape`.
    ///
    /// # Errors
    /// With NVIDIA's words.
    ///
    /// # Safety
    /// `address` is memory the device can use, as large as the tensor, for as long as this is used.
    pub(super) unsafe fn bind(
        &mut self,
        tensor: &TensorDescription,
        shape: &[i64],
        address: *mut c_void,
    ) -> Result<(), String> {
        let table = self.engine.table();
        let name = CString::new(tensor.name.as_str()).map_err(|error| error.to_string())?;
        let rank = i32::try_from(shape.len()).unwrap_or(i32::MAX);
        // SAFETY: the context is alive; name and shape are for the length of the calls; the address as promised above.
        let bound = unsafe {
            let shaped = !tensor.is_input
                || (table.context_shape)(self.pointer, name.as_ptr(), shape.as_ptr(), rank) != 0;
            shaped && (table.context_address)(self.pointer, name.as_ptr(), address) != 0
        };
        if bound {
            Ok(())
        } else {
            Err(format!("{}: {}", tensor.name, self.engine.runtime.logger.log.errors()))
        }
    }

    /// Puts one run into `stream`.
    ///
    /// # Errors
    /// With NVIDIA's words.
    ///
    /// # Safety
    /// `stream` is a stream of the current CUDA context, and every tensor is bound.
    pub(super) unsafe fn enqueue(&mut self, stream: *mut c_void) -> Result<(), String> {
        // SAFETY: as promised above.
        let queued = unsafe { (self.engine.table().context_enqueue)(self.pointer, stream) };
        if queued != 0 { Ok(()) } else { Err(self.engine.runtime.logger.log.errors()) }
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        // SAFETY: made by `context_new`, and its stream has been waited for.
        unsafe { (self.engine.table().context_free)(self.pointer) }
    }
}

/// What to build.
pub(super) struct Build<'a> {
    pub(super) onnx: &'a [u8],
    pub(super) workspace: u64,
    pub(super) batch: u32,
    pub(super) fp16: bool,
    pub(super) int8: bool,
    /// Compute capability such as 86 of a GPU that need not be here; TensorRT-RTX only.
    pub(super) capability: Option<u32>,
}

/// A step of a build: its phase, the phase it is part of, its number, and how many there are.
pub(super) struct BuildStep {
    pub(super) phase: String,
    pub(super) parent: Option<String>,
    /// `None` as the phase begins.
    pub(super) step: Option<u32>,
    /// Known as the phase begins; 0 as it ends.
    pub(super) steps: Option<u32>,
}

struct Building<'a> {
    tell: Mutex<&'a mut (dyn FnMut(BuildStep) + Send)>,
    plan: Mutex<Vec<u8>>,
}

impl Build<'_> {
    /// The plan.
    ///
    /// # Errors
    /// With NVIDIA's words, if parser or builder refuse the model.
    ///
    /// # Safety
    /// The entries are `createInferBuilder_INTERNAL` and `createNvOnnxParser_INTERNAL` of libraries of the shim's major
    /// version that stay open.
    pub(super) unsafe fn run(
        &self,
        shim: Shim,
        builder: Entry,
        parser: Entry,
        tell: &mut (dyn FnMut(BuildStep) + Send),
    ) -> Result<Vec<u8>, String> {
        let logger = Logger::new(shim);
        let building = Building { tell: Mutex::new(tell), plan: Mutex::default() };
        let request = BuildRequest {
            create_builder: builder.0,
            create_parser: parser.0,
            onnx: self.onnx.as_ptr().cast(),
            onnx_size: self.onnx.len(),
            workspace: self.workspace,
            batch: i32::try_from(self.batch).unwrap_or(1),
            fp16: self.fp16.into(),
            int8: self.int8.into(),
            capability: self.capability.and_then(|capability| i32::try_from(capability).ok()).unwrap_or(0),
            progress: stepped,
            plan: planned,
            context: (&raw const building).cast_mut().cast(),
        };
        // SAFETY: everything the request points to lives until the call returns, entries as promised above.
        let built = unsafe { (shim.table.build)(&raw const request, logger.pointer) };
        let plan = building.plan.into_inner().unwrap_or_else(PoisonError::into_inner);
        if built == 0 { Err(logger.log.errors()) } else { Ok(plan) }
    }
}

/// # Safety
/// `context` is a [`Building`], texts end with a zero or are null.
unsafe extern "C" fn stepped(
    context: *mut c_void,
    phase: *const c_char,
    parent: *const c_char,
    step: i32,
    steps: i32,
) {
    if context.is_null() || phase.is_null() {
        return;
    }
    // SAFETY: as promised above.
    let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: as promised above; calls from several threads wait for the lock.
    let building = unsafe { &*context.cast::<Building<'_>>() };
    let parent = (!parent.is_null()).then(|| text(parent));
    let (step, steps) = (u32::try_from(step).ok(), u32::try_from(steps).ok());
    let mut tell = building.tell.lock().unwrap_or_else(PoisonError::into_inner);
    (*tell)(BuildStep { phase: text(phase), parent, step, steps });
}

/// # Safety
/// `context` is a [`Building`], `data` has `size` bytes.
unsafe extern "C" fn planned(context: *mut c_void, data: *const c_void, size: usize) {
    if context.is_null() || data.is_null() {
        return;
    }
    // SAFETY: as promised above.
    let (building, data) =
        unsafe { (&*context.cast::<Building<'_>>(), std::slice::from_raw_parts(data.cast::<u8>(), size)) };
    building.plan.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::super::library::TensorRt;
    use super::*;

    /// TensorRT's constructors give small numbers where there is no GPU, which are no objects.
    #[test]
    fn a_runtime_without_a_gpu_is_an_error_and_no_pointer() {
        let Some(place) = std::env::var_os("FIELDMARK_TENSORRT_PARTS") else {
            eprintln!("SKIPPED: tests/engines/run fetches the libraries");
            return;
        };
        if std::path::Path::new("/dev/nvidiactl").exists() {
            eprintln!("SKIPPED: there is a GPU here");
            return;
        }
        for part in ["lean-10", "lean-11"] {
            let library = TensorRt::open(Some(&std::path::Path::new(&place).join(part))).expect("a library");
            let entry = library.runtime_entry().expect("an entry");
            // SAFETY: the entry is of the library's own name, its major version was compared with the shim's.
            let reason = unsafe { Runtime::new(library.shim, entry) }.err().expect("no runtime");
            println!("{part} {}: {reason}", library.version);
            assert!(library.builder_entries().is_err(), "the lean library builds nothing");
        }
    }
}
