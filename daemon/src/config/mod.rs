//! What the daemon is told to do: a file, `conf.d/*.toml` beside it, and `FIELDMARK__…` in the environment,
//! read into [`raw`] values as written and turned once into [`checked`] ones that everything else relies on.

mod camera;
mod checked;
mod load;
mod model;
mod raw;
mod refusal;

pub use camera::{
    CameraConfig, CameraName, CameraSource, DeviceAddress, FilesConfig, Pace, PixelFormat, V4lConfig,
};
pub use checked::{BrokerConfig, BrokerUrl, Config, MqttConfig, NodeName};
pub use load::{LoadError, load, load_text};
pub use model::ModelConfig;
pub use raw::{RawBroker, RawCamera, RawConfig, RawControl, RawLog, RawModel, RawMqtt, RawPlace, RawSubtree};
pub use refusal::ConfigError;
