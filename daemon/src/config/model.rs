//! `[model]` and `[place]`: which model, how sure it has to be, what it is to expect.

use std::path::PathBuf;

use fieldmark_models::calibration::Guarantee;
use fieldmark_models::checklist::Place;
use fieldmark_models::specificity::Threshold;

use super::raw::{RawModel, RawPlace, RawSubtree};
use super::refusal::{ConfigError, number, refuse};
use crate::decide::{Dial, Expected, ListedIn, Sureness};

const DEFAULT_TARGET: f64 = 0.9;

/// Which model, how sure it has to be, what it is to expect.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Package file; `None` takes the shipped one.
    pub package: Option<PathBuf>,
    /// How often answers must be right.
    pub dial: Dial,
    /// What is to be expected.
    pub expected: Expected,
}

pub(super) fn model(raw: RawModel, place: &RawPlace) -> Result<ModelConfig, ConfigError> {
    let everywhere = sureness("model", raw.target_accuracy, raw.threshold)?;
    let everywhere = everywhere.unwrap_or(Sureness::Target(DEFAULT_TARGET));
    let subtree = |raw: RawSubtree| {
        let rule = "give it a target_accuracy or a threshold";
        match sureness("model.subtree", raw.target_accuracy, raw.threshold)? {
            Some(sureness) => Ok((raw.taxon, sureness)),
            None => refuse("model.subtree", format!("{:?}", raw.taxon), rule),
        }
    };
    let subtrees = raw.subtree.into_iter().map(subtree).collect::<Result<_, _>>()?;
    let guarantee = match raw.guarantee.as_deref() {
        None | Some("none") => Guarantee::None,
        Some("average") => Guarantee::Average,
        Some("confident") => Guarantee::Confident,
        Some(other) => {
            return refuse(
                "model.guarantee",
                format!("{other:?}"),
                "give \"none\", \"average\" or \"confident\"",
            );
        }
    };
    let unlisted = number("model.unlisted_weight", raw.unlisted_weight)? as f32;
    let checklist = raw.checklist.map(|file| ListedIn { file, unlisted });
    let expected = Expected { taxa: raw.priors, checklist, place: checked_place(place)? };
    Ok(ModelConfig { package: raw.package, dial: Dial { everywhere, subtrees, guarantee }, expected })
}

fn sureness(
    table: &str,
    target: Option<f64>,
    threshold: Option<f64>,
) -> Result<Option<Sureness>, ConfigError> {
    let key = |name: &str| format!("{table}.{name}");
    match (target, threshold) {
        (Some(target), Some(_)) => {
            refuse(key("target_accuracy"), target, "give a target_accuracy or a threshold, not both")
        }
        (None, Some(threshold)) => match Threshold::new(threshold) {
            Ok(threshold) => Ok(Some(Sureness::Threshold(threshold))),
            Err(_) => refuse(key("threshold"), threshold, "give a number from 0 to 1"),
        },
        (Some(target), None) => {
            let target = number(key("target_accuracy"), Some(target))?;
            Ok(Some(Sureness::Target(target)))
        }
        (None, None) => Ok(None),
    }
}

fn checked_place(raw: &RawPlace) -> Result<Option<Place>, ConfigError> {
    match (raw.latitude, raw.longitude) {
        (None, None) => Ok(None),
        (Some(latitude), Some(longitude)) => match Place::new(latitude, longitude) {
            Ok(place) => Ok(Some(place)),
            Err(error) => refuse("place", error, "give degrees, WGS 84"),
        },
        _ => refuse("place", "half a place", "give both latitude and longitude, or neither"),
    }
}
