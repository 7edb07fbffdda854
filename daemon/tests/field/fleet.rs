//! A fleet manager's office and the nodes that follow it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Flaw, Output, Toy, fieldmark, write_folder, write_toy};

/// Keys, a repository and packages in a folder; a broker they are published on.
pub struct Office {
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Office {
    /// A repository with one root key, one for releases and one online.
    pub fn new(port: u16) -> Self {
        let office = Self { folder: tempfile::tempdir().expect("a folder"), port };
        for key in ["root", "targets", "online"] {
            office.must(&["release", "key", "new", &office.text(&format!("{key}.pem"))]);
        }
        let (root, targets, online) =
            (office.text("root.pem"), office.text("targets.pem"), office.text("online.pem"));
        office.must(&[
            "release",
            "init",
            &office.repository(),
            "--root-key",
            &root,
            "--targets-key",
            &targets,
            "--online-key",
            &online,
        ]);
        office
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    pub fn repository(&self) -> String {
        self.text("repository")
    }

    pub fn root(&self) -> String {
        self.text("repository/metadata/1.root.json")
    }

    pub fn broker(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn must(&self, arguments: &[&str]) -> String {
        let Output { code, out, err } = fieldmark(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
        out
    }

    /// Makes a package and gives its path.
    pub fn package(&self, toy: Toy) -> String {
        let (major, minor, patch) = toy.version;
        let path = self.path(&format!("toy-{major}.{minor}.{patch}.fieldmark"));
        write_toy(&path, toy);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Releases `file` and publishes it.
    pub fn release_file(&self, file: &str, more: &[&str]) {
        let (repository, targets, online, broker) =
            (self.repository(), self.text("targets.pem"), self.text("online.pem"), self.broker());
        let mut arguments = vec![
            "release",
            "add",
            &repository,
            file,
            "--key",
            &targets,
            "--key",
            &online,
            "--broker",
            &broker,
        ];
        arguments.extend(more);
        self.must(&arguments);
    }

    pub fn release(&self, minor: u64, flaw: Flaw, filler: usize) {
        let file = self.package(Toy { version: (1, minor, 0), flaw, filler });
        self.release_file(&file, &["--unopened"]);
    }

    /// `fieldmark rollout start`, in the background.
    pub fn roll_out(&self, release: &str, more: &[&str]) -> Driver {
        self.roll_out_over(&self.broker(), release, more)
    }

    /// The same over another way to the broker.
    pub fn roll_out_over(&self, broker: &str, release: &str, more: &[&str]) -> Driver {
        let root = self.root();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldmark"));
        command
            .args(["rollout", "start", release, "--group", "g", "--broker", broker, "--root", &root])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Driver { child: Some(command.spawn().expect("the coordinator")) }
    }

    pub fn rollout(&self, what: &str) -> Output {
        let broker = self.broker();
        match what {
            "rollback" => fieldmark(&["rollback", "--group", "g", "--broker", &broker]),
            what => fieldmark(&["rollout", what, "--group", "g", "--broker", &broker]),
        }
    }

    /// A node of group `g` with the model 1.0.0, `update` in its `[update]` table.
    pub fn node(&self, name: &str, update: &str) -> Node {
        Node::new(self, name, update)
    }
}

/// A coordinator that runs.
pub struct Driver {
    child: Option<Child>,
}

impl Driver {
    pub fn wait(mut self) -> Output {
        let child = self.child.take().expect("a child");
        let output = child.wait_with_output().expect("its end");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub fn kill(mut self) {
        let mut child = self.child.take().expect("a child");
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One node: a folder and, while it runs, a process.
pub struct Node {
    pub name: String,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Node {
    fn new(office: &Office, name: &str, update: &str) -> Self {
        let node = Self { name: name.into(), folder: tempfile::tempdir().expect("a folder"), child: None };
        write_toy(&node.path("toy.fieldmark"), Toy { version: (1, 0, 0), flaw: Flaw::None, filler: 0 });
        write_folder(&node.path("pictures"), 2);
        let (package, pictures, state) =
            (node.path("toy.fieldmark"), node.path("pictures"), node.path("state"));
        let repository = if update.contains("repository") { "" } else { "repository = \"mqtt\"\n" };
        let text = format!(
            "node = {name:?}\n[model]\npackage = {package:?}\n[mqtt]\nurl = {:?}\nmetrics_s = 0.5\n\
             [outbox]\nfolder = {state:?}\n[commands]\nallow = [\"install\", \"threshold\"]\n\
             [update]\ngroup = \"g\"\nroot = {:?}\n{repository}free_mb = 0\n{update}\n\
             [camera.pond]\nsource = \"files\"\nfolder = {pictures:?}\nrate_hz = 20.0\n",
            office.broker(),
            office.root(),
        );
        std::fs::write(node.path("fieldmark.toml"), text).expect("write");
        node
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// With more variables in its environment.
    pub fn start_with(&mut self, variables: &[(&str, &str)]) {
        self.kill();
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.path("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_fieldmarkd"))
            .arg("--config")
            .arg(self.path("fieldmark.toml"))
            .envs(variables.iter().copied())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the daemon");
        self.child = Some(child);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let begun = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} does not end: {}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child").is_none())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What the node's journal says, read from its disk.
    pub fn journal(&self) -> Option<Value> {
        self.journal_of("model")
    }

    /// The same of its configuration.
    pub fn journal_of(&self, kind: &str) -> Option<Value> {
        let path = self.path(&format!("state/update-{}/{kind}/journal.json", self.name));
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    pub fn phase(&self) -> String {
        let journal = self.journal().unwrap_or_default();
        journal["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub fn wait_phase(&self, wanted: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let phase = self.phase();
            if wanted.contains(&phase.as_str()) {
                return phase;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(90),
                "{} is {phase:?} and not {wanted:?}: {:?}\n{}",
                self.name,
                self.journal(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn error(&self) -> String {
        let journal = self.journal().unwrap_or_default();
        journal["error"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Copies a folder and all in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
        }
    }
}
