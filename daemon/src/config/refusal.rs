//! Values that cannot be used, and how they are told of.

use std::fmt;

use super::reference::{Key, Kind, key_of};

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

/// The number at `key`, in the range of the table of keys; its default where none is given.
pub(super) fn number(key: impl Into<String>, value: Option<f64>) -> Result<f64, ConfigError> {
    let key = key.into();
    match key_of(&key).map(Key::kind) {
        Some(Kind::Number { default, least, most, unit }) => {
            let value = value.or(default).unwrap_or(least);
            in_range(key, value, least, most, unit)
        }
        _ => refuse(key, "…", NO_NUMBER),
    }
}

/// The whole number at `key`, in the range of the table of keys; its default where none is given.
pub(super) fn whole(key: impl Into<String>, value: Option<i64>) -> Result<u32, ConfigError> {
    let key = key.into();
    match key_of(&key).map(Key::kind) {
        Some(Kind::Whole { default, least, most, unit }) => {
            let value = value.unwrap_or(default);
            match u32::try_from(value) {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => refuse(key, value, format!("give {unit} from {least} to {most}")),
            }
        }
        _ => refuse(key, "…", NO_NUMBER),
    }
}

/// A check asks for a key the table does not have as a number: a mistake of ours, which every test of that key meets.
const NO_NUMBER: &str = "the table of keys has no such number; please report this";

fn in_range(key: String, value: f64, least: f64, most: f64, unit: &str) -> Result<f64, ConfigError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        refuse(key, value, format!("give {unit} from {least} to {most}"))
    }
}
