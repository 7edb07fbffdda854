//! With the feature `tensorrt`: compiles the shim, once for each major version of TensorRT whose headers are given.
//! `TRT_INCLUDE_DIR` names their folders, separated by colons; without it the folders of Debian packages are looked in.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tensorrt_shim, values(\"trt8\", \"trt10\", \"trt11\", \"rtx1\"))");
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "tensorrt")]
    tensorrt::compile();
}

#[cfg(feature = "tensorrt")]
mod tensorrt {
    use std::path::{Path, PathBuf};

    const SHIM: &str = "src/engine/tensorrt";

    pub(super) fn compile() {
        println!("cargo::rerun-if-env-changed=TRT_INCLUDE_DIR");
        for file in ["shim.cpp", "shim.h", "cuda/cuda_runtime_api.h"] {
            println!("cargo::rerun-if-changed={SHIM}/{file}");
        }
        let folders = folders();
        if folders.is_empty() {
            println!(
                "cargo::error=the feature tensorrt needs NvInfer.h and NvOnnxParser.h of TensorRT 8.5 or newer: set \
                 TRT_INCLUDE_DIR to their folder (several, of different major versions, are separated by colons)"
            );
        }
        for folder in folders {
            match flavour(&folder) {
                Ok(flavour) => {
                    shim(&folder, &flavour);
                    println!("cargo::rustc-cfg=tensorrt_shim=\"{flavour}\"");
                }
                Err(reason) => println!("cargo::error={}: {reason}", folder.display()),
            }
        }
    }

    fn folders() -> Vec<PathBuf> {
        if let Some(named) = std::env::var_os("TRT_INCLUDE_DIR") {
            return std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()).collect();
        }
        let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
        let packaged = PathBuf::from(format!("/usr/include/{arch}-linux-gnu"));
        if packaged.join("NvInfer.h").is_file() { vec![packaged] } else { Vec::new() }
    }

    /// `trt` or `rtx` with the major version.
    fn flavour(folder: &Path) -> Result<String, String> {
        let path = folder.join("NvInferVersion.h");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let defined = |name: &str| {
            let mut words = text.lines().map(str::split_whitespace);
            words.find_map(|mut words| {
                (words.next()? == "#define" && words.next()? == name).then(|| words.next())?
            })
        };
        let known = |flavour: String| match flavour.as_str() {
            "trt8" | "trt10" | "trt11" | "rtx1" => Ok(flavour),
            other => {
                Err(format!("headers of {other}, known are TensorRT 8.5 and 8.6, 10, 11 and TensorRT-RTX 1"))
            }
        };
        if let Some(major) = defined("TRT_MAJOR_RTX") {
            return known(format!("rtx{major}"));
        }
        match defined("TRT_MAJOR_ENTERPRISE").or_else(|| defined("NV_TENSORRT_MAJOR")) {
            Some(major) => known(format!("trt{major}")),
            None => Err("NvInferVersion.h names no major version".into()),
        }
    }

    fn shim(folder: &Path, flavour: &str) {
        println!("cargo::rerun-if-changed={}", folder.join("NvInferVersion.h").display());
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .file(format!("{SHIM}/shim.cpp"))
            .include(SHIM)
            .include(format!("{SHIM}/cuda"))
            .flag("-isystem")
            .flag(folder)
            .define("FM_FLAVOUR", flavour)
            .flag("-fno-exceptions")
            .flag("-Wno-deprecated-declarations")
            .extra_warnings(true)
            .compile(&format!("fieldmark_{flavour}"));
    }
}
