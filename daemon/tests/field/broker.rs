//! A real mosquitto and its command line listener.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const INSTALL: &str = "mosquitto is needed: apt-get install -y mosquitto mosquitto-clients";
const PATIENCE: Duration = Duration::from_secs(30);

/// A port nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

pub struct Broker {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Broker {
    pub fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        std::fs::write(&config, text).expect("write");
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("mosquitto")
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect(INSTALL);
        wait_for_port(port);
        Self { child, _folder: folder }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_for_port(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What came: topic and payload.
pub type Heard = (String, String);

/// `mosquitto_sub` on everything.
pub struct Listener {
    child: Child,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Listener {
    /// Listens as MQTT `version`: `311` or `5`.
    pub fn start(port: u16, version: &str) -> Self {
        wait_for_port(port);
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version, "-q", "1"])
            .args(["-t", "fieldmark/#", "-t", "test/#", "-F", "%t %p"])
            .stdout(Stdio::piped())
            .spawn()
            .expect(INSTALL);
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = Self { child, heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Some((topic, payload)) = line.split_once(' ') {
                    heard.lock().expect("no panic").push((topic.to_owned(), payload.to_owned()));
                }
            }
        });
        listener.wait_subscribed(port);
        listener
    }

    /// A message of our own that comes back shows that the subscription is in force.
    fn wait_subscribed(&self, port: u16) {
        for _ in 0..100 {
            let _ = Command::new("mosquitto_pub")
                .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "test/ready", "-m", "yes"])
                .status()
                .expect(INSTALL);
            if self.all().iter().any(|(topic, _)| topic == "test/ready") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the listener never heard its own message");
    }

    pub fn all(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }

    pub fn on(&self, topic: &str) -> Vec<String> {
        self.all().into_iter().filter(|(heard, _)| heard == topic).map(|(_, payload)| payload).collect()
    }

    /// The payloads on `topic` once `enough` of them say so.
    pub fn wait(&self, topic: &str, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let payloads = self.on(topic);
            if enough(&payloads) {
                return payloads;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain on {topic}; heard {:#?}", self.all());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
