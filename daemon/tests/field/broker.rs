//! A real mosquitto and its command line listener.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const INSTALL: &str = "mosquitto is needed: apt-get install -y mosquitto mosquitto-clients";
const PATIENCE: Duration = Duration::from_secs(30);
/// What a listener hears that is not told otherwise.
const EVERYTHING: [&str; 3] = ["fieldmark/#", "homeassistant/#", "test/#"];

/// A port nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// A mosquitto with a folder of its own, which outlives kills.
pub struct Broker {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
}

impl Broker {
    /// Anybody may connect; nothing survives.
    pub fn start(port: u16) -> Self {
        Self::with(port, &format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"))
    }

    /// Anybody may connect; sessions and retained messages survive a kill, a second old at most.
    pub fn persistent(port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nautosave_on_changes true\nuser root\n",
            folder.path().display()
        );
        Self::in_folder(port, &text, folder)
    }

    /// With the configuration `text`; `port` is the one to wait for.
    pub fn with(port: u16, text: &str) -> Self {
        Self::in_folder(port, text, tempfile::tempdir().expect("a folder"))
    }

    pub fn in_folder(port: u16, text: &str, folder: tempfile::TempDir) -> Self {
        std::fs::write(folder.path().join("mosquitto.conf"), text).expect("write");
        let mut broker = Self { child: None, port, folder };
        broker.run();
        broker
    }

    pub fn run(&mut self) {
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("mosquitto")
            .env("PATH", format!("{path}:/usr/sbin"))
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(INSTALL);
        self.child = Some(child);
        wait_for_port(self.port);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
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
        Self::with(port, version, &[])
    }

    /// As [`Self::start`], with more `arguments` to `mosquitto_sub`.
    pub fn with(port: u16, version: &str, arguments: &[&str]) -> Self {
        let listener = Self::spawn(port, version, &EVERYTHING, arguments);
        listener.wait_subscribed(port);
        listener
    }

    /// On what node `node` publishes, and nothing else.
    pub fn of_node(port: u16, node: &str) -> Self {
        let listener = Self::spawn(port, "311", &[&format!("fieldmark/{node}/#"), "test/#"], &[]);
        listener.wait_subscribed(port);
        listener
    }

    /// As [`Self::with`], where the broker lets nobody see whether the subscription is in force.
    pub fn unchecked(port: u16, arguments: &[&str]) -> Self {
        Self::spawn(port, "311", &EVERYTHING, arguments)
    }

    fn spawn(port: u16, version: &str, topics: &[&str], arguments: &[&str]) -> Self {
        wait_for_port(port);
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", version, "-q", "1"])
            .args(topics.iter().flat_map(|topic| ["-t", topic]))
            .args(["-F", "%t %p"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect(INSTALL);
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = Self { child, heard: Arc::clone(&heard) };
        std::thread::spawn(move || {
            // Snapshots are no text.
            for line in lines.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                if let Some((topic, payload)) = line.split_once(' ') {
                    heard.lock().expect("no panic").push((topic.to_owned(), payload.to_owned()));
                }
            }
        });
        listener
    }

    /// A message of our own that comes back shows that the subscription is in force.
    pub fn wait_subscribed(&self, port: u16) {
        let before = self.on("test/ready").len();
        for _ in 0..600 {
            let _ = Command::new("mosquitto_pub")
                .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "test/ready", "-m", "yes"])
                .stderr(Stdio::null())
                .status()
                .expect(INSTALL);
            if self.on("test/ready").len() > before {
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

    /// Waits until `count` messages came on `topic`, without getting in the way of those that come.
    pub fn wait_count(&self, topic: &str, count: usize) {
        let begun = Instant::now();
        let came = || self.heard.lock().expect("no panic").iter().filter(|(heard, _)| heard == topic).count();
        while came() < count {
            assert!(begun.elapsed() < 2 * PATIENCE, "{} of {count} messages on {topic}", came());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The payloads on `topic` once `enough` of them say so.
    pub fn wait(&self, topic: &str, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.wait_for(topic, PATIENCE, enough)
    }

    /// As [`Self::wait`], for slow links.
    pub fn wait_long(&self, topic: &str, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.wait_for(topic, 10 * PATIENCE, enough)
    }

    fn wait_for(&self, topic: &str, patience: Duration, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let payloads = self.on(topic);
            if enough(&payloads) {
                return payloads;
            }
            if begun.elapsed() > patience {
                let all = self.all();
                panic!(
                    "waited in vain on {topic}; heard {} messages, last {:#?}",
                    all.len(),
                    &all[all.len().saturating_sub(12)..]
                );
            }
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
