//! TensorRT's real libraries, as far as they go without a GPU. `tests/engines/run` fetches them and runs this.
#![cfg(feature = "tensorrt")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use field::{Broker, Field, Flaw, Listener, fieldmarkd, free_port, write_package};
use fieldmark_daemon::engine::Precision;
use fieldmark_daemon::engine::tensorrt::{BuildJob, Job};
use fieldmark_models::package::{MODEL, MODEL_INT8, Package};

/// The folder that `tests/engines/install` fills.
fn part(name: &str) -> Option<PathBuf> {
    let place = std::env::var_os("FIELDMARK_TENSORRT_PARTS").expect("run tests/engines/run");
    let path = Path::new(&place).join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!(
        "SKIPPED: {} is not there: FIELDMARK_TENSORRT_RTX=1 tests/engines/run fetches it",
        path.display()
    );
    None
}

/// A folder in which `library` of `part` stands as `name`.
fn posing(folder: &Path, part: &Path, library: &str, name: &str) {
    std::os::unix::fs::symlink(part.join(library), folder.join(name)).expect("a link");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// What `engine-selftest` says where TensorRT is asked for by name.
fn refusal(libraries: &Path) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("toy.fieldmark");
    write_package(&package, Flaw::None);
    let arguments = [
        "engine-selftest",
        "--engine",
        "tensorrt",
        "--libraries",
        text(libraries),
        "--model",
        text(&package),
    ];
    let ended = fieldmarkd(&arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    println!("{}: {}", libraries.display(), ended.err.trim());
    ended.err
}

fn has_gpu() -> bool {
    Path::new("/dev/nvidiactl").exists() || Path::new("/dev/nvhost-gpu").exists()
}

#[test]
fn the_library_tells_its_version_and_no_gpu_is_told_as_what_it_is() {
    if has_gpu() {
        eprintln!("SKIPPED: there is a GPU here");
        return;
    }
    for (name, version) in [("lean-10", "10.16.1"), ("lean-11", "11.4.0")] {
        let said = refusal(&part(name).expect("tests/engines/install fetches it"));
        assert!(said.contains("no CUDA device"), "{said}");
        assert!(said.contains(&format!("TensorRT {version}")), "{said}");
    }
}

#[test]
fn without_a_gpu_the_daemon_runs_on_the_processor_and_says_why() {
    let port = free_port();
    let _broker = Broker::start(port);
    let listener = Listener::start(port, "5");
    let libraries = part("lean-11").expect("tests/engines/install fetches it");
    let tables = format!(
        "[tensorrt]\nlibraries = {libraries:?}\n[onnxruntime]\nlibrary = \"/nowhere/libonnxruntime.so\"\n"
    );
    let field = Field::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\""), 2, "rate_hz = 5", &tables);
    let mut daemon = field.start();
    let heard = listener.wait("fieldmark/n1/info", |heard| !heard.is_empty());
    let info: serde_json::Value = serde_json::from_str(&heard[0]).expect("JSON");
    assert_eq!(info["engine"], "tract-f32");
    let passed = &info["engines_passed_over"][0];
    assert_eq!(passed["engine"], "tensorrt");
    assert!(passed["reason"].as_str().expect("a reason").contains("no CUDA device"), "{passed}");
    listener.wait("fieldmark/n1/pond/detection", |heard| !heard.is_empty());
    field.end(&mut daemon);
}

#[test]
fn a_library_of_another_major_version_is_refused_by_the_daemon_itself() {
    let (ten, eleven) = (part("lean-10").expect("fetched"), part("lean-11").expect("fetched"));
    let folder = tempfile::tempdir().expect("a folder");
    posing(folder.path(), &eleven, "libnvinfer_lean.so.11", "libnvinfer.so.10");
    let said = probe(folder.path());
    assert!(said.contains("the library says it is version 11.4.0"), "{said}");
    assert!(said.contains("this build speaks to TensorRT 10"), "{said}");

    let folder = tempfile::tempdir().expect("a folder");
    posing(folder.path(), &ten, "libnvinfer_lean.so.10", "libnvinfer.so.7");
    let said = probe(folder.path());
    assert!(said.contains("libnvinfer.so.7 is there (10.16.1"), "{said}");
}

/// What a build's child says where there is nothing to build with: the library is looked for first.
fn probe(libraries: &Path) -> String {
    let build = job(libraries, Precision::F32, 0, &libraries.join("plan"));
    worker(&build, &[])
}

fn job(libraries: &Path, precision: Precision, onnx_bytes: usize, out: &Path) -> Job {
    Job::Build(BuildJob {
        libraries: Some(libraries.into()),
        onnx_bytes,
        out: out.into(),
        precision,
        batch: 1,
        workspace_mib: 1024,
        capability: Some(86),
    })
}

/// The hidden subcommand's standard output.
fn worker(job: &Job, onnx: &[u8]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fieldmarkd"))
        .args(["tensorrt-worker", &serde_json::to_string(job).expect("JSON")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the daemon's binary");
    let mut input = child.stdin.take().expect("its input");
    let _ = input.write_all(onnx);
    // The input stays open until it has ended, as the daemon keeps it.
    let output = child.wait_with_output().expect("an end");
    drop(input);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_vendors_crash_takes_only_the_child_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("crash.c");
    std::fs::write(
        &source,
        "#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { abort(); }\n",
    )
    .expect("written");
    let library = folder.path().join("libnvinfer.so.11");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.expect("a C compiler").success());
    let said = refusal(folder.path());
    assert!(said.contains("ended by signal 6"), "{said}");
}

#[test]
fn nvidias_parser_takes_every_model_and_its_builder_makes_a_plan() {
    let Some(libraries) = part("rtx-1") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let toy = folder.path().join("toy.fieldmark");
    write_package(&toy, Flaw::None);
    let mut packages = vec![toy];
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for place in ["models/packages", "work/packages", "work/engines/packages"] {
        let entries = std::fs::read_dir(repository.join(place)).into_iter().flatten();
        let files = entries.filter_map(Result::ok).map(|entry| entry.path());
        packages.extend(files.filter(|path| path.extension().is_some_and(|kind| kind == "fieldmark")));
    }
    for path in packages {
        let package = Package::open(&path).expect("a package");
        for (file, precision) in [(MODEL, Precision::F32), (MODEL_INT8, Precision::Int8)] {
            let Some(onnx) = package.file(file) else { continue };
            let plan = folder.path().join("plan");
            let said = worker(&job(&libraries, precision, onnx.len(), &plan), onnx);
            assert!(said.contains("\"built\""), "{} {file}: {said}", path.display());
            assert!(said.contains("\"step\""), "its progress is told: {said}");
            let bytes = std::fs::metadata(&plan).expect("a plan").len();
            let name = path.file_name().expect("a file").display();
            println!("TensorRT-RTX 1.7.1 builds {name} {file}: a plan of {bytes} bytes");
            std::fs::remove_file(&plan).expect("removed");
        }
    }
}

#[test]
fn models_that_break_the_rules_are_refused_in_nvidias_words() {
    let Some(libraries) = part("rtx-1") else { return };
    let folder = part("refused").expect("tests/engines/run writes them");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 4, "{files:?}");
    let mut taken = Vec::new();
    for file in files {
        let onnx = std::fs::read(&file).expect("a model");
        let out = tempfile::tempdir().expect("a folder");
        let said = worker(&job(&libraries, Precision::Int8, onnx.len(), &out.path().join("plan")), &onnx);
        let name = file.file_name().expect("a file").display();
        println!("TensorRT-RTX 1.7.1 on {name}: {}", said.trim());
        if !said.contains("TensorRT cannot build") && !said.contains("\"failed\"") {
            taken.push(name.to_string());
        }
    }
    assert!(taken.is_empty(), "taken: {taken:?}");
}
