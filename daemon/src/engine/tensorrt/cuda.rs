//! The few functions of CUDA's driver that an engine needs. The toolkit's own runtime library is not.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use libloading::Library;
use serde::{Deserialize, Serialize};

use super::TensorRtError;

const NAME: &str = "libcuda.so.1";

const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
const COMPUTE_CAPABILITY_MINOR: c_int = 76;
const CAN_MAP_HOST_MEMORY: c_int = 19;
/// Memory of the host that the device sees too.
const DEVICE_MAP: c_uint = 2;
const NON_BLOCKING: c_uint = 1;
/// Only what this thread does counts against a capture.
const THREAD_LOCAL: c_int = 1;

/// The device that plans are built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Compute capability, such as `8.7`.
    pub capability: String,
    /// Version of CUDA that the driver is for, such as 12020.
    pub driver: i32,
}

macro_rules! driver {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*);)*) => {
        /// Functions of the driver; each gives 0 or the number of an error.
        #[derive(Clone, Copy)]
        struct Functions { $($field: unsafe extern "C" fn($($argument),*) -> c_int,)* }

        impl Functions {
            fn of(library: &'static Library) -> Result<Self, String> {
                Ok(Self { $($field: {
                    // SAFETY: the types are those of cuda.h under exactly these names.
                    let symbol = unsafe { library.get::<unsafe extern "C" fn($($argument),*) -> c_int>($symbol.as_bytes()) };
                    *symbol.map_err(|error| error.to_string())?
                },)* })
            }
        }
    };
}

driver! {
    init = "cuInit": fn(c_uint);
    error_name = "cuGetErrorName": fn(c_int, *mut *const c_char);
    driver_version = "cuDriverGetVersion": fn(*mut c_int);
    device_count = "cuDeviceGetCount": fn(*mut c_int);
    device_name = "cuDeviceGetName": fn(*mut c_char, c_int, c_int);
    device_attribute = "cuDeviceGetAttribute": fn(*mut c_int, c_int, c_int);
    context_retain = "cuDevicePrimaryCtxRetain": fn(*mut *mut c_void, c_int);
    context_release = "cuDevicePrimaryCtxRelease_v2": fn(c_int);
    context_set = "cuCtxSetCurrent": fn(*mut c_void);
    host_alloc = "cuMemHostAlloc": fn(*mut *mut c_void, usize, c_uint);
    host_free = "cuMemFreeHost": fn(*mut c_void);
    host_device_pointer = "cuMemHostGetDevicePointer_v2": fn(*mut u64, *mut c_void, c_uint);
    stream_create = "cuStreamCreate": fn(*mut *mut c_void, c_uint);
    stream_destroy = "cuStreamDestroy_v2": fn(*mut c_void);
    stream_wait = "cuStreamSynchronize": fn(*mut c_void);
    capture_begin = "cuStreamBeginCapture_v2": fn(*mut c_void, c_int);
    capture_end = "cuStreamEndCapture": fn(*mut c_void, *mut *mut c_void);
    graph_instantiate = "cuGraphInstantiateWithFlags": fn(*mut *mut c_void, *mut c_void, u64);
    graph_launch = "cuGraphLaunch": fn(*mut c_void, *mut c_void);
    graph_destroy = "cuGraphDestroy": fn(*mut c_void);
    graph_exec_destroy = "cuGraphExecDestroy": fn(*mut c_void);
}

/// The driver with a device.
#[derive(Clone, Copy)]
pub(super) struct Cuda {
    functions: Functions,
}

/// Of several devices the first; a Jetson has one.
const DEVICE: c_int = 0;

impl Cuda {
    /// Opens the driver and looks for a device.
    ///
    /// # Errors
    /// If there is no driver or no device.
    pub(super) fn open() -> Result<Self, TensorRtError> {
        let none = |reason: String| TensorRtError::NoDevice { reason, installed: None };
        // SAFETY: the driver's library may be opened at any time; it stays open.
        let library = unsafe { Library::new(NAME) }.map_err(|error| none(error.to_string()))?;
        let functions = Functions::of(Box::leak(Box::new(library))).map_err(none)?;
        let cuda = Self { functions };
        let mut count = 0;
        // SAFETY: `cuInit` may be called more than once; the number lives during the call.
        let counted = unsafe {
            cuda.check("cuInit", (functions.init)(0))
                .and_then(|()| cuda.check("cuDeviceGetCount", (functions.device_count)(&raw mut count)))
        };
        counted.map_err(none)?;
        if count < 1 { Err(none("the driver sees no device".into())) } else { Ok(cuda) }
    }

    fn check(&self, call: &str, code: c_int) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        let mut name = std::ptr::null();
        // SAFETY: the pointer lives during the call; what it then points to is a constant of the driver.
        let name = unsafe {
            (self.functions.error_name)(code, &raw mut name);
            if name.is_null() { c"an unknown error" } else { CStr::from_ptr(name) }
        };
        Err(format!("{call} gives {} ({code})", name.to_string_lossy()))
    }

    /// Which device it is.
    ///
    /// # Errors
    /// In words.
    pub(super) fn device(&self) -> Result<Device, String> {
        let functions = &self.functions;
        let (mut name, mut driver, mut sides) = ([0; 256], 0, [0; 2]);
        // SAFETY: all of these live during the calls, and the name's length is given.
        unsafe {
            self.check("cuDeviceGetName", (functions.device_name)(name.as_mut_ptr(), 256, DEVICE))?;
            self.check("cuDriverGetVersion", (functions.driver_version)(&raw mut driver))?;
            for (side, attribute) in
                sides.iter_mut().zip([COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR])
            {
                let code = (functions.device_attribute)(side, attribute, DEVICE);
                self.check("cuDeviceGetAttribute", code)?;
            }
        }
        let name = name
            .iter()
            .take_while(|&&c| c != 0)
            .map(|c| char::from(u8::from_ne_bytes(c.to_ne_bytes())))
            .collect();
        Ok(Device { name, capability: format!("{}.{}", sides[0], sides[1]), driver })
    }

    /// Makes the device's context this thread's own.
    ///
    /// # Errors
    /// In words.
    pub(super) fn enter(self) -> Result<Context, String> {
        let mut context = std::ptr::null_mut();
        let mut maps = 0;
        // SAFETY: the numbers live during the calls; the context is retained until it is dropped.
        unsafe {
            let code = (self.functions.device_attribute)(&raw mut maps, CAN_MAP_HOST_MEMORY, DEVICE);
            self.check("cuDeviceGetAttribute", code)?;
            self.check(
                "cuDevicePrimaryCtxRetain",
                (self.functions.context_retain)(&raw mut context, DEVICE),
            )?;
        }
        let entered = Context { cuda: self };
        if maps == 0 {
            return Err("the device cannot use the host's memory".into());
        }
        // SAFETY: the context was just retained.
        self.check("cuCtxSetCurrent", unsafe { (self.functions.context_set)(context) })?;
        Ok(entered)
    }
}

/// The device's primary context, current on the thread that entered it.
pub(super) struct Context {
    cuda: Cuda,
}

impl Context {
    /// `bytes` of pinned memory that host and device share.
    ///
    /// # Errors
    /// In words.
    pub(super) fn shared(&self, bytes: usize) -> Result<Shared, String> {
        let (functions, mut host, mut device) = (&self.cuda.functions, std::ptr::null_mut(), 0);
        // SAFETY: the pointer lives during the call.
        let code = unsafe { (functions.host_alloc)(&raw mut host, bytes.max(1), DEVICE_MAP) };
        self.cuda.check("cuMemHostAlloc", code)?;
        let mut shared = Shared { cuda: self.cuda, host: host.cast(), device: std::ptr::null_mut(), bytes };
        // SAFETY: the memory was just allocated as mapped.
        let code = unsafe { (functions.host_device_pointer)(&raw mut device, host, 0) };
        self.cuda.check("cuMemHostGetDevicePointer", code)?;
        shared.device = std::ptr::with_exposed_provenance_mut(usize::try_from(device).unwrap_or_default());
        Ok(shared)
    }

    /// A stream that does not wait for others.
    ///
    /// # Errors
    /// In words.
    pub(super) fn stream(&self) -> Result<Stream, String> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: the pointer lives during the call.
        let code = unsafe { (self.cuda.functions.stream_create)(&raw mut stream, NON_BLOCKING) };
        self.cuda.check("cuStreamCreate", code)?;
        Ok(Stream { cuda: self.cuda, pointer: stream })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was retained once by `enter`.
        unsafe { (self.cuda.functions.context_release)(DEVICE) };
    }
}

/// Pinned memory that host and device share.
pub(super) struct Shared {
    cuda: Cuda,
    host: *mut u8,
    device: *mut c_void,
    bytes: usize,
}

// SAFETY: the memory belongs to this value alone; CUDA allows it to be used and freed from any thread.
unsafe impl Send for Shared {}

impl Shared {
    /// Its address for the device.
    pub(super) fn device(&self) -> *mut c_void {
        self.device
    }

    /// Its bytes. The device must not be writing.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this length, zeroed by the driver's pages; the caller waits for the stream first.
        unsafe { std::slice::from_raw_parts(self.host, self.bytes) }
    }

    /// Its bytes, to write. The device must not be reading.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.host, self.bytes) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: allocated by `cuMemHostAlloc`; the stream that used it was waited for.
        unsafe { (self.cuda.functions.host_free)(self.host.cast()) };
    }
}

/// A stream.
pub(super) struct Stream {
    cuda: Cuda,
    pointer: *mut c_void,
}

impl Stream {
    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }

    /// Waits until everything in it is done.
    ///
    /// # Errors
    /// In words: the device's errors are told here.
    pub(super) fn wait(&self) -> Result<(), String> {
        // SAFETY: the stream is alive.
        self.cuda.check("cuStreamSynchronize", unsafe { (self.cuda.functions.stream_wait)(self.pointer) })
    }

    /// Records what `queue` puts into the stream, to be launched as one.
    ///
    /// # Errors
    /// In words: some layers cannot be recorded.
    pub(super) fn record(&self, queue: impl FnOnce() -> Result<(), String>) -> Result<Recording, String> {
        let functions = &self.cuda.functions;
        let (mut graph, mut launchable) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the stream is alive and nothing is in it.
        self.cuda.check("cuStreamBeginCapture", unsafe {
            (functions.capture_begin)(self.pointer, THREAD_LOCAL)
        })?;
        let queued = queue();
        // SAFETY: a capture was begun; it is ended whatever became of it.
        let ended = self
            .cuda
            .check("cuStreamEndCapture", unsafe { (functions.capture_end)(self.pointer, &raw mut graph) });
        if let Err(reason) = queued.and(ended) {
            if !graph.is_null() {
                // SAFETY: the graph was just made, and nothing was made of it.
                unsafe { (functions.graph_destroy)(graph) };
            }
            return Err(reason);
        }
        // SAFETY: the graph was just made; what is launched does not need it.
        let made = unsafe {
            let code = (functions.graph_instantiate)(&raw mut launchable, graph, 0);
            (functions.graph_destroy)(graph);
            self.cuda.check("cuGraphInstantiate", code)
        };
        made.map(|()| Recording { cuda: self.cuda, pointer: launchable })
    }

    /// Launches a recording.
    ///
    /// # Errors
    /// In words.
    pub(super) fn launch(&self, recording: &Recording) -> Result<(), String> {
        // SAFETY: both are alive.
        let code = unsafe { (self.cuda.functions.graph_launch)(recording.pointer, self.pointer) };
        self.cuda.check("cuGraphLaunch", code)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: it is alive, and was waited for.
        unsafe { (self.cuda.functions.stream_destroy)(self.pointer) };
    }
}

/// A CUDA graph, ready to launch.
pub(super) struct Recording {
    cuda: Cuda,
    pointer: *mut c_void,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: it is alive, and its stream was waited for.
        unsafe { (self.cuda.functions.graph_exec_destroy)(self.pointer) };
    }
}
