//! Finding and opening NVIDIA's libraries. They stay open as long as the process: they are not made to be closed.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use libloading::Library;

use super::TensorRtError;
use super::shim::{Entry, Shim};
use super::version::{Flavour, Version};

/// A library of a major version that this program has a shim for.
pub(super) struct TensorRt {
    pub(super) shim: Shim,
    pub(super) version: Version,
    library: &'static Library,
    folder: Option<PathBuf>,
}

/// Majors that are known of, whether or not this program can use them: to say what was found.
const KNOWN: [u32; 5] = [11, 10, 9, 8, 7];

impl TensorRt {
    /// The newest library there is, in `folder` or where the system's loader looks, that a shim can speak to.
    ///
    /// # Errors
    /// With everything that was looked for, and why each was passed over.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, TensorRtError> {
        let shims = Shim::all();
        let mut tried = Vec::new();
        for shim in &shims {
            let [name, _] = shim.flavour().libraries();
            match Self::open_as(*shim, &name, folder) {
                Ok(opened) => return Ok(opened),
                Err(reason) => tried.push(reason),
            }
        }
        let others = KNOWN.map(|major| Flavour { rtx: false, major });
        let strange = others.into_iter().filter(|other| shims.iter().all(|shim| shim.flavour() != *other));
        for flavour in strange {
            let [name, _] = flavour.libraries();
            if let Ok(library) = open(&place(folder, &name)) {
                tried.push(found_strange(library, &name, &shims));
            }
        }
        Err(TensorRtError::NoLibrary { tried: tried.join("; ") })
    }

    fn open_as(shim: Shim, name: &str, folder: Option<&Path>) -> Result<Self, String> {
        let path = place(folder, name);
        let library = open(&path)?;
        let version = version(library).map_err(|reason| format!("{}: {reason}", path.display()))?;
        version.check(shim.flavour()).map_err(|reason| format!("{}: {reason}", path.display()))?;
        Ok(Self { shim, version, library, folder: folder.map(Path::to_owned) })
    }

    /// `createInferRuntime_INTERNAL`.
    ///
    /// # Errors
    /// If the library has none.
    pub(super) fn runtime_entry(&self) -> Result<Entry, String> {
        entry(self.library, "createInferRuntime_INTERNAL")
    }

    /// `createInferBuilder_INTERNAL` and `createNvOnnxParser_INTERNAL`.
    ///
    /// # Errors
    /// If the library is the lean one, which runs plans and builds none, or the parser is not installed.
    pub(super) fn builder_entries(&self) -> Result<[Entry; 2], String> {
        let builder = entry(self.library, "createInferBuilder_INTERNAL")?;
        let [_, name] = self.shim.flavour().libraries();
        let parser = open(&place(self.folder.as_deref(), &name))?;
        Ok([builder, entry(parser, "createNvOnnxParser_INTERNAL")?])
    }
}

fn place(folder: Option<&Path>, name: &str) -> PathBuf {
    folder.map_or_else(|| name.into(), |folder| folder.join(name))
}

fn open(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: NVIDIA's libraries have initialisers that may be run at any time. They are opened by names that only
    // root can put anything behind, or from a folder the operator names.
    match unsafe { Library::new(path.as_os_str()) } {
        Ok(library) => Ok(Box::leak(Box::new(library))),
        Err(error) => Err(error.to_string()),
    }
}

fn entry(library: &Library, name: &str) -> Result<Entry, String> {
    // SAFETY: the address is only kept; whoever calls it knows its type from NVIDIA's headers.
    let symbol = unsafe { library.get::<*mut c_void>(name.as_bytes()) };
    match symbol {
        Ok(symbol) => Ok(Entry(*symbol)),
        Err(_) => Err(format!("the library has no {name}: it runs plans and cannot build them")),
    }
}

fn version(library: &Library) -> Result<Version, String> {
    let number = |name: &str| {
        // SAFETY: these functions take nothing and give an int, in every version.
        let function = unsafe { library.get::<unsafe extern "C" fn() -> i32>(name.as_bytes()) };
        // SAFETY: as above.
        function.ok().map(|function| unsafe { function() }.unsigned_abs())
    };
    let parts = ["Major", "Minor", "Patch", "Build"].map(|part| number(&format!("getInferLib{part}Version")));
    if let [Some(major), Some(minor), Some(patch), build] = parts {
        return Ok(Version { parts: [major, minor, patch, build.unwrap_or(0)] });
    }
    number("getInferLibVersion").map(Version::from_number).ok_or("it does not tell its version".into())
}

fn found_strange(library: &Library, name: &str, shims: &[Shim]) -> String {
    let version = version(library).map_or_else(|reason| reason, |version| version.to_string());
    let built: Vec<_> = shims.iter().map(|shim| shim.flavour().to_string()).collect();
    format!("{name} is there ({version}), this build speaks to {}", built.join(", "))
}
