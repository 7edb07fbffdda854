//! When a frame is worth a look, as configuration and commands say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a frame is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateMode {
    /// Nothing: every frame is looked at.
    #[default]
    Off,
    /// The frame before it: what moves is looked at, what came and sits still no longer.
    Motion,
    /// The last frame that was looked at: what came, left or slowly became otherwise is looked at.
    Novelty,
}

/// Rules that keep their ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateRules {
    mode: GateMode,
    level: u8,
    area: f64,
    hold: Duration,
    refresh: Option<Duration>,
}

impl Default for GateRules {
    fn default() -> Self {
        let (hold, refresh) = (Duration::from_secs(2), Some(Duration::from_secs(300)));
        Self { mode: GateMode::Off, level: 10, area: 0.002, hold, refresh }
    }
}

/// Other rules, key by key; what is absent stays. Settings that are kept have all keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateChange {
    /// What frames are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<GateMode>,
    /// Grey levels by which a part has to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<i64>,
    /// Share of the region that has to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
    /// Seconds after a change in which every frame is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<f64>,
    /// Seconds after which a still scene is looked at anyway; 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_s: Option<f64>,
}

/// A value no rule may have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
pub struct GateError {
    /// The key of [`GateChange`].
    pub key: &'static str,
    /// The value as given.
    pub value: f64,
    /// What to give instead.
    pub allowed: &'static str,
}

impl GateRules {
    /// These rules with `change` in them.
    ///
    /// # Errors
    /// If a value is out of its range.
    pub fn changed(self, change: &GateChange) -> Result<Self, GateError> {
        let level = change.level.map_or(Ok(self.level), |level| {
            let refused = |_| GateError {
                key: "level",
                value: level as f64,
                allowed: "give grey levels from 0 to 255",
            };
            u8::try_from(level).map_err(refused)
        })?;
        let area = number("area", change.area, self.area, 0.0001..=1.0, "give a share from 0.0001 to 1")?;
        let (hold, refresh) = (self.hold.as_secs_f64(), self.refresh.map_or(0.0, |time| time.as_secs_f64()));
        let hold = number("hold_s", change.hold_s, hold, 0.0..=3600.0, "give seconds from 0 to 3600")?;
        let seconds = "give seconds from 0 to 86400, 0 for never";
        let refresh = number("refresh_s", change.refresh_s, refresh, 0.0..=86_400.0, seconds)?;
        Ok(Self {
            mode: change.mode.unwrap_or(self.mode),
            level,
            area,
            hold: Duration::from_secs_f64(hold),
            refresh: (refresh > 0.0).then(|| Duration::from_secs_f64(refresh)),
        })
    }

    /// What leads from any rules to these.
    #[must_use]
    pub fn in_full(&self) -> GateChange {
        GateChange {
            mode: Some(self.mode),
            level: Some(self.level.into()),
            area: Some(self.area),
            hold_s: Some(self.hold.as_secs_f64()),
            refresh_s: Some(self.refresh.map_or(0.0, |time| time.as_secs_f64())),
        }
    }

    /// What frames are compared with.
    #[must_use]
    pub fn mode(&self) -> GateMode {
        self.mode
    }

    /// Grey levels by which a part has to change.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Share of the region that has to change.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.area
    }

    /// How long after a change every frame is looked at.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.hold
    }

    /// How often a still scene is looked at.
    #[must_use]
    pub fn refresh(&self) -> Option<Duration> {
        self.refresh
    }
}

fn number(
    key: &'static str,
    given: Option<f64>,
    present: f64,
    range: std::ops::RangeInclusive<f64>,
    allowed: &'static str,
) -> Result<f64, GateError> {
    let value = given.unwrap_or(present);
    if range.contains(&value) { Ok(value) } else { Err(GateError { key, value, allowed }) }
}
