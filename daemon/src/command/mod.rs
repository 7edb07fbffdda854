//! What people ask a running node to do, over MQTT: parsed and checked like configuration, refused with the reason
//! unless configuration allows it, answered on the reply topic.
//!
//! Data walks: a message → [`request`] (parsed) → [`desk`] (allowed? carried out) → [`settings`] (what the frame path
//! reads at each frame) and, where asked, [`kept`] (what a restart finds).

mod desk;
mod kept;
mod reload;
mod request;
mod settings;

pub use desk::{Desk, Ending, Equipment};
pub use kept::{Kept, KeptError};
pub use reload::ReloadError;
pub use request::{CommandId, Refusal, Request};
pub use settings::{CameraSettings, Settings, SettingsCell, Vocabulary, VocabularyCell};
