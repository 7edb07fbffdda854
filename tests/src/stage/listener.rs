//! Everything the daemon publishes, with the moment it came.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Failure, shell};

const PATIENCE: Duration = Duration::from_secs(60);

/// A message.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When it came.
    pub at: Instant,
    /// Its topic without `fieldmark/guest/`.
    pub topic: String,
    /// What it says.
    pub message: Value,
}

/// `mosquitto_sub` on everything.
pub struct Listener {
    child: Child,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Listener {
    /// Listens at the broker inside the daemon, which may still be starting.
    ///
    /// # Errors
    /// If there is no `mosquitto_sub`, or no broker.
    pub fn start() -> Result<Self, Failure> {
        Self::with(&[])
    }

    /// As [`Self::start`], with a session that the broker keeps while it or the listener is away.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn lasting(name: &str) -> Result<Self, Failure> {
        Self::with(&["-c", "-i", name])
    }

    fn with(more: &[&str]) -> Result<Self, Failure> {
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", 1883)).is_err() {
            let died = shell("systemctl is-failed fieldmarkd").is_ok();
            if died || begun.elapsed() > Duration::from_secs(900) {
                return Err("the daemon's broker does not listen; the journal says why".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-q", "1", "-t", "fieldmark/#", "-F", "%t %p"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let Some((topic, payload)) = line.split_once(' ') else { continue };
                let message = serde_json::from_str(payload).unwrap_or_else(|_| payload.into());
                let topic = topic.trim_start_matches("fieldmark/guest/").to_owned();
                into.lock().unwrap_or_else(PoisonError::into_inner).push(Heard {
                    at: Instant::now(),
                    topic,
                    message,
                });
            }
        });
        Ok(Self { child, heard })
    }

    /// Everything so far.
    #[must_use]
    pub fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first message on `topic` at or after `from` that is `right`.
    ///
    /// # Errors
    /// If none comes in a minute, with what came instead.
    pub fn wait(&self, topic: &str, from: Instant, right: impl Fn(&Value) -> bool) -> Result<Heard, Failure> {
        self.wait_for(PATIENCE, topic, from, right)
    }

    /// The same with more or less patience.
    ///
    /// # Errors
    /// If none comes in time, with what came instead.
    pub fn wait_for(
        &self,
        patience: Duration,
        topic: &str,
        from: Instant,
        right: impl Fn(&Value) -> bool,
    ) -> Result<Heard, Failure> {
        let begun = Instant::now();
        loop {
            let all = self.all();
            let mut on_topic = all.iter().filter(|heard| heard.topic == topic && heard.at >= from);
            if let Some(heard) = on_topic.find(|heard| right(&heard.message)) {
                return Ok(heard.clone());
            }
            if begun.elapsed() > patience {
                let last: Vec<_> = all
                    .iter()
                    .rev()
                    .take(8)
                    .map(|heard| format!("{} {}", heard.topic, heard.message))
                    .collect();
                return Err(format!(
                    "waited in vain on {topic}; the last messages were\n{}",
                    last.join("\n")
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The camera's status when it is `state` at or after `from`.
    ///
    /// # Errors
    /// If it never is.
    pub fn state(&self, camera: &str, state: &str, from: Instant) -> Result<Heard, Failure> {
        self.wait(&format!("{camera}/status"), from, |status| status["state"] == state)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
