//! The binaries under test, in a folder of their own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Flaw, Listener, write_folder, write_package};

const STATUS: &str = "fieldmark/n1/status";
/// On a loaded machine, over a narrow link, a daemon takes its time to deliver what waits.
const FAREWELL: Duration = Duration::from_secs(150);

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn fieldmarkd(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_fieldmarkd"), arguments)
}

pub fn fieldmark(arguments: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_fieldmark"), arguments)
}

/// Runs `binary` to its end.
pub fn run(binary: &str, arguments: &[&str]) -> Output {
    let output = Command::new(binary).args(arguments).output().expect("the binary");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with a toy package, pictures, and a configuration.
pub struct Field {
    folder: tempfile::TempDir,
}

impl Field {
    /// Node `n1` with camera `pond` that shows `pictures` pictures; `lines` are added to the camera's table,
    /// `tables` to the file.
    pub fn new(broker: &str, pictures: usize, lines: &str, tables: &str) -> Self {
        let field = Self { folder: tempfile::tempdir().expect("a folder") };
        write_package(&field.path("toy.fieldmark"), Flaw::None);
        write_folder(&field.path("pictures"), pictures);
        let (package, folder) = (field.path("toy.fieldmark"), field.path("pictures"));
        let outbox = if tables.contains("[outbox]") {
            String::new()
        } else {
            format!("[outbox]\nfolder = {:?}\n", field.path("state"))
        };
        let text = format!(
            "node = \"n1\"\n[model]\npackage = {package:?}\n{broker}\n{outbox}{tables}\n[camera.pond]\nsource = \"files\"\nfolder = {folder:?}\n{lines}\n"
        );
        std::fs::write(field.path("fieldmark.toml"), text).expect("write");
        field
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    pub fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// With more variables in its environment.
    pub fn start_with(&self, variables: &[(&str, &str)]) -> Daemon {
        let log = std::fs::File::create(self.path("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_fieldmarkd"))
            .arg("--config")
            .arg(self.path("fieldmark.toml"))
            .envs(variables.iter().copied())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the daemon");
        Daemon { child }
    }

    /// Ends the daemon as systemd does.
    pub fn end(&self, daemon: &mut Daemon) {
        daemon.signal("-TERM");
        assert_eq!(daemon.wait_for(FAREWELL), Some(0), "{}", self.log());
    }

    /// As [`Self::end`], and waits until `listener` has heard that it stopped: the broker had that last, so the
    /// listener has then heard everything.
    pub fn stop(&self, daemon: &mut Daemon, listener: &Listener) {
        let stopped = |heard: &[String]| heard.iter().filter(|status| *status == "stopped").count();
        let before = stopped(&listener.on(STATUS));
        self.end(daemon);
        listener.wait_long(STATUS, |heard| stopped(heard) > before);
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("a log")
    }

    pub fn wait_for_log(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{text:?} is not in the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub struct Daemon {
    child: Child,
}

impl Daemon {
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.wait_for(Duration::from_secs(30))
    }

    pub fn wait_for(&mut self, patience: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begun.elapsed() < patience, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
