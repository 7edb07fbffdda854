//! Training the whole network with the program itself: killed, gone on, packaged.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fieldmark_models::package::Package;

const TRAINER: &str = env!("CARGO_BIN_EXE_fieldmark-trainer");

/// Six species of two genera that differ in the middle's colour, and a recipe for a minute.
struct Field(tempfile::TempDir);

impl Field {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let field = Self(folder);
        let pictures = field.text("work/synthetic");
        let size = ["--species", "6", "--most", "30", "--fewest", "24"];
        field.run(&[&["prepare", "--synthetic", &pictures][..], &size].concat());
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/training/synthetic-3.toml");
        let recipe = std::fs::read_to_string(shipped)
            .expect("a recipe")
            .replace("../../work", "work")
            .replace("[{ epochs = 5, rate = 0.003 }]", "[{ epochs = 2, rate = 0.003 }]")
            .replace("checkpoint_every = 100", "checkpoint_every = 5");
        let (head, _) = recipe.split_once("schedule = [{ epochs = 6").expect("its last stage");
        let rest = "schedule = [{ epochs = 2, rate = 0.003 }]\n[evaluate]\ntraining_sample = 50\n";
        std::fs::write(field.path("recipe.toml"), format!("{head}{rest}")).expect("write");
        field
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(TRAINER).args(arguments).output().expect("the trainer");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Arguments that follow the recipe, the run kept in `runs`.
    fn training(&self, runs: &str) -> Vec<String> {
        let packages = self.text(&format!("{runs}-packages"));
        let (recipe, runs) = (self.text("recipe.toml"), self.text(runs));
        ["train", &recipe, "--out", &packages, "--runs", &runs].map(str::to_owned).to_vec()
    }

    fn steps(&self, runs: &str) -> usize {
        let log = self.path(runs).join("synthetic-3-1/steps.jsonl");
        std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
    }

    fn evaluation(&self, runs: &str) -> String {
        let path = self.path(runs).join("synthetic-3-1/evaluation.json");
        std::fs::read_to_string(path).expect("figures")
    }

    fn package(&self, runs: &str) -> Package {
        let path = self.path(&format!("{runs}-packages")).join("synthetic-3-0.1.0.fieldmark");
        Package::open(&path).expect("a package")
    }
}

#[test]
fn a_run_killed_in_mid_epoch_ends_as_if_it_had_not_been() {
    let field = Field::new();
    let whole = field.training("whole");
    field.run(&whole.iter().map(String::as_str).collect::<Vec<_>>());
    let all = field.steps("whole");
    assert!(all > 20, "{all}");

    let killed = field.training("killed");
    let mut child = Command::new(TRAINER)
        .args(&killed)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the trainer");
    let start = Instant::now();
    while field.steps("killed") < 7 {
        assert!(start.elapsed() < Duration::from_secs(300), "it makes no steps");
        assert!(child.try_wait().expect("its state").is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let done = field.steps("killed");
    assert!(done < all, "it was killed on the way");
    field.run(&killed.iter().map(String::as_str).collect::<Vec<_>>());
    let again = field.steps("killed") - done;
    assert!(again < all, "it did not begin anew: {again} of {all} steps");

    assert_eq!(field.evaluation("killed"), field.evaluation("whole"));
    let (one, other) = (field.package("killed"), field.package("whole"));
    assert_eq!(one.file("model.onnx"), other.file("model.onnx"), "the same network to the last bit");
    assert_eq!(one.manifest().preset, "inception-resnet-v2-small");
    assert_eq!(one.views().views().len(), 2);

    let table =
        field.run(&["compare", &field.text("killed/synthetic-3-1"), &field.text("whole/synthetic-3-1")]);
    assert!(table.contains("synthetic-3                      2"), "{table}");
}

#[test]
fn the_photographs_a_run_did_not_train_on_calibrate_its_package() {
    let field = Field::new();
    field.run(&field.training("runs").iter().map(String::as_str).collect::<Vec<_>>());
    let kept = field.text("runs/synthetic-3-1/validation.csv");
    let rows = std::fs::read_to_string(&kept).expect("a table").lines().count() - 1;
    let evaluation: serde_json::Value = serde_json::from_str(&field.evaluation("runs")).expect("JSON");
    assert_eq!(evaluation["validation"], rows);
    let (package, out) = (field.text("runs-packages/synthetic-3-0.1.0.fieldmark"), field.text("again"));
    let calibrated = field.run(&["calibrate", &package, "--photos", &kept, "--out", &out]);
    assert!(calibrated.contains("synthetic-3-0.1.1.fieldmark"), "{calibrated}");
}

/// A shell of 30 lines of 100 columns on a terminal of its own, with `script` between it and us.
fn on_a_terminal(script: &str) -> Command {
    let mut command = Command::new("script");
    let script = format!("stty rows 30 cols 100; {script}");
    command.args(["--quiet", "--return", "--flush", "--command", &script, "/dev/null"]);
    command.env("TERM", "xterm").env("SHELL", "/bin/bash");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn quoted(arguments: &[String]) -> String {
    arguments.iter().map(|argument| format!(" '{argument}'")).collect()
}

fn side(length: u16) -> NonZero<u16> {
    NonZero::new(length).expect("a length")
}

/// All lines of a terminal, those that have run out of its top too, without blanks at their end.
fn lines(parser: &mut vt100::Parser) -> Vec<String> {
    let mut lines = Vec::new();
    parser.screen_mut().set_scrollback(usize::MAX);
    for above in (1..=parser.screen().scrollback()).rev() {
        parser.screen_mut().set_scrollback(above);
        lines.extend(parser.screen().rows(0, 100).next());
    }
    parser.screen_mut().set_scrollback(0);
    lines.extend(parser.screen().rows(0, 100));
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Runs it to the end, with Ctrl-C once the terminal shows `interrupt`; gives the terminal, and whether it ever showed
/// all of `awaited` at once.
fn watched(mut command: Command, awaited: &[&str], interrupt: Option<&str>) -> (vt100::Parser, bool) {
    let mut child = command.spawn().expect("script");
    let (mut keyboard, mut output) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
    let mut parser = vt100::Parser::new(side(30), side(100), 1000);
    let (mut shown, mut bytes) = (false, [0; 4096]);
    loop {
        let read = output.read(&mut bytes).expect("what the terminal gets");
        if read == 0 {
            break;
        }
        parser.process(&bytes[..read]);
        let contents = parser.screen().contents();
        shown |= awaited.iter().all(|text| contents.contains(text));
        if interrupt.is_some_and(|text| contents.contains(text))
            && let Some(mut keyboard) = keyboard.take()
        {
            keyboard.write_all(&[3]).expect("a key");
            // Its end would be another key.
            std::mem::forget(keyboard);
        }
    }
    child.wait().expect("its end");
    (parser, shown)
}

fn assert_left_as_it_was(parser: &vt100::Parser) {
    let screen = parser.screen();
    assert!(!screen.hide_cursor() && !screen.alternate_screen() && !screen.bracketed_paste());
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    assert_eq!(screen.fgcolor(), vt100::Color::Default);
}

#[test]
fn a_terminal_shows_the_course_and_is_left_as_it_was() {
    let field = Field::new();
    let recipe = std::fs::read_to_string(field.path("recipe.toml")).expect("a recipe");
    let asked = recipe.replace("[train]", "[train]\nvalidate = true");
    std::fs::write(field.path("recipe.toml"), &asked).expect("write");
    let train = format!("{TRAINER}{}", quoted(&field.training("seen")));
    let awaited =
        ["stage 2 of 2, leaves", "│", "now ", "top-1 species 0.", "genus", "pictures a second", "left"];
    let (mut parser, shown) =
        watched(on_a_terminal(&format!("echo before; {train}; echo after")), &awaited, None);
    let all = lines(&mut parser);
    assert!(shown, "{all:#?}");
    assert_left_as_it_was(&parser);
    let count = |wanted: &str| all.iter().filter(|line| line.contains(wanted)).count();
    assert_eq!((all[0].as_str(), count("pictures a second"), count("now ")), ("before", 1, 1), "{all:#?}");
    let drawn = |line: &String| line.split_once('│').is_some_and(|(_, losses)| losses.contains('█'));
    assert!(all.iter().any(drawn), "{all:#?}");
    assert!(all.iter().any(|line| line.starts_with("top-1 on ")), "{all:#?}");
    assert!(all.contains(&"after".to_owned()), "{all:#?}");

    // Interrupted.
    let train = format!("{TRAINER}{}", quoted(&field.training("interrupted")));
    let (mut parser, shown) = watched(
        on_a_terminal(&format!("trap : INT; echo before; {train}; echo after")),
        &["stage 1 of 2"],
        Some("pictures a second"),
    );
    let all = lines(&mut parser);
    assert!(shown && !field.path("interrupted/synthetic-3-1/evaluation.json").exists(), "{all:#?}");
    assert_left_as_it_was(&parser);
    assert_eq!(all[0], "before");
    assert!(all.iter().any(|line| line.trim_start_matches("^C") == "after"), "a line of its own: {all:#?}");

    // Ended by an error.
    std::fs::write(field.path("recipe.toml"), asked.replace("rate = 0.003", "rate = 1e30")).expect("write");
    let train = format!("{TRAINER}{}", quoted(&field.training("diverged")));
    let (mut parser, _) = watched(on_a_terminal(&format!("{train}; echo after")), &[], None);
    let all = lines(&mut parser);
    assert_left_as_it_was(&parser);
    let error = all.iter().position(|line| line.starts_with("fieldmark-trainer: the loss of step "));
    assert!(error.is_some(), "a line of its own: {all:#?}");
}

#[test]
fn a_run_without_a_terminal_leaves_a_line_now_and_then() {
    let field = Field::new();
    let output = Command::new(TRAINER).args(field.training("plain")).output().expect("the trainer");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("stage 1 of 2, depth 6: step 1 of "), "{text}");
    assert!(text.contains("stage 2 of 2, leaves: step ") && !text.contains('\x1b'), "{text}");
    assert!(text.lines().count() < 10, "{text}");
}

#[test]
fn a_recipe_that_cannot_be_followed_ends_with_64_and_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(&recipe, "stage = 1\n").expect("write");
    let output = Command::new(TRAINER).arg("train").arg(&recipe).output().expect("the trainer");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("recipe.toml"), "{output:?}");
}
