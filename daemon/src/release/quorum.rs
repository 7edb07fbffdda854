//! How many signatures a role needs, and how many it still lacks.

use super::{PublicKey, RoleName};

/// Keys of a role, and how many of them must sign.
#[derive(Debug, Clone)]
pub struct RoleSetup {
    /// Which role.
    pub role: RoleName,
    /// Its keys.
    pub keys: Vec<PublicKey>,
    /// Signatures needed.
    pub threshold: u64,
}

/// How far a change is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nodes can see it.
    Complete,
    /// More signatures are needed on a role: how many of how many there are.
    Lacks(&'static str, usize, u64),
}
