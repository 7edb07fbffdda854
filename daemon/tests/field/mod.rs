//! What an end-to-end test needs: a folder with a package and pictures, a real broker, a listener, the daemon.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its part")]

mod broker;
mod disk;
mod fleet;
mod gate;
mod http;
mod package;
mod picture;
mod process;

pub use broker::{Broker, Listener, free_port, wait_for_port};
pub use disk::SmallDisk;
pub use fleet::{Node, Office};
pub use gate::Gate;
pub use http::{Answer, Page};
pub use package::{Flaw, Toy, write_package, write_quantised, write_toy};
pub use picture::{GREEN, RED, png, write_folder};
pub use process::{Daemon, Field, Output, fieldmark, fieldmarkd, run};
