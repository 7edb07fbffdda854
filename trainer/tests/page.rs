//! The pages `docs/prepare.md` and `docs/repeat-the-paper.md`: their commands, each as it stands there, in the order they
//! stand in.

#![allow(clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use fieldmark_models::package::Package;
use fieldmark_trainer::dataset::read_set;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

const STAMPS: &str = "/usr/share/tuxpaint/stamps";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// The commands of `page`, in blocks and in tables.
fn commands(page: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs").join(page)).expect("the page");
    let commands = page.split(['`', '\n']).filter(|text| text.starts_with("fieldmark-trainer "));
    // What stands behind a command explains it.
    commands.map(|text| text.split(" # ").next().unwrap_or(text).trim().to_owned()).collect()
}

/// A folder in which the page's paths lead to the repository's files, and what is made stays apart from it.
fn checkout(folder: &Path) {
    fs::create_dir_all(folder.join("configs/training")).expect("a folder");
    symlink(root().join("trainer"), folder.join("trainer")).expect("a link");
    for entry in fs::read_dir(root().join("configs/training")).expect("recipes") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.join("configs/training").join(path.file_name().expect("a name")))
            .expect("copied");
    }
}

/// A proxy that has every picture itself: trees are green, birds are brown.
fn pictures() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = answer(stream);
            });
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        if request.starts_with("CONNECT ") {
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            continue;
        }
        let body = picture(request.split(' ').nth(1).unwrap_or_default());
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
    }
}

fn picture(url: &str) -> Vec<u8> {
    let shade = url.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % 64;
    let colour = if url.contains("quercus") { [20, 120 + shade, 30] } else { [90 + shade, 60, 30] };
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(160, 120, image::Rgb(colour))
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .expect("a picture");
    bytes.into_inner()
}

#[test]
fn every_command_of_the_page_runs_as_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    checkout(at);
    let proxy = pictures();
    let stamps = Path::new(STAMPS).is_dir();
    let commands = commands("prepare.md");
    for sort in ["prepare trainer/tests/fixtures/prepare/", "download ", "train configs/training/"] {
        assert!(commands.iter().any(|command| command.contains(sort)), "no command has {sort:?}");
    }
    for command in &commands {
        if !stamps && command.contains("garden") {
            eprintln!(
                "SKIPPED: {command}: the photographs are not installed (apt-get install tuxpaint-stamps-default)"
            );
            continue;
        }
        run(at, command, &proxy);
    }
    download_became_a_model(at);
    if stamps {
        cut_outs_became_a_model(at);
    }
}

/// Runs `command` in `at`, its pictures fetched through `proxy`; gives what it printed.
fn run(at: &Path, command: &str, proxy: &str) -> String {
    let output = Command::new(TRAINER)
        .current_dir(at)
        .args(command.split_whitespace().skip(1))
        .env("ALL_PROXY", proxy)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .expect("the trainer");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The paper's recipes for a processor: the small network, random weights. All else is as it stands.
fn made_small(at: &Path) {
    for number in 1..=3 {
        let path = at.join(format!("configs/training/experiment-{number}.toml"));
        let mut text = fs::read_to_string(&path).expect("a recipe");
        for (from, to) in [
            ("preset = \"inception-resnet-v2\"", "preset = \"inception-resnet-v2-small\""),
            ("weights = \"work/weights/inception_resnet_v2.safetensors\"\n", ""),
        ] {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        fs::write(path, text).expect("written");
    }
}

#[test]
fn a_download_becomes_the_papers_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    checkout(at);
    made_small(at);
    let proxy = pictures();
    let printed: Vec<String> =
        commands("repeat-the-paper.md").iter().map(|command| run(at, command, &proxy)).collect();
    assert_eq!(printed.len(), 5, "{printed:?}");
    let table = printed.iter().find(|printed| printed.contains("at target 0.9")).expect("Table 1");
    let page = fs::read_to_string(at.join("work/runs/compare.html")).expect("a page");
    for experiment in ["experiment-1", "experiment-2", "experiment-3"] {
        assert!(table.lines().any(|line| line.starts_with(experiment)), "{table}");
        assert!(page.contains(experiment));
        assert!(at.join(format!("work/runs/{experiment}-1/report.html")).is_file());
        let package = at.join(format!("work/packages/{experiment}-0.1.0.fieldmark"));
        let package = Package::open(&package).expect("a package");
        assert_eq!(package.views().views().len(), if experiment == "experiment-1" { 1 } else { 2 });
    }
    let own = read_set(&at.join("work/sets/own")).expect("a set");
    assert!(own.missing == 0 && own.photos.len() >= 48, "{}", own.photos.len());
}

fn download_became_a_model(at: &Path) {
    let set = read_set(&at.join("work/sets/birds")).expect("a set");
    assert_eq!((set.photos.len(), set.missing), (43, 0), "all pictures were fetched");
    let package = Package::open(&at.join("work/packages/gbif-set-0.1.0.fieldmark")).expect("a package");
    let taxonomy = package.taxonomy();
    let leaves: Vec<&str> = (0..taxonomy.leaf_count())
        .map(|leaf| taxonomy.taxon(taxonomy.leaf(leaf).expect("a leaf")).name())
        .collect();
    assert_eq!(leaves, ["Turdus merula", "Quercus robur"]);
}

fn cut_outs_became_a_model(at: &Path) {
    let set = at.join("work/sets/garden");
    let report = fs::read_to_string(set.join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let labels = report["taxonomy"]["labels"].as_object().expect("labels");
    assert!(
        labels.contains_key("species") && labels.contains_key("order"),
        "partial labels are kept: {labels:?}"
    );

    let prepared = read_set(&set).expect("a set");
    assert_eq!(
        (prepared.missing, prepared.photos.len()),
        (0, prepared.training.len() + prepared.validation.len())
    );
    let gnus: Vec<usize> = (0..prepared.photos.len())
        .filter(|&photo| prepared.photos[photo].path.to_string_lossy().contains("gnu-baby"))
        .collect();
    assert!(gnus.len() > 1);
    assert!(gnus.iter().all(|&photo| prepared.photos[photo].individual == "gnu-baby"));
    let sides = gnus.iter().filter(|photo| prepared.validation.contains(photo)).count();
    assert!(sides == 0 || sides == gnus.len(), "one animal stands on one side");

    let package = Package::open(&at.join("work/packages/garden-set-0.1.0.fieldmark")).expect("a package");
    assert!(package.taxonomy().leaf_count() > 50);
    let evaluation = at.join("work/runs/garden-set-1/evaluation.json");
    let evaluation = fs::read_to_string(evaluation).expect("figures");
    let evaluation: serde_json::Value = serde_json::from_str(&evaluation).expect("JSON");
    for side in ["training", "validation"] {
        assert_eq!(evaluation[side], report["samples"][side], "the set's own split was used");
    }
}
