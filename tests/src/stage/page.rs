//! What the daemon's page is told, as a browser that has it open hears it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Failure;

/// Where it listens in the guest.
pub const LISTEN: &str = "127.0.0.1:8080";
/// Under emulation everything takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open page.
pub struct OpenPage {
    states: Receiver<(Instant, Value)>,
}

impl OpenPage {
    /// Opens it.
    ///
    /// # Errors
    /// If nothing listens.
    pub fn open() -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(LISTEN)?;
        stream.write_all(format!("GET /api/events HTTP/1.1\r\nHost: {LISTEN}\r\n\r\n").as_bytes())?;
        let (sender, states) = channel();
        std::thread::spawn(move || {
            // Each state is one line between those of the transfer.
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let Some(state) =
                    line.strip_prefix("data: ").and_then(|text| serde_json::from_str(text).ok())
                else {
                    continue;
                };
                if sender.send((Instant::now(), state)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { states })
    }

    /// When the page was first told, after `begun`, that `camera` is `wanted`.
    ///
    /// # Errors
    /// If it is not told in time.
    pub fn state(&self, camera: &str, wanted: &str, begun: Instant) -> Result<Instant, Failure> {
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            let (at, state) = self.states.recv_timeout(left)?;
            let cameras = state["cameras"].as_array().map(Vec::as_slice).unwrap_or_default();
            if at >= begun && cameras.iter().any(|one| one["name"] == camera && one["state"] == wanted) {
                return Ok(at);
            }
        }
        Err(format!("the page was not told within {PATIENCE:?} that camera {camera} is {wanted}").into())
    }
}
