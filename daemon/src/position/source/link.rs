//! Bytes from a serial port, a socket, or datagrams.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serial2::SerialPort;

/// Reading looks up so often whether it is to end.
const LOOK_UP: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_secs(5);
/// Largest datagram.
const DATAGRAM: usize = 65_536;

/// Where to listen or connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Datagrams that come to this address of ours.
    Udp(SocketAddr),
    /// A connection to this host and port.
    Tcp(String),
    /// A serial device, or a pseudo-terminal, at this many bits a second.
    Serial(PathBuf, u32),
}

/// No address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give udp://0.0.0.0:14550 (listens), tcp://host:port (connects) or serial:/dev/ttyACM0:57600")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(listen) = text.strip_prefix("udp://") {
            return listen.parse().map(Self::Udp).map_err(|_| AddressError);
        }
        if let Some(host) = text.strip_prefix("tcp://") {
            let (name, port) = host.rsplit_once(':').ok_or(AddressError)?;
            let good = !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
            return if good { Ok(Self::Tcp(host.into())) } else { Err(AddressError) };
        }
        let device = text.strip_prefix("serial:").ok_or(AddressError)?;
        let (path, baud) = device.rsplit_once(':').ok_or(AddressError)?;
        let baud = baud.parse().ok().filter(|baud| (300..=4_000_000).contains(baud)).ok_or(AddressError)?;
        if path.starts_with('/') { Ok(Self::Serial(path.into(), baud)) } else { Err(AddressError) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Serial(path, baud) => write!(f, "serial:{}:{baud}", path.display()),
        }
    }
}

impl Address {
    /// Opens it and says `greeting`. Reading gives up after a while, so that one can look up.
    pub(super) fn open(&self, greeting: &str) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Udp(address) => {
                let socket = UdpSocket::bind(address)?;
                socket.set_read_timeout(Some(LOOK_UP))?;
                Ok(Box::new(Datagrams { socket, bytes: vec![0; DATAGRAM], from: 0, to: 0 }))
            }
            Self::Tcp(host) => {
                let mut refused = io::Error::from(io::ErrorKind::NotFound);
                for address in host.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT) {
                        Ok(mut stream) => {
                            stream.set_read_timeout(Some(LOOK_UP))?;
                            stream.write_all(greeting.as_bytes())?;
                            return Ok(Box::new(stream));
                        }
                        Err(error) => refused = error,
                    }
                }
                Err(refused)
            }
            Self::Serial(path, baud) => {
                let mut port = SerialPort::open(path, *baud)?;
                port.set_read_timeout(LOOK_UP)?;
                Ok(Box::new(port))
            }
        }
    }
}

/// Datagrams as a stream: one that is longer than what is asked for is read on.
struct Datagrams {
    socket: UdpSocket,
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Read for Datagrams {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.from >= self.to {
            (self.from, self.to) = (0, self.socket.recv(&mut self.bytes)?);
        }
        let rest = self.bytes.get(self.from..self.to).unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.from += count;
        // An empty datagram is no end.
        if count == 0 && !out.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}

/// Whether nothing came for a while, and nothing worse.
pub(super) fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["udp://0.0.0.0:14550", "tcp://autopilot.local:5760", "serial:/dev/ttyTHS1:921600"] {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
        for text in [
            "",
            "udp://x",
            "tcp://host",
            "tcp://host:0",
            "serial:ttyS0:9600",
            "serial:/dev/ttyS0",
            "ws://h:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }
}
