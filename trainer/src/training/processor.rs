//! Where the numbers are computed.

use std::str::FromStr;

use burn::tensor::Device;

/// A processor that training runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// This machine's own.
    Cpu,
    /// NVIDIA's GPU of that number; without one, each process of a machine takes that of its own.
    Cuda(Option<usize>),
}

/// The text names no processor that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessorError {
    /// Neither `cpu` nor `cuda` nor `cuda:N`.
    #[error("{0:?} is no processor: give cpu, cuda or cuda:1")]
    Unknown(String),
    /// The feature is off.
    #[error(
        "this program was built without CUDA: build it with `cargo build --release --features fieldmark-trainer/cuda`"
    )]
    NotBuilt,
}

impl FromStr for Processor {
    type Err = ProcessorError;

    fn from_str(text: &str) -> Result<Self, ProcessorError> {
        let unknown = || ProcessorError::Unknown(text.into());
        let processor = match text.split_once(':') {
            None if text == "cpu" => Self::Cpu,
            None if text == "cuda" => Self::Cuda(None),
            Some(("cuda", number)) => Self::Cuda(Some(number.parse().map_err(|_| unknown())?)),
            _ => return Err(unknown()),
        };
        if matches!(processor, Self::Cuda(_)) && !cfg!(feature = "cuda") {
            return Err(ProcessorError::NotBuilt);
        }
        Ok(processor)
    }
}

impl Processor {
    /// The device without gradients, for the process of that number on its machine.
    #[must_use]
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
    pub fn device(self, on_machine: usize) -> Device {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => Device::cuda(number.unwrap_or(on_machine)),
            // Without the feature no text becomes one.
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Device::flex(),
            Self::Cpu => Device::flex(),
        }
    }
}

/// Makes the calling thread one of those that tensors are computed on: to hand each operation to another thread and wait for
/// it costs more than many operations do. For the thread that trains, before anything is computed. Threads that make its
/// batches must not use the pool then: where it has no other thread, they would wait for the one that waits for them.
pub fn compute_here() {
    // A pool that is there already computes the same, only later.
    let _ = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_named_or_refused_with_what_to_do() {
        assert_eq!("cpu".parse(), Ok(Processor::Cpu));
        for text in ["gpu", "cuda:", "cuda:x", ""] {
            assert_eq!(text.parse::<Processor>(), Err(ProcessorError::Unknown(text.into())));
        }
        let cuda = "cuda:1".parse::<Processor>();
        assert_eq!(
            cuda,
            if cfg!(feature = "cuda") { Ok(Processor::Cuda(Some(1))) } else { Err(ProcessorError::NotBuilt) }
        );
    }
}
