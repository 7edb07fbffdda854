//! What is here: driver and device, library and version. Done in a child process, because vendors' libraries have been
//! known to end the process that looks.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TensorRtError;
use super::cuda::{Cuda, Device};
use super::library::TensorRt;
use super::shim::Runtime;
use super::version::{Flavour, Version};

/// A machine that can run plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Which shim speaks to its library.
    pub flavour: Flavour,
    /// Version of the library.
    pub version: Version,
    /// Version of the headers the shim was compiled with.
    pub headers: String,
    /// The GPU.
    pub device: Device,
    /// Release of NVIDIA's Linux for Tegra, where it is that.
    pub l4t: Option<String>,
}

/// Looks for a device first, then for a library, then whether the library gives a runtime.
///
/// # Errors
/// With the first that is not there.
pub(super) fn probe(folder: Option<&Path>) -> Result<Machine, TensorRtError> {
    let cuda = Cuda::open();
    let library = TensorRt::open(folder);
    let (cuda, library) = match (cuda, library) {
        (Err(TensorRtError::NoDevice { reason, .. }), library) => {
            // Whether TensorRT is installed tells the operator which half of the way is done.
            let installed = library.ok().map(|library| library.version);
            return Err(TensorRtError::NoDevice { reason, installed });
        }
        (cuda, library) => (cuda?, library?),
    };
    let device = cuda.device().map_err(|reason| TensorRtError::NoDevice { reason, installed: None })?;
    let entry = library.runtime_entry().map_err(|reason| TensorRtError::NoRuntime { reason })?;
    // SAFETY: the entry is of the library's own name, its major version was compared with the shim's.
    unsafe { Runtime::new(library.shim, entry) }.map_err(|reason| TensorRtError::NoRuntime { reason })?;
    Ok(Machine {
        flavour: library.shim.flavour(),
        version: library.version,
        headers: library.shim.headers(),
        device,
        l4t: l4t(),
    })
}

/// Of `# R36 (release), REVISION: 3.0, …` the part `R36.3.0`.
fn l4t() -> Option<String> {
    release(&std::fs::read_to_string("/etc/nv_tegra_release").ok()?)
}

fn release(text: &str) -> Option<String> {
    let major = text.split_whitespace().find(|word| word.starts_with('R') && word.len() > 1)?;
    let revision = text.split("REVISION:").nth(1)?.split(',').next()?.trim();
    Some(format!("{major}.{revision}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_linux_for_tegra_is_read_from_its_file() {
        let text = "# R36 (release), REVISION: 3.0, GCID: 36923193, BOARD: generic, EABI: aarch64, DATE: Fri";
        assert_eq!(release(text).as_deref(), Some("R36.3.0"));
        assert_eq!(release("something else"), None);
    }
}
