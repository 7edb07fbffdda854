//! `[update]`: taking models from the fleet's repository.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::NodeName;
use super::raw::RawUpdate;
use super::refusal::{ConfigError, number, refuse, whole};

/// Where releases come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// The broker keeps them.
    Broker,
    /// A mirror: a path, `file://` or `http(s)://`.
    Mirror(String),
}

/// How a node takes updates.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateConfig {
    /// The group whose desired model is followed.
    pub group: String,
    /// The trusted root, as the fleet manager gave it.
    pub root: PathBuf,
    /// Where releases come from.
    pub repository: Repository,
    /// Whether a rollout is followed by itself; otherwise somebody has to say `install`.
    pub automatic: bool,
    /// Where releases and what is trusted are kept.
    pub folder: PathBuf,
    /// How long a model looks on before it answers.
    pub shadow: Duration,
    /// How long it answers before it is confirmed.
    pub probation: Duration,
    /// Frames it must have answered by then.
    pub probation_frames: u64,
    /// Frames without an answer that are too many.
    pub max_failures: u64,
    /// Times a release is tried.
    pub max_tries: u32,
    /// Times the daemon may die in a probation.
    pub max_starts: u32,
    /// Bytes of the disk that stay free.
    pub free: u64,
    /// Longest mean latency, milliseconds.
    pub max_latency_ms: Option<f64>,
    /// Longest mean latency, in those of the model before.
    pub max_latency_factor: f64,
    /// Most memory the self-test may take, bytes.
    pub max_memory: Option<u64>,
    /// Largest difference of the rank mixes.
    pub max_drift: f64,
    /// How long the self-test may take.
    pub selftest_timeout: Duration,
}

/// A name that is one topic level.
pub(crate) fn group_name(key: &str, name: &str) -> Result<String, ConfigError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return refuse(key, format!("{name:?}"), "give 1 to 64 letters, digits, - _ or .");
    }
    Ok(name.into())
}

pub(super) fn update(
    raw: RawUpdate,
    node: &NodeName,
    state: Option<&Path>,
) -> Result<Option<UpdateConfig>, ConfigError> {
    let seconds = |key: &str, value| number(format!("update.{key}"), value).map(Duration::from_secs_f64);
    let count = |key: &str, value| whole(format!("update.{key}"), value);
    let optional = |key: &str, value: Option<f64>| {
        value.map(|value| number(format!("update.{key}"), Some(value))).transpose()
    };
    let config = UpdateConfig {
        group: String::new(),
        root: PathBuf::new(),
        repository: repository(raw.repository.as_deref())?,
        automatic: raw.automatic.unwrap_or(true),
        folder: PathBuf::new(),
        shadow: seconds("shadow_s", raw.shadow_s)?,
        probation: seconds("probation_s", raw.probation_s)?,
        probation_frames: count("probation_frames", raw.probation_frames)?.into(),
        max_failures: count("max_failures", raw.max_failures)?.into(),
        max_tries: count("max_tries", raw.max_tries)?,
        max_starts: count("max_starts", raw.max_starts)?,
        free: u64::from(count("free_mb", raw.free_mb)?) << 20,
        max_latency_ms: optional("max_latency_ms", raw.max_latency_ms)?,
        max_latency_factor: number("update.max_latency_factor", raw.max_latency_factor)?,
        max_memory: optional("max_memory_mb", raw.max_memory_mb)?.map(|mb| (mb * 1_048_576.0) as u64),
        max_drift: number("update.max_drift", raw.max_drift)?,
        selftest_timeout: seconds("selftest_timeout_s", raw.selftest_timeout_s)?,
    };
    let Some(group) = &raw.group else {
        return match raw.root {
            Some(_) => refuse("update.group", "(absent)", "name the group whose model this node follows"),
            None => Ok(None),
        };
    };
    let Some(root) = raw.root else {
        return refuse("update.root", "(absent)", "give the root.json of the fleet's release repository");
    };
    let folder = match (raw.folder, state) {
        (Some(folder), _) => folder,
        (None, Some(state)) => state.join(format!("update-{}", node.as_str())),
        (None, None) => {
            return refuse("update.folder", "(absent)", "give a folder, or set outbox.durable = true");
        }
    };
    let group = group_name("update.group", group)?;
    Ok(Some(UpdateConfig { group, root, folder, ..config }))
}

fn repository(place: Option<&str>) -> Result<Repository, ConfigError> {
    match place {
        None | Some("mqtt") => Ok(Repository::Broker),
        Some(place) if crate::release::Shelf::at(place).is_ok() => Ok(Repository::Mirror(place.into())),
        Some(place) => refuse(
            "update.repository",
            format!("{place:?}"),
            "give \"mqtt\", a path, file:///path, http://host/path or https://host/path",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn load(lines: &str) -> Result<Option<UpdateConfig>, String> {
        let text = format!(
            "node = \"n\"\n[mqtt]\nurl = \"mqtt://h\"\n[outbox]\nfolder = \"/s\"\n[update]\n{lines}\n\
             [camera.c]\nsource = \"files\"\nfolder = \"x\"\n"
        );
        load_text(&text).map(|config| config.update).map_err(|error| error.to_string())
    }

    #[test]
    fn updates_are_off_unless_a_group_is_named() {
        assert_eq!(load(""), Ok(None));
        let config = load("group = \"g\"\nroot = \"/r.json\"").expect("good").expect("on");
        assert_eq!((config.folder, config.repository), ("/s/update-n".into(), Repository::Broker));
    }

    #[test]
    fn refusals_say_what_is_missing() {
        for (lines, part) in [
            ("root = \"/r.json\"", "update.group = (absent)"),
            ("group = \"g\"", "update.root = (absent)"),
            ("group = \"a/b\"\nroot = \"/r\"", "update.group = \"a/b\""),
            ("group = \"g\"\nroot = \"/r\"\nrepository = \"ftp://h\"", "update.repository = \"ftp://h\""),
            ("group = \"g\"\nroot = \"/r\"\nmax_drift = 2.0", "update.max_drift = 2"),
        ] {
            let refusal = load(lines).expect_err("a refusal");
            assert!(refusal.contains(part), "{part:?} is not in {refusal}");
        }
    }
}
