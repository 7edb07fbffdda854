//! The configuration everything else relies on: names that fit a topic, numbers in range, one source a camera.
//!
//! The checks are written out rather than derived with `garde`: most of them tie two keys together
//! ("`folder` or `files`", "`target` or `threshold`"), and each message names the full key, the value found and
//! what is allowed, which a derived rule does not know.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::camera::{CameraConfig, camera};
use super::command::CommandKind;
use super::engine::engine;
use super::model::{ModelConfig, model};
use super::mqtt::{MqttConfig, mqtt};
use super::node_name::NodeName;
use super::outbox::{OutboxConfig, outbox};
use super::page::{PageConfig, page};
use super::position::{PositionConfig, position};
use super::publishing::{SnapshotConfig, commands, snapshot, watch};
use super::raw::{RawBroker, RawConfig};
use super::refusal::{ConfigError, number, refuse};
use super::update::{UpdateConfig, update};
use crate::alert::AlertRules;
use crate::engine::EngineSettings;

/// The broker inside the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Address it listens on.
    pub listen: SocketAddr,
    /// Where it keeps what is to survive a restart; `None` keeps it in memory only.
    pub folder: Option<PathBuf>,
}

/// Everything, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// This node.
    pub node: NodeName,
    /// The model.
    pub model: ModelConfig,
    /// Which engine runs it.
    pub engine: EngineSettings,
    /// Where the node learns where it is.
    pub position: PositionConfig,
    /// Publishing.
    pub mqtt: MqttConfig,
    /// Where events wait for the broker.
    pub outbox: OutboxConfig,
    /// What to alert on.
    pub watch: AlertRules,
    /// Pictures of what cameras see.
    pub snapshot: SnapshotConfig,
    /// Commands that are carried out.
    pub commands: BTreeSet<CommandKind>,
    /// Whether the node is announced to Home Assistant.
    pub home_assistant: bool,
    /// How updates are taken, where they are.
    pub update: Option<UpdateConfig>,
    /// The embedded broker, where one is wanted.
    pub broker: Option<BrokerConfig>,
    /// The page, where there is to be one.
    pub page: Option<PageConfig>,
    /// Least time that a day's answers are spread over before they are judged.
    pub drift_spread: Duration,
    /// Log filter.
    pub log: String,
    /// Cameras, by name.
    pub cameras: Vec<CameraConfig>,
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let listen = listen(&raw.broker)?;
        if raw.camera.is_empty() {
            let rule = "there is no camera: add a table [camera.NAME] with source = \"files\" or \"v4l\"";
            return refuse("camera", "{}", rule);
        }
        let node = raw.node.unwrap_or_else(host_name);
        let (node, mqtt) = (NodeName::new(&node)?, mqtt(raw.mqtt, listen)?);
        let outbox = outbox(&raw.outbox, &node, mqtt.batch)?;
        let broker = match listen {
            Some(listen) => Some(broker(listen, &raw.broker, &node, &outbox)?),
            None => None,
        };
        let update = update(raw.update, &node, outbox.folder())?;
        let position = position(&raw.position, &raw.place)?;
        let moves = position.moves();
        Ok(Self {
            node,
            engine: engine(raw.engine.as_deref(), &raw.tract, raw.onnxruntime, raw.tensorrt)?,
            update,
            model: model(raw.model, &raw.place)?,
            position,
            snapshot: snapshot(&raw.snapshot, mqtt.metered)?,
            mqtt,
            outbox,
            watch: watch(&raw.watch)?,
            commands: commands(&raw.commands)?,
            home_assistant: raw.home_assistant.discovery.unwrap_or(false),
            broker,
            page: page(raw.page)?,
            drift_spread: Duration::from_secs_f64(number("drift.spread_s", raw.drift.spread_s)?),
            log: raw.log.level.unwrap_or_else(|| "info".into()),
            cameras: raw
                .camera
                .iter()
                .map(|(name, raw)| camera(name, raw, moves))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The kernel's, or where a hardened service does not see that, the file it was set from.
fn host_name() -> String {
    let places = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = places.iter().find_map(|place| std::fs::read_to_string(place).ok());
    name.unwrap_or_default().trim().to_owned()
}

/// Where the embedded broker listens; `None` where there is to be none.
fn listen(raw: &RawBroker) -> Result<Option<SocketAddr>, ConfigError> {
    let text = raw.listen.as_deref().unwrap_or("127.0.0.1:1883");
    let Ok(listen) = text.parse::<SocketAddr>() else {
        let rule = "give address:port, such as 127.0.0.1:1883, or 0.0.0.0:1883 for every interface";
        return refuse("broker.listen", format!("{text:?}"), rule);
    };
    if listen.port() == 0 {
        return refuse("broker.listen", format!("{text:?}"), "give a port from 1 to 65535");
    }
    Ok(raw.embedded.unwrap_or(false).then_some(listen))
}

/// What it keeps lies beside the outbox.
fn broker(
    listen: SocketAddr,
    raw: &RawBroker,
    node: &NodeName,
    outbox: &OutboxConfig,
) -> Result<BrokerConfig, ConfigError> {
    let folder = match (raw.persistence, outbox.folder()) {
        (Some(true), None) => {
            return refuse("broker.persistence", true, "remove it, or set outbox.durable = true");
        }
        (Some(false), _) => None,
        (_, folder) => folder.map(|folder| folder.join(format!("broker-{}", node.as_str()))),
    };
    Ok(BrokerConfig { listen, folder })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(config.cameras[0].tracks, None);
        assert_eq!(config.engine, crate::engine::EngineSettings::default());
    }

    #[test]
    fn the_embedded_broker_is_as_durable_as_the_outbox_unless_something_else_is_said() {
        let folder = |lines: &str| {
            let text = format!("node = \"n1\"\n[broker]\nembedded = true\n{lines}\n{CAMERA}");
            load_text(&text).expect("good").broker.expect("a broker").folder
        };
        assert_eq!(folder("[outbox]\nfolder = \"/var/x\""), Some("/var/x/broker-n1".into()));
        assert_eq!(folder("persistence = false\n[outbox]\nfolder = \"/var/x\""), None);
        assert_eq!(folder("[outbox]\ndurable = false"), None);
    }

    #[test]
    fn refusals_name_key_value_and_what_is_allowed() {
        let base = format!("node = \"n\"\n[mqtt]\nurl = \"mqtt://h\"\n{CAMERA}");
        insta::assert_snapshot!(refusal(&format!("{base}rate_hz = 0")), @"camera.pond.rate_hz = 0: give pictures a second from 0.001 to 1000");
        insta::assert_snapshot!(refusal(&format!("{base}device = \"/dev/video0\"")), @r#"camera.pond.device = …: remove it: a camera with source = "files" has no such key"#);
        insta::assert_snapshot!(refusal(&format!("{base}[model]\ntarget_accuracy = 1.5")), @"model.target_accuracy = 1.5: give an accuracy from 0.01 to 0.999");
        insta::assert_snapshot!(refusal(&format!("engine = \"gpu\"\n{base}")), @r#"engine = "gpu": give "auto", "tensorrt", "onnxruntime" or "tract""#);
        insta::assert_snapshot!(refusal(&format!("{base}[tract]\nthreads = 65")), @"tract.threads = 65: give threads from 0 to 64");
        insta::assert_snapshot!(refusal(&format!("{base}[onnxruntime]\nproviders = [\"npu\"]")), @r#"onnxruntime.providers = "npu": give a list of "openvino", "xnnpack", "cuda""#);
        insta::assert_snapshot!(refusal(&format!("{base}[onnxruntime]\nprecision = \"fp16\"")), @r#"onnxruntime.precision = "fp16": give "f32" or "int8""#);
        insta::assert_snapshot!(refusal(&base.replace("mqtt://h", "http://h")), @r#"mqtt.url = "http://h": give mqtt://host:port, mqtts://host:port for TLS, or ws:// and wss:// for WebSocket (user name and password have their own keys)"#);
        insta::assert_snapshot!(refusal(&base.replace("\"n\"", "\"a/b\"")), @r#"node = "a/b": give 1 to 64 letters, digits, - _ or . (it becomes an MQTT topic level; `fleet` and `release` are taken)"#);
        insta::assert_snapshot!(refusal(&base.replace("pond", "status")), @r#"camera = "status": name a camera with 1 to 64 of a-z, 0-9, - and _, and not one of status, info, metrics, cmd, reply, model"#);
        insta::assert_snapshot!(refusal(&format!("{base}[broker]\nembedded = true\npersistence = true\n[outbox]\ndurable = false")), @"broker.persistence = true: remove it, or set outbox.durable = true");
        insta::assert_snapshot!(refusal(CAMERA), @"mqtt.url = (absent): say where the broker is, such as mqtt://broker.local:1883, or set broker.embedded = true");
    }
}
