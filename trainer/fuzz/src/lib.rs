//! The trainer's preparation alone, from its own source: none of it needs what training does, which takes most of the time
//! to compile.

#[path = "../../src/prepare/mod.rs"]
pub mod prepare;
