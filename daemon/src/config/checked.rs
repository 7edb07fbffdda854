//! The configuration everything else relies on: names that fit a topic, numbers in range, one source a camera.
//!
//! The checks are written out rather than derived with `garde`: most of them tie two keys together
//! ("`folder` or `files`", "`target` or `threshold`"), and each message names the full key, the value found and
//! what is allowed, which a derived rule does not know.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::camera::{CameraConfig, camera};
use super::model::{ModelConfig, model};
use super::raw::{RawBroker, RawConfig, RawMqtt};
use super::refusal::{ConfigError, in_range, refuse, whole};

const DEFAULT_BROKER_PORT: u16 = 1883;
const DEFAULT_TLS_PORT: u16 = 8883;

/// Name of a node: one topic level.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(String);

impl NodeName {
    /// # Errors
    /// If `name` is not 1 to 64 letters, digits, `-`, `_` or `.`, or is `fleet` or `release`.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let allowed = name != "fleet" && name != "release";
        if !allowed || name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            let rule = "give 1 to 64 letters, digits, - _ or . (it becomes an MQTT topic level; `fleet` and `release` are taken)";
            return refuse("node", format!("{name:?}"), rule);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS, with the system's certificates.
    pub tls: bool,
}

impl BrokerUrl {
    /// Parses `mqtt://host[:port]` or `mqtts://host[:port]`.
    ///
    /// # Errors
    /// If it is another kind of URL, or carries what belongs into other keys.
    pub fn parse(key: &str, text: &str) -> Result<Self, ConfigError> {
        let rule = "give mqtt://host:port, or mqtts://host:port for TLS (user name and password have their own keys)";
        let Ok(parsed) = url::Url::parse(text) else { return refuse(key, format!("{text:?}"), rule) };
        let tls = match parsed.scheme() {
            "mqtt" => false,
            "mqtts" => true,
            _ => return refuse(key, format!("{text:?}"), rule),
        };
        let plain = parsed.username().is_empty() && parsed.password().is_none();
        let bare = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
        let Some(host) = parsed.host_str().filter(|host| !host.is_empty() && plain && bare) else {
            return refuse(key, format!("{text:?}"), rule);
        };
        let default = if tls { DEFAULT_TLS_PORT } else { DEFAULT_BROKER_PORT };
        // Brackets belong to the URL, not to the IPv6 address.
        let host = host.trim_start_matches('[').trim_end_matches(']').into();
        Ok(Self { host, port: parsed.port().unwrap_or(default), tls })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Where and how to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttConfig {
    /// The broker.
    pub url: BrokerUrl,
    /// User name.
    pub username: Option<String>,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Time between pings.
    pub keep_alive: Duration,
    /// Messages kept in memory while the broker is away; the oldest go first.
    pub queue: usize,
    /// How long a clean stop waits for acknowledgements.
    pub stop_timeout: Duration,
    /// Time between two `metrics` messages.
    pub metrics: Duration,
}

/// The broker inside the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Address it listens on.
    pub listen: SocketAddr,
}

/// Everything, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// This node.
    pub node: NodeName,
    /// The model.
    pub model: ModelConfig,
    /// Publishing.
    pub mqtt: MqttConfig,
    /// The embedded broker, where one is wanted.
    pub broker: Option<BrokerConfig>,
    /// Log filter.
    pub log: String,
    /// Cameras, by name.
    pub cameras: Vec<CameraConfig>,
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let broker = broker(&raw.broker)?;
        if raw.camera.is_empty() {
            let rule = "there is no camera: add a table [camera.NAME] with source = \"files\" or \"v4l\"";
            return refuse("camera", "{}", rule);
        }
        let host_name = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let node = raw.node.unwrap_or_else(|| host_name().trim().to_owned());
        Ok(Self {
            node: NodeName::new(&node)?,
            model: model(raw.model, &raw.place)?,
            mqtt: mqtt(raw.mqtt, broker.as_ref())?,
            broker,
            log: raw.log.level.unwrap_or_else(|| "info".into()),
            cameras: raw.camera.iter().map(|(name, raw)| camera(name, raw)).collect::<Result<_, _>>()?,
        })
    }
}

fn mqtt(raw: RawMqtt, embedded: Option<&BrokerConfig>) -> Result<MqttConfig, ConfigError> {
    let url = match (raw.url, embedded) {
        (Some(url), _) => BrokerUrl::parse("mqtt.url", &url)?,
        (None, Some(broker)) => loopback(broker.listen),
        (None, None) => {
            let rule =
                "say where the broker is, such as mqtt://broker.local:1883, or set broker.embedded = true";
            return refuse("mqtt.url", "(absent)", rule);
        }
    };
    if raw.password_file.is_some() && raw.username.is_none() {
        return refuse("mqtt.username", "(absent)", "mqtt.password_file needs a user name beside it");
    }
    let stop = in_range("mqtt.stop_timeout_s", raw.stop_timeout_s.unwrap_or(10.0), 0.1, 300.0, "seconds")?;
    let metrics = in_range("mqtt.metrics_s", raw.metrics_s.unwrap_or(10.0), 0.1, 3600.0, "seconds")?;
    let keep_alive = whole("mqtt.keep_alive_s", raw.keep_alive_s.unwrap_or(30), 5, 3600, "seconds")?;
    let queue = whole("mqtt.queue", raw.queue.unwrap_or(10_000), 10, 1_000_000, "messages")?;
    Ok(MqttConfig {
        url,
        username: raw.username,
        password_file: raw.password_file,
        keep_alive: Duration::from_secs(keep_alive.into()),
        queue: queue as usize,
        stop_timeout: Duration::from_secs_f64(stop),
        metrics: Duration::from_secs_f64(metrics),
    })
}

/// How the daemon reaches its own broker: one that listens on every address is reached on loopback.
fn loopback(listen: SocketAddr) -> BrokerUrl {
    let host = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => "127.0.0.1".into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => "::1".into(),
        other => other.ip().to_string(),
    };
    BrokerUrl { host, port: listen.port(), tls: false }
}

fn broker(raw: &RawBroker) -> Result<Option<BrokerConfig>, ConfigError> {
    let text = raw.listen.as_deref().unwrap_or("127.0.0.1:1883");
    let Ok(listen) = text.parse::<SocketAddr>() else {
        let rule = "give address:port, such as 127.0.0.1:1883, or 0.0.0.0:1883 for every interface";
        return refuse("broker.listen", format!("{text:?}"), rule);
    };
    if listen.port() == 0 {
        return refuse("broker.listen", format!("{text:?}"), "give a port from 1 to 65535");
    }
    Ok(raw.embedded.unwrap_or(false).then_some(BrokerConfig { listen }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;
    use crate::decide::{Dial, Sureness};

    fn refusal(text: &str) -> String {
        let message = load_text(text).expect_err("a refusal").to_string();
        message.strip_prefix("the configuration cannot be used: ").expect("a refused value").to_owned()
    }

    const CAMERA: &str = "[camera.pond]\nsource = \"files\"\nfolder = \"x\"\n";

    #[test]
    fn a_short_configuration_has_sensible_defaults() {
        let config = load_text(&format!("node = \"n1\"\n[broker]\nembedded = true\n{CAMERA}")).expect("good");
        assert_eq!(config.mqtt.url.to_string(), "mqtt://127.0.0.1:1883");
        assert_eq!(config.model.dial, Dial::everywhere(Sureness::Target(0.9)));
        assert_eq!(config.cameras[0].repeat, Duration::ZERO);
    }

    #[test]
    fn refusals_name_key_value_and_what_is_allowed() {
        let base = format!("node = \"n\"\n[mqtt]\nurl = \"mqtt://h\"\n{CAMERA}");
        insta::assert_snapshot!(refusal(&format!("{base}rate_hz = 0")), @"camera.pond.rate_hz = 0: give pictures a second from 0.001 to 1000");
        insta::assert_snapshot!(refusal(&format!("{base}device = \"/dev/video0\"")), @r#"camera.pond.device = …: remove it: a camera with source = "files" has no such key"#);
        insta::assert_snapshot!(refusal(&format!("{base}[model]\ntarget_accuracy = 1.5")), @"model.target_accuracy = 1.5: give an accuracy from 0.01 to 0.999");
        insta::assert_snapshot!(refusal(&base.replace("mqtt://h", "http://h")), @r#"mqtt.url = "http://h": give mqtt://host:port, or mqtts://host:port for TLS (user name and password have their own keys)"#);
        insta::assert_snapshot!(refusal(&base.replace("\"n\"", "\"a/b\"")), @r#"node = "a/b": give 1 to 64 letters, digits, - _ or . (it becomes an MQTT topic level; `fleet` and `release` are taken)"#);
        insta::assert_snapshot!(refusal(&format!("{base}[model]\ntarget_accuracy = 0.9\nthreshold = 0.5")), @"model.target_accuracy = 0.9: give a target_accuracy or a threshold, not both");
        insta::assert_snapshot!(refusal(&format!("{base}[model]\nguarantee = \"sure\"")), @r#"model.guarantee = "sure": give "none", "average" or "confident""#);
        insta::assert_snapshot!(refusal(&format!("{base}[[model.subtree]]\ntaxon = \"Amanita\"")), @r#"model.subtree = "Amanita": give it a target_accuracy or a threshold"#);
        insta::assert_snapshot!(refusal(&format!("{base}[place]\nlatitude = 52")), @"place = half a place: give both latitude and longitude, or neither");
        insta::assert_snapshot!(refusal(&base.replace("pond", "status")), @r#"camera = "status": name a camera with 1 to 64 of a-z, 0-9, - and _, and not one of status, info, metrics, cmd, reply, model"#);
        insta::assert_snapshot!(refusal(CAMERA), @"mqtt.url = (absent): say where the broker is, such as mqtt://broker.local:1883, or set broker.embedded = true");
    }
}
