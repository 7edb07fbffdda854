//! Commands as they come: hostile until parsed.

use serde::{Deserialize, Deserializer};

use crate::config::CommandKind;
use crate::gate::{GateChange, GateMode};
use crate::region::RegionChange;

/// Largest payload of a command, bytes.
const MAX_PAYLOAD: usize = 16 << 10;
/// Most taxa in one list.
const MAX_TAXA: usize = 1000;

/// What a sender calls a command, so that it knows the reply: one topic level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommandId(String);

impl CommandId {
    /// `None` if `text` is not 1 to 64 letters, digits, `-` or `_`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        (!text.is_empty() && text.len() <= 64 && text.chars().all(fits)).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a command is not carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A command, its form checked; whether taxa and cameras exist is not known here.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Take a picture of a camera's view.
    Snapshot {
        /// Name of the camera.
        camera: String,
    },
    /// Reach this accuracy.
    Target {
        /// In `(0, 1)`.
        value: f64,
        /// Over a restart as well.
        persist: bool,
    },
    /// Use this cut-off.
    Threshold {
        /// In `[0, 1]`.
        value: f64,
        /// Over a restart as well.
        persist: bool,
    },
    /// Expect these taxa only.
    Prior {
        /// Names or ids; none means all.
        taxa: Vec<String>,
        /// Over a restart as well.
        persist: bool,
    },
    /// Look at this part of the frame; what is `None` stays.
    Region {
        /// Name of the camera.
        camera: String,
        /// `[left, top, right, bottom]` in fractions; `Some(None)` is the whole frame.
        edges: Option<Option<[f64; 4]>>,
        /// What magnifying views show; `Some(None)` is the middle.
        focus: Option<Option<[f64; 4]>>,
        /// What regions that part is made into.
        regions: Option<Box<RegionChange>>,
        /// Over a restart as well.
        persist: bool,
    },
    /// Look at a camera's frames by these rules.
    Gate {
        /// Name of the camera.
        camera: String,
        /// What is to be otherwise.
        change: GateChange,
        /// Over a restart as well.
        persist: bool,
    },
    /// Alert on these taxa.
    Watch {
        /// Names or ids; none alerts on nothing.
        taxa: Vec<String>,
        /// Over a restart as well.
        persist: bool,
    },
    /// Pass over, or look at again, a camera's frames.
    Pause {
        /// Name of the camera.
        camera: String,
        /// Pass over.
        paused: bool,
    },
    /// Start the daemon anew.
    Restart,
    /// Take the release that is offered.
    Install,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfCamera {
    camera: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfValue {
    value: f64,
    #[serde(default)]
    persist: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTaxa {
    taxa: Vec<String>,
    #[serde(default)]
    persist: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRegion {
    camera: String,
    #[serde(default, rename = "box", deserialize_with = "said")]
    edges: Option<Option<[f64; 4]>>,
    #[serde(default, deserialize_with = "said")]
    focus: Option<Option<[f64; 4]>>,
    regions: Option<Box<RegionChange>>,
    #[serde(default)]
    persist: bool,
}

/// Tells `null` from what is left out.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGate {
    camera: String,
    mode: Option<GateMode>,
    level: Option<i64>,
    area: Option<f64>,
    hold_s: Option<f64>,
    refresh_s: Option<f64>,
    #[serde(default)]
    persist: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfNothing {}

impl Request {
    /// Reads the payload of a command `kind`; an empty one counts as `{}`.
    ///
    /// # Errors
    /// If it is too large, no JSON object of that kind, or holds values no setting may have.
    pub fn parse(kind: CommandKind, payload: &[u8]) -> Result<Self, Refusal> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Refusal(format!("{} bytes are too many: give at most {MAX_PAYLOAD}", payload.len())));
        }
        let payload = if payload.is_empty() { b"{}" } else { payload };
        Ok(match kind {
            CommandKind::Snapshot => Self::Snapshot { camera: read::<OfCamera>(kind, payload)?.camera },
            CommandKind::Target => {
                let OfValue { value, persist } = read(kind, payload)?;
                Self::Target { value: in_range(value, 0.01, 0.999)?, persist }
            }
            CommandKind::Threshold => {
                let OfValue { value, persist } = read(kind, payload)?;
                Self::Threshold { value: in_range(value, 0.0, 1.0)?, persist }
            }
            CommandKind::Prior => {
                let OfTaxa { taxa, persist } = few(read(kind, payload)?)?;
                Self::Prior { taxa, persist }
            }
            CommandKind::Watch => {
                let OfTaxa { taxa, persist } = few(read(kind, payload)?)?;
                Self::Watch { taxa, persist }
            }
            CommandKind::Region => {
                let OfRegion { camera, edges, focus, regions, persist } = read(kind, payload)?;
                Self::Region { camera, edges, focus, regions, persist }
            }
            CommandKind::Gate => {
                let OfGate { camera, mode, level, area, hold_s, refresh_s, persist } = read(kind, payload)?;
                let change = GateChange { mode, level, area, hold_s, refresh_s };
                Self::Gate { camera, change, persist }
            }
            CommandKind::Pause => {
                Self::Pause { camera: read::<OfCamera>(kind, payload)?.camera, paused: true }
            }
            CommandKind::Resume => {
                Self::Pause { camera: read::<OfCamera>(kind, payload)?.camera, paused: false }
            }
            CommandKind::Restart => {
                let OfNothing {} = read(kind, payload)?;
                Self::Restart
            }
            CommandKind::Install => {
                let OfNothing {} = read(kind, payload)?;
                Self::Install
            }
        })
    }
}

fn read<'a, T: Deserialize<'a>>(kind: CommandKind, payload: &'a [u8]) -> Result<T, Refusal> {
    let example = match kind {
        CommandKind::Snapshot | CommandKind::Pause | CommandKind::Resume => r#"{"camera":"pond"}"#,
        CommandKind::Target | CommandKind::Threshold => r#"{"value":0.9,"persist":false}"#,
        CommandKind::Prior | CommandKind::Watch => r#"{"taxa":["Insecta"],"persist":false}"#,
        CommandKind::Region => r#"{"camera":"pond","box":[0,0,1,0.5],"persist":false}"#,
        CommandKind::Gate => r#"{"camera":"pond","mode":"novelty","level":10,"persist":false}"#,
        CommandKind::Restart | CommandKind::Install => "{}",
    };
    let wrong = |error| Refusal(format!("{error}; give JSON such as {example}"));
    serde_json::from_slice(payload).map_err(wrong)
}

fn in_range(value: f64, low: f64, high: f64) -> Result<f64, Refusal> {
    let fits = (low..=high).contains(&value);
    if fits {
        Ok(value)
    } else {
        Err(Refusal(format!("value = {value}: give a number from {low} to {high}")))
    }
}

fn few(list: OfTaxa) -> Result<OfTaxa, Refusal> {
    let count = list.taxa.len();
    if count > MAX_TAXA {
        return Err(Refusal(format!("{count} taxa are too many: give at most {MAX_TAXA}")));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(kind: CommandKind, text: &str) -> Result<Request, String> {
        Request::parse(kind, text.as_bytes()).map_err(|refusal| refusal.0)
    }

    #[test]
    fn good_commands_are_understood() {
        let target = parse(CommandKind::Target, r#"{"value":0.8,"persist":true}"#);
        assert_eq!(target, Ok(Request::Target { value: 0.8, persist: true }));
        assert_eq!(parse(CommandKind::Restart, ""), Ok(Request::Restart));
        let region = |edges, regions| {
            Ok(Request::Region { camera: "pond".into(), edges, focus: None, regions, persist: false })
        };
        assert_eq!(parse(CommandKind::Region, r#"{"camera":"pond","box":null}"#), region(Some(None), None));
        let tiles = RegionChange {
            kind: crate::region::RegionKind::Tiles,
            tile_px: Some(300.0),
            ..Default::default()
        };
        let text = r#"{"camera":"pond","regions":{"kind":"tiles","tile_px":300}}"#;
        assert_eq!(parse(CommandKind::Region, text), region(None, Some(Box::new(tiles))));
    }

    #[test]
    fn refusals_say_what_is_wrong_and_what_is_right() {
        for (kind, text, part) in [
            (CommandKind::Target, r#"{"value":2}"#, "value = 2: give a number from 0.01 to 0.999"),
            (CommandKind::Target, r#"{"value":0.9,"x":1}"#, "unknown field `x`"),
            (CommandKind::Threshold, "", "missing field `value`"),
            (
                CommandKind::Gate,
                r#"{"camera":"pond","mode":"shut"}"#,
                "expected one of `off`, `motion`, `novelty`",
            ),
            (CommandKind::Snapshot, "now", r#"give JSON such as {"camera":"pond"}"#),
            (CommandKind::Restart, r#"{"when":"now"}"#, "unknown field `when`"),
        ] {
            let refusal = parse(kind, text).expect_err("a refusal");
            assert!(refusal.contains(part), "{part:?} is not in {refusal}");
        }
        let long = vec![b' '; MAX_PAYLOAD + 1];
        assert!(Request::parse(CommandKind::Restart, &long).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_parser_down(bytes: Vec<u8>, which in 0..11usize) {
            let _ = Request::parse(CommandKind::ALL[which], &bytes);
        }

        #[test]
        fn an_id_is_always_one_topic_level(text in ".*") {
            if let Some(id) = CommandId::new(&text) {
                prop_assert!(!id.as_str().contains(['/', '+', '#', '\0']));
            }
        }
    }
}
