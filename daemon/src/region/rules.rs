//! What configuration and commands ask of the regions of a camera.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fieldmark_models::views::FractionBox;
use serde::{Deserialize, Serialize};

use super::Look;

/// How a frame, or the part of it that is looked at, becomes regions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// It is one region.
    #[default]
    Whole,
    /// Its middle is one.
    Centre,
    /// Boxes with names.
    Boxes,
    /// A grid of overlapping squares.
    Tiles,
    /// What moves.
    Motion,
    /// What a detector finds.
    Detector,
}

/// `[camera.NAME.regions]` and the `regions` of a command, as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegionChange {
    /// How regions are made.
    pub kind: RegionKind,
    /// centre: its share of each side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// boxes: `[left, top, right, bottom]` in fractions of the frame, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub boxes: BTreeMap<String, [f64; 4]>,
    /// tiles, detector: side in pixels of the frame; a detector without tiles is shown all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile_px: Option<f64>,
    /// tiles: side in metres on the ground.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile_m: Option<f64>,
    /// tiles, detector: share of a tile's side that its neighbour shows too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f64>,
    /// motion: grey levels by which a part has to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<i64>,
    /// detector: ONNX file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<PathBuf>,
    /// detector: least score of a box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// motion, detector: sides of a region over those of the box it is drawn around.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Most regions of a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
}

/// A value no rule may have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
pub struct RegionError {
    /// The key of [`RegionChange`].
    pub key: &'static str,
    /// The value as given.
    pub value: String,
    /// What to give instead.
    pub allowed: String,
}

/// How large a tile is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TileSide {
    /// In the frame.
    Pixels(f64),
    /// On the ground, at the present height.
    Metres(f64),
}

/// How a kind makes regions, with what belongs to it and nothing else.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Making {
    /// One region.
    #[default]
    Whole,
    /// The middle.
    Centre { share: f64 },
    /// These, by name.
    Boxes(Vec<(String, FractionBox)>),
    /// A grid.
    Tiles { side: TileSide, overlap: f64 },
    /// What moves.
    Motion { level: u8, margin: f64 },
    /// What a detector finds.
    Detector { file: PathBuf, score: f64, margin: f64, tile_px: Option<f64>, overlap: f64 },
}

/// Rules that keep their ranges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegionRules {
    pub(super) making: Making,
    /// Most regions of a frame.
    pub(super) most: usize,
    asked: RegionChange,
}

impl RegionRules {
    /// The rules that `asked` for.
    ///
    /// # Errors
    /// If a value is out of its range, or belongs to another kind.
    pub fn new(asked: &RegionChange) -> Result<Self, RegionError> {
        check_foreign(asked)?;
        let most = number("most", asked.most.map(|most| most as f64), 64.0, 1.0, 1024.0, "regions")? as usize;
        let margin = |by_default| number("margin", asked.margin, by_default, 1.0, 8.0, "a factor");
        let making = match asked.kind {
            RegionKind::Whole => Making::Whole,
            RegionKind::Centre => {
                Making::Centre { share: number("share", asked.share, 0.5, 0.01, 1.0, "a share")? }
            }
            RegionKind::Boxes => Making::Boxes(boxes(&asked.boxes)?),
            RegionKind::Tiles => {
                let side = match (asked.tile_px, asked.tile_m) {
                    (Some(_), None) => {
                        TileSide::Pixels(number("tile_px", asked.tile_px, 0.0, 16.0, 16_384.0, "pixels")?)
                    }
                    (None, Some(_)) => {
                        TileSide::Metres(number("tile_m", asked.tile_m, 0.0, 0.01, 10_000.0, "metres")?)
                    }
                    _ => {
                        return refuse(
                            "tile_px",
                            "…",
                            "give tiles a side in pixels (tile_px) or in metres on the ground (tile_m)",
                        );
                    }
                };
                Making::Tiles { side, overlap: number("overlap", asked.overlap, 0.5, 0.0, 0.9, "a share")? }
            }
            RegionKind::Motion => Making::Motion {
                level: number(
                    "level",
                    asked.level.map(|level| level as f64),
                    12.0,
                    1.0,
                    255.0,
                    "grey levels",
                )? as u8,
                margin: margin(1.5)?,
            },
            RegionKind::Detector => {
                let Some(file) = asked.detector.clone() else {
                    return refuse("detector", "(absent)", "give the ONNX file of a detector");
                };
                let score = number("score", asked.score, 0.3, 0.0, 1.0, "a score")?;
                let tile_px =
                    asked.tile_px.map(|_| number("tile_px", asked.tile_px, 0.0, 16.0, 16_384.0, "pixels"));
                Making::Detector {
                    file,
                    score,
                    margin: margin(1.2)?,
                    tile_px: tile_px.transpose()?,
                    overlap: number("overlap", asked.overlap, 0.5, 0.0, 0.9, "a share")?,
                }
            }
        };
        Ok(Self { making, most, asked: asked.clone() })
    }

    /// What leads to these rules.
    #[must_use]
    pub fn asked(&self) -> &RegionChange {
        &self.asked
    }

    /// The detector's file and its least score, where there is one.
    #[must_use]
    pub fn detector(&self) -> Option<(&std::path::Path, f64)> {
        match &self.making {
            Making::Detector { file, score, .. } => Some((file, *score)),
            _ => None,
        }
    }

    /// How the detector looks at `part` of the frame, where there is one.
    #[must_use]
    pub fn look(&self, part: FractionBox) -> Option<Look> {
        match self.making {
            Making::Detector { tile_px, overlap, .. } => Some(Look { part, tile_px, overlap }),
            _ => None,
        }
    }

    /// Whether a frame has more than one region at all.
    #[must_use]
    pub fn is_several(&self) -> bool {
        !matches!(self.making, Making::Whole | Making::Centre { .. })
    }

    /// The side of tiles on the ground, in metres, where they have one.
    #[must_use]
    pub fn tile_m(&self) -> Option<f64> {
        match self.making {
            Making::Tiles { side: TileSide::Metres(side), .. } => Some(side),
            _ => None,
        }
    }
}

/// Each key belongs to some kinds.
fn check_foreign(asked: &RegionChange) -> Result<(), RegionError> {
    use RegionKind::{Boxes, Centre, Detector, Motion, Tiles};
    let keys: [(&'static str, bool, &[RegionKind]); 9] = [
        ("share", asked.share.is_some(), &[Centre]),
        ("boxes", !asked.boxes.is_empty(), &[Boxes]),
        ("tile_px", asked.tile_px.is_some(), &[Tiles, Detector]),
        ("tile_m", asked.tile_m.is_some(), &[Tiles]),
        ("overlap", asked.overlap.is_some(), &[Tiles, Detector]),
        ("level", asked.level.is_some(), &[Motion]),
        ("detector", asked.detector.is_some(), &[Detector]),
        ("score", asked.score.is_some(), &[Detector]),
        ("margin", asked.margin.is_some(), &[Motion, Detector]),
    ];
    match keys.into_iter().find(|(_, present, kinds)| *present && !kinds.contains(&asked.kind)) {
        Some((key, ..)) => {
            let kind = serde_json::to_string(&asked.kind).unwrap_or_default();
            refuse(key, "…", format!("remove it: regions of kind {kind} have no such key"))
        }
        None => Ok(()),
    }
}

fn boxes(asked: &BTreeMap<String, [f64; 4]>) -> Result<Vec<(String, FractionBox)>, RegionError> {
    if asked.is_empty() {
        return refuse("boxes", "{}", "give at least one box with its name");
    }
    let one = |(name, edges): (&String, &[f64; 4])| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return refuse("boxes", format!("{name:?}"), "name a box with 1 to 64 letters, digits, - and _");
        }
        match FractionBox::try_from(*edges) {
            Ok(edges) => Ok((name.clone(), edges)),
            Err(error) => refuse("boxes", format!("{name}: {edges:?}"), error.to_string()),
        }
    };
    asked.iter().map(one).collect()
}

fn number(
    key: &'static str,
    given: Option<f64>,
    by_default: f64,
    low: f64,
    high: f64,
    unit: &str,
) -> Result<f64, RegionError> {
    let value = given.unwrap_or(by_default);
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        refuse(key, value, format!("give {unit} from {low} to {high}"))
    }
}

fn refuse<T>(
    key: &'static str,
    value: impl std::fmt::Display,
    allowed: impl Into<String>,
) -> Result<T, RegionError> {
    Err(RegionError { key, value: value.to_string(), allowed: allowed.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let asked: RegionChange = toml::from_str(text).expect("keys of the table");
        RegionRules::new(&asked).expect_err("a refusal").to_string()
    }

    #[test]
    fn a_kind_takes_its_own_keys_within_their_ranges_and_no_others() {
        let asked: RegionChange = toml::from_str("kind = \"tiles\"\ntile_m = 4.0").expect("a table");
        assert_eq!(RegionRules::new(&asked).expect("rules").tile_m(), Some(4.0));
        assert!(refused("kind = \"tiles\"").contains("give tiles a side"));
        assert!(refused("kind = \"tiles\"\ntile_px = 300\ntile_m = 4.0").contains("give tiles a side"));
        assert!(refused("kind = \"tiles\"\ntile_px = 300\noverlap = 1.0").contains("a share from 0 to 0.9"));
        assert!(refused("kind = \"whole\"\ntile_px = 300").contains("\"whole\" have no such key"));
        assert!(refused("kind = \"boxes\"").contains("at least one box"));
        assert!(
            refused("kind = \"boxes\"\nboxes = { a = [0, 0, 2, 1] }").contains("in fractions of the frame")
        );
        assert!(refused("kind = \"detector\"").contains("ONNX file"));
    }
}
