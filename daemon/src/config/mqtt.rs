//! The broker, and how much may be asked of the way there.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::raw::RawMqtt;
use super::refusal::{ConfigError, number, refuse, whole};

/// Seconds over which a metered link gathers detections.
const METERED_BATCH: f64 = 15.0;

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
}

/// Version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1.
    V3,
    /// 5.
    V5,
}

impl FromStr for MqttVersion {
    type Err = &'static str;

    /// # Errors
    /// If it is neither of them; says what to give.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "5" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V3),
            _ => Err("give \"5\" or \"3.1.1\""),
        }
    }
}

impl Transport {
    const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::WebSocket, Self::SecureWebSocket];

    fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::WebSocket => 80,
            Self::SecureWebSocket => 443,
        }
    }

    fn has_path(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// What carries the bytes.
    pub transport: Transport,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path, with its slash; `/mqtt` where a WebSocket's was not given, empty otherwise.
    pub path: String,
}

impl BrokerUrl {
    /// Parses `mqtt://host[:port]`, `mqtts://host[:port]`, `ws://host[:port][/path]` or `wss://host[:port][/path]`.
    ///
    /// # Errors
    /// If it is another kind of URL, or carries what belongs into other keys.
    pub fn parse(key: &str, text: &str) -> Result<Self, ConfigError> {
        let rule = "give mqtt://host:port, mqtts://host:port for TLS, or ws:// and wss:// for WebSocket (user name and password have their own keys)";
        let Ok(parsed) = url::Url::parse(text) else { return refuse(key, format!("{text:?}"), rule) };
        let known = Transport::ALL.into_iter().find(|transport| transport.scheme() == parsed.scheme());
        let Some(transport) = known else { return refuse(key, format!("{text:?}"), rule) };
        let plain = parsed.username().is_empty() && parsed.password().is_none();
        let pathless = matches!(parsed.path(), "" | "/");
        let bare = (pathless || transport.has_path()) && parsed.query().is_none();
        let Some(host) = parsed.host_str().filter(|host| !host.is_empty() && plain && bare) else {
            return refuse(key, format!("{text:?}"), rule);
        };
        // Brackets belong to the URL, not to the IPv6 address.
        let host = host.trim_start_matches('[').trim_end_matches(']').into();
        let path = match (transport.has_path(), pathless) {
            (true, true) => "/mqtt",
            (true, false) => parsed.path(),
            (false, _) => "",
        };
        let port = parsed.port().unwrap_or(transport.default_port());
        Ok(Self { transport, host, port, path: path.into() })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, Self { host, port, path, .. }) = (self.transport.scheme(), self);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}{path}")
        } else {
            write!(f, "{scheme}://{host}:{port}{path}")
        }
    }
}

/// Where and how to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttConfig {
    /// The broker.
    pub url: BrokerUrl,
    /// Version of the protocol.
    pub version: MqttVersion,
    /// User name.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Certificates to believe, PEM; `None` takes the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM; there exactly when the certificate is.
    pub key_file: Option<PathBuf>,
    /// Time between pings.
    pub keep_alive: Duration,
    /// Time an attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long the broker keeps commands for this node while it is away; zero keeps none.
    pub session_expiry: Duration,
    /// Messages sent and not acknowledged at one time.
    pub in_flight: u16,
    /// Largest packet sent or taken, bytes.
    pub max_packet: u32,
    /// Most that is sent in a second, bytes; `None` is no limit.
    pub max_bytes_per_second: Option<f64>,
    /// The link costs money or power: no pictures.
    pub metered: bool,
    /// Time over which detections are gathered and sent together; zero sends each at once.
    pub batch: Duration,
    /// How long a clean stop waits for acknowledgements.
    pub stop_timeout: Duration,
    /// Time between two `metrics` messages.
    pub metrics: Duration,
}

impl MqttConfig {
    /// A subscriber's settings: defaults all over.
    #[must_use]
    pub fn subscriber(url: BrokerUrl, username: Option<String>, password_file: Option<PathBuf>) -> Self {
        let seconds = Duration::from_secs;
        Self {
            url,
            version: MqttVersion::V5,
            username,
            password_file,
            ca_file: None,
            cert_file: None,
            key_file: None,
            keep_alive: seconds(30),
            connect_timeout: seconds(15),
            session_expiry: Duration::ZERO,
            in_flight: 100,
            max_packet: 4 << 20,
            max_bytes_per_second: None,
            metered: false,
            batch: Duration::ZERO,
            stop_timeout: seconds(10),
            metrics: seconds(10),
        }
    }
}

pub(super) fn mqtt(raw: RawMqtt, embedded: Option<SocketAddr>) -> Result<MqttConfig, ConfigError> {
    let url = match (&raw.url, embedded) {
        (Some(url), _) => BrokerUrl::parse("mqtt.url", url)?,
        (None, Some(listen)) => loopback(listen),
        (None, None) => {
            let rule =
                "say where the broker is, such as mqtt://broker.local:1883, or set broker.embedded = true";
            return refuse("mqtt.url", "(absent)", rule);
        }
    };
    check_together(&raw, &url)?;
    let text = raw.version.as_deref().unwrap_or("5");
    let version =
        text.parse::<MqttVersion>().or_else(|rule| refuse("mqtt.version", format!("{text:?}"), rule))?;
    let metered = raw.metered.unwrap_or(false);
    let batch = raw.batch_s.unwrap_or(if metered { METERED_BATCH } else { 0.0 });
    let seconds = |key: &str, value| {
        whole(format!("mqtt.{key}"), value).map(|seconds| Duration::from_secs(seconds.into()))
    };
    let fraction = |key: &str, value| number(format!("mqtt.{key}"), value).map(Duration::from_secs_f64);
    let rate = number("mqtt.max_kbit_s", raw.max_kbit_s)?;
    Ok(MqttConfig {
        url,
        version,
        keep_alive: seconds("keep_alive_s", raw.keep_alive_s)?,
        connect_timeout: seconds("connect_timeout_s", raw.connect_timeout_s)?,
        session_expiry: seconds("session_expiry_s", raw.session_expiry_s)?,
        in_flight: u16::try_from(whole("mqtt.in_flight", raw.in_flight)?).unwrap_or(u16::MAX),
        max_packet: whole("mqtt.max_packet_kb", raw.max_packet_kb)? << 10,
        max_bytes_per_second: (rate > 0.0).then_some(rate * 125.0),
        metered,
        batch: fraction("batch_s", Some(batch))?,
        stop_timeout: fraction("stop_timeout_s", raw.stop_timeout_s)?,
        metrics: fraction("metrics_s", raw.metrics_s)?,
        username: raw.username,
        password_file: raw.password_file,
        ca_file: raw.ca_file,
        cert_file: raw.cert_file,
        key_file: raw.key_file,
    })
}

/// Keys that need each other.
fn check_together(raw: &RawMqtt, url: &BrokerUrl) -> Result<(), ConfigError> {
    if raw.password_file.is_some() && raw.username.is_none() {
        return refuse("mqtt.username", "(absent)", "mqtt.password_file needs a user name beside it");
    }
    if raw.cert_file.is_some() != raw.key_file.is_some() {
        let absent = if raw.key_file.is_none() { "mqtt.key_file" } else { "mqtt.cert_file" };
        return refuse(absent, "(absent)", "a certificate and its key are given together");
    }
    let tls = matches!(url.transport, Transport::Tls | Transport::SecureWebSocket);
    if !tls && (raw.ca_file.is_some() || raw.cert_file.is_some()) {
        return refuse("mqtt.url", url, "certificates need mqtts:// or wss://");
    }
    Ok(())
}

/// How the daemon reaches its own broker: one that listens on every address is reached on loopback.
fn loopback(listen: SocketAddr) -> BrokerUrl {
    let host = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => "127.0.0.1".into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => "::1".into(),
        other => other.ip().to_string(),
    };
    BrokerUrl { transport: Transport::Tcp, host, port: listen.port(), path: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_is_read_and_written_again() {
        for (text, port) in [
            ("mqtt://broker.local", 1883),
            ("mqtts://[::1]", 8883),
            ("ws://h:8080/mqtt", 8080),
            ("wss://h/other", 443),
        ] {
            let url = BrokerUrl::parse("mqtt.url", text).expect("a URL");
            assert_eq!(url.port, port);
            assert_eq!(BrokerUrl::parse("mqtt.url", &url.to_string()), Ok(url));
        }
        assert_eq!(BrokerUrl::parse("k", "ws://h").expect("a URL").path, "/mqtt");
        for bad in ["mqtt://h/path", "mqtt://me:secret@h", "http://h", "h", "wss://h/?a=b"] {
            assert!(BrokerUrl::parse("mqtt.url", bad).is_err(), "{bad}");
        }
    }
}
