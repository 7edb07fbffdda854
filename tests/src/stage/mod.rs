//! What is done to the daemon inside the guest: commands, what the daemon publishes, and the table of what happened.

mod daemon;
mod listener;
mod machine;
pub mod page;
mod table;

pub use daemon::{CameraTable, Daemon, Usage};
pub use listener::{Heard, Listener};
pub use machine::{Background, shell, wait_for_node, wait_for_path, write};
pub use page::OpenPage;
pub use table::Table;

/// Why the stage cannot go on: always a sentence for people.
pub type Failure = Box<dyn std::error::Error>;
