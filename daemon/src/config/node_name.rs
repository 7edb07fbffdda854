//! What a node is called.

use super::refusal::{ConfigError, refuse};

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
