//! A real mosquitto, and `mosquitto_sub` on everything fieldmark publishes.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Killed when it goes out of scope.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    _broker: Running,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).expect("write");
        let path = std::env::var("PATH").unwrap_or_default();
        let broker = Command::new("mosquitto")
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-c")
            .arg(config)
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto: tests/install");
        wait_until("listening", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, _broker: Running(broker), _folder: folder }
    }
}

/// Lines of `mosquitto_sub -v`: topic, a space, payload.
pub(crate) struct Listener {
    heard: Arc<Mutex<Vec<String>>>,
    _child: Running,
}

impl Listener {
    /// Hears everything from now on: a message of its own that comes back shows that the subscription is in force.
    pub(crate) fn start(port: u16) -> Self {
        let listener = Self::subscribe(port);
        let ready = ["-p", &port.to_string(), "-t", "test/ready", "-m", "yes"];
        wait_until("the subscription", || {
            let sent =
                Command::new("mosquitto_pub").args(ready).status().expect("mosquitto_pub: tests/install");
            sent.success() && !listener.on("test/ready").is_empty()
        });
        listener
    }

    fn subscribe(port: u16) -> Self {
        let mut child = Command::new("mosquitto_sub")
            .args(["-p", &port.to_string(), "-t", "fieldmark/#", "-t", "test/#", "-v"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub: tests/install");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                all.lock().expect("no panic").push(line);
            }
        });
        Self { heard, _child: Running(child) }
    }

    /// Payloads of `topic` so far.
    pub(crate) fn on(&self, topic: &str) -> Vec<String> {
        let prefix = format!("{topic} ");
        let heard = self.heard.lock().expect("no panic");
        heard.iter().filter_map(|line| line.strip_prefix(&prefix).map(Into::into)).collect()
    }
}
