//! Promises about the command line: answers, and one clear message for each kind of bad input.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod field;

use field::{Field, Flaw, GREEN, RED, fieldmark, fieldmarkd, free_port, png, write_package};

fn here() -> Field {
    Field::new(&format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", free_port()), 2, "", "")
}

fn configure(field: &Field, from: &str, to: &str) {
    let path = field.path("fieldmark.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    assert!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(path, text.replace(from, to)).expect("write");
}

/// One message, on standard error, with these parts; the exit code is `code`.
fn refused(output: &field::Output, code: i32, parts: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    let message = output.err.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(message, 1, "{output:?}");
    for part in parts {
        assert!(output.err.contains(part), "{part:?} is not in {}", output.err);
    }
}

#[test]
fn a_link_named_fieldmark_to_the_daemon_is_the_operators_command() {
    let field = here();
    let link = field.path("fieldmark");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fieldmarkd"), &link).expect("a link");
    for arguments in [&["--help"][..], &["--version"], &["rollout", "--help"], &["run"]] {
        let linked = field::run(&field.text("fieldmark"), arguments);
        let own = fieldmark(arguments);
        assert_eq!((linked.code, &linked.out, &linked.err), (own.code, &own.out, &own.err));
    }
}

#[test]
fn classify_answers_one_line_of_json_for_each_file_and_fails_for_the_unreadable_one() {
    let field = here();
    for (name, bytes) in
        [("red.png", png(RED)), ("bad.jpg", b"no picture".to_vec()), ("green.png", png(GREEN))]
    {
        std::fs::write(field.path(name), bytes).expect("write");
    }
    let model = field.text("toy.fieldmark");
    let files = ["red.png", "bad.jpg", "green.png"].map(|name| field.text(name));
    let output = fieldmarkd(&["classify", "--json", "--model", &model, &files[0], &files[1], &files[2]]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let lines: Vec<serde_json::Value> =
        output.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["file"], files[0]);
    assert_eq!(lines[0]["taxon"]["name"], "Apis mellifera");
    assert_eq!(lines[0]["taxon"]["common_name"], "honey bee");
    assert_eq!(lines[0]["taxon"]["depth"], 3);
    assert_eq!(lines[0]["threshold"], 0.6);
    assert!(lines[0]["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0));
    assert!(lines[1]["error"].as_str().is_some_and(|error| error.contains("cannot decode the picture")));
    assert_eq!(lines[2]["taxon"]["rank"], "genus");
    assert_eq!(lines[2]["best_leaf"]["probability"], 0.5);
}

#[test]
fn a_threshold_a_target_a_prior_and_a_box_change_the_answer() {
    let field = here();
    std::fs::write(field.path("green.png"), png(GREEN)).expect("write");
    let (model, file) = (field.text("toy.fieldmark"), field.text("green.png"));
    let answer = |more: &[&str]| {
        let output = fieldmarkd(&[&["classify", "--json", "--model", &model, &file], more].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
        serde_json::from_str::<serde_json::Value>(&output.out).expect("JSON")
    };
    assert_eq!(answer(&["--threshold", "0.3"])["taxon"]["rank"], "species");
    assert_eq!(answer(&["--target", "0.8"])["threshold"], 0.4);
    assert_eq!(answer(&["--prior", "honey bee"])["taxon"]["name"], "Apis mellifera");
    assert_eq!(answer(&["--box", "0.1,0.1,0.4,0.4"])["taxon"]["name"], "Quercus");
}

#[test]
fn wrong_arguments_are_refused_with_code_64() {
    let field = here();
    let model = field.text("toy.fieldmark");
    let bad = |arguments: &[&str], part: &str| {
        let output = fieldmarkd(arguments);
        assert_eq!(output.code, Some(64), "{output:?}");
        assert!(output.err.contains(part), "{part:?} is not in {}", output.err);
    };
    bad(&["classify", "--threshold", "2", "x.png"], "give a number from 0 to 1");
    bad(&["classify", "--target", "2", "x.png"], "give an accuracy from 0.01 to 0.999");
    bad(&["classify", "--box", "1,2,3", "x.png"], "give four numbers");
    bad(&["classify"], "FILE");
    bad(&[], "give --config FILE");
    bad(&["classify", "--model", &model, "--target", "0.95", "x.png"], "its calibration ends at 0.9");
    bad(&["classify", "--model", &model, "--prior", "Querkus", "x.png"], "did you mean Quercus?");
    assert_eq!(fieldmark(&["watch", "--broker", "http://x"]).code, Some(64));
    assert_eq!(fieldmarkd(&["--help"]).code, Some(0));
}

#[test]
fn a_missing_model_says_where_to_look() {
    let output = fieldmarkd(&["classify", "--model", "/nowhere/x.fieldmark", "x.png"]);
    refused(&output, 1, &["cannot read package /nowhere/x.fieldmark", "give the path of a .fieldmark file"]);
}

#[test]
fn a_damaged_package_says_to_fetch_it_again() {
    let field = here();
    let bytes = std::fs::read(field.path("toy.fieldmark")).expect("a package");
    std::fs::write(field.path("cut.fieldmark"), &bytes[..bytes.len() / 2]).expect("write");
    let output = fieldmarkd(&["classify", "--model", &field.text("cut.fieldmark"), "x.png"]);
    refused(&output, 1, &["damaged", "copy or download the package again"]);
}

#[test]
fn a_graph_with_another_number_of_leaves_is_refused() {
    let field = here();
    write_package(&field.path("leaves.fieldmark"), Flaw::Leaves);
    let output = fieldmarkd(&["classify", "--model", &field.text("leaves.fieldmark"), "x.png"]);
    refused(&output, 1, &["float [N, 4], the package needs float [N, 3]", "package them together again"]);
}

#[test]
fn an_engine_that_misses_the_golden_answers_is_not_used() {
    let field = here();
    write_package(&field.path("golden.fieldmark"), Flaw::Golden);
    let output = fieldmarkd(&["classify", "--model", &field.text("golden.fieldmark"), "x.png"]);
    refused(&output, 1, &["tract-f32 does not give the golden answers", "golden/red.png"]);
}

#[test]
fn bad_configurations_are_refused_with_code_64() {
    for (from, to, parts) in [
        ("node = \"n1\"", "nodde = \"n1\"", &["unknown field `nodde`", "correct or remove"][..]),
        (
            "source = \"files\"",
            "source = \"files\"\nrate_hz = 0",
            &["camera.pond.rate_hz = 0", "0.001 to 1000"],
        ),
        (
            "source = \"files\"",
            "source = \"film\"",
            &["camera.pond.source = \"film\"", "\"files\", \"v4l\" or \"gstreamer\""],
        ),
        ("[mqtt]", "[mqtt", &["fieldmark.toml"]),
        ("[model]", "[log]\nlevel = \"loud\"\n[model]", &["log.level = \"loud\"", "give error, warn"]),
    ] {
        let field = here();
        configure(&field, from, to);
        let config = field.text("fieldmark.toml");
        refused(&fieldmarkd(&["--config", &config]), 64, parts);
        refused(&fieldmarkd(&["check", "--config", &config]), 64, parts);
    }
    refused(&fieldmarkd(&["--config", "/nowhere.toml"]), 64, &["cannot read configuration /nowhere.toml"]);
}

#[test]
fn check_says_what_it_found() {
    let field = here();
    let config = field.text("fieldmark.toml");
    let good = fieldmarkd(&["check", "--config", &config]);
    assert_eq!(good.code, Some(0), "{good:?}");
    for part in ["ok    model: toy 0.1.0 (3 leaves), 1 golden pictures", "ok    camera pond: 2 pictures"] {
        assert!(good.out.contains(part), "{good:?}");
    }
    std::fs::remove_dir_all(field.path("pictures")).expect("remove");
    std::fs::create_dir(field.path("pictures")).expect("a folder");
    let empty = fieldmarkd(&["check", "--config", &config]);
    assert_eq!(empty.code, Some(1));
    assert!(empty.out.contains("FAIL  camera pond:") && empty.out.contains("holds no picture: put BMP"));
    configure(&field, "source = \"files\"\n", "source = \"v4l\"\ndevice = \"/dev/nocam\"\n#");
    configure(&field, "folder", "#folder");
    let absent = fieldmarkd(&["check", "--config", &config]);
    assert!(absent.out.contains("/dev/nocam: looking for it failed"), "{absent:?}");
}

#[test]
fn check_reads_the_checklist() {
    let field = here();
    let (config, list) = (field.text("fieldmark.toml"), field.text("list.csv"));
    configure(&field, "[model]\n", &format!("[model]\nchecklist = {list:?}\n"));
    let absent = fieldmarkd(&["check", "--config", &config]);
    assert_eq!(absent.code, Some(1));
    assert!(absent.out.contains("FAIL  checklist: cannot read checklist"), "{absent:?}");
    std::fs::write(field.path("list.csv"), "taxon,months\nQuercus,3-10\nUnicornus,1\n").expect("write");
    let read = fieldmarkd(&["check", "--config", &config]);
    assert_eq!(read.code, Some(0), "{read:?}");
    assert!(read.out.contains("1 rows, 1 more that this model cannot name"), "{read:?}");
    assert!(read.out.contains("line 3: \"Unicornus\" is no taxon of this model"), "{read:?}");
}

#[test]
fn a_taken_port_for_the_embedded_broker_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address");
    let field = Field::new(&format!("[broker]\nembedded = true\nlisten = \"{listen}\"\n"), 2, "", "");
    let output = fieldmarkd(&["--config", &field.text("fieldmark.toml")]);
    refused(&output, 1, &["the embedded broker cannot listen on", "or change broker.listen"]);
}
