//! What the daemon is told to do: a file, `conf.d/*.toml` beside it, and `FIELDMARK__…` in the environment,
//! read into [`raw`] values as written and turned once into [`checked`] ones that everything else relies on.

mod checked;
mod load;
mod model;
mod raw;
mod refusal;

pub use checked::{
    BrokerConfig, BrokerUrl, CameraConfig, CameraName, CameraSource, Config, FilesConfig, MqttConfig,
    NodeName, PixelFormat, V4lConfig,
};
pub use load::{LoadError, load, load_text};
pub use model::ModelConfig;
pub use raw::{RawBroker, RawCamera, RawConfig, RawLog, RawModel, RawMqtt, RawPlace, RawSubtree};
pub use refusal::ConfigError;
