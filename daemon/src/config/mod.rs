//! What the daemon is told to do: a file, `conf.d/*.toml` beside it, and `FIELDMARK__…` in the environment,
//! read into [`raw`] values as written and turned once into [`checked`] ones that everything else relies on.

mod camera;
mod checked;
mod command;
mod engine;
mod load;
mod model;
mod mqtt;
mod node_name;
mod outbox;
mod page;
mod position;
mod publishing;
mod raw;
mod reference;
mod refusal;
mod update;
mod written;

pub use camera::{
    CameraConfig, CameraName, CameraSource, DeviceAddress, FilesConfig, GstreamerConfig, Pace, PixelFormat,
    V4lConfig,
};
pub use checked::{BrokerConfig, Config};
pub use command::CommandKind;
pub use load::{LoadError, load, load_layered, load_text, read, read_layered};
pub use model::ModelConfig;
pub use mqtt::{BrokerUrl, MqttConfig, MqttVersion, Transport};
pub use node_name::NodeName;
pub use outbox::{DiskFull, OutboxConfig};
pub(crate) use page::page;
pub use page::{Access, PageConfig, Proxy};
pub use position::{GroundConfig, PositionConfig, PositionSource};
pub use publishing::SnapshotConfig;
pub use raw::{
    RawBroker, RawCamera, RawCommands, RawConfig, RawControl, RawDrift, RawHomeAssistant, RawLog, RawModel,
    RawMqtt, RawOnnxRuntime, RawOptics, RawOutbox, RawPage, RawPlace, RawPosition, RawSnapshot, RawSubtree,
    RawTensorRt, RawTract, RawUpdate, RawWatch,
};
pub use reference::{Key, keys, markdown};
pub use refusal::ConfigError;
pub(crate) use update::group_name;
pub use update::{Repository, UpdateConfig};
pub use written::{Changes, Written};
