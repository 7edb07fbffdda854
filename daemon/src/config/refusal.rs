//! Values that cannot be used, and how they are told of.

use std::fmt;

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
pub struct ConfigError {
    /// Full name of the key, such as `camera.pond.rate_hz`.
    pub key: String,
    /// The value as written.
    pub value: String,
    /// What to write instead.
    pub allowed: String,
}

pub(super) fn refuse<T>(
    key: impl Into<String>,
    value: impl fmt::Display,
    allowed: impl Into<String>,
) -> Result<T, ConfigError> {
    Err(ConfigError { key: key.into(), value: value.to_string(), allowed: allowed.into() })
}

pub(super) fn in_range(
    key: impl Into<String>,
    value: f64,
    low: f64,
    high: f64,
    unit: &str,
) -> Result<f64, ConfigError> {
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        refuse(key, value, format!("give {unit} from {low} to {high}"))
    }
}

pub(super) fn whole(
    key: impl Into<String>,
    value: i64,
    low: u32,
    high: u32,
    unit: &str,
) -> Result<u32, ConfigError> {
    match u32::try_from(value) {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => refuse(key, value, format!("give {unit} from {low} to {high}")),
    }
}
