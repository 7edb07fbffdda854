//! What a group is to run (`fieldmark/fleet/G/desired`, retained). The message is not signed: it can only choose
//! among signed releases, and a node takes none that is older than what it runs, but for the one it ran before.

use fieldmark_models::package::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::release::{Release, ReleaseKind};

/// Buckets nodes fall into: hundredths of a percent.
const BUCKETS: u32 = 10_000;

/// How a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// Stages follow each other.
    Running,
    /// No further node begins.
    Paused,
    /// Too many nodes failed: no further node begins.
    Stopped,
    /// Called off: nodes that have not come to answer with it leave it.
    Aborted,
    /// Every node that runs it goes back to what it ran before.
    RolledBack,
    /// Every node is to run it, those that join later as well.
    Done,
}

/// What a group is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Version of this message: 1.
    pub v: u32,
    /// ULID of the rollout.
    pub rollout: String,
    /// What is rolled out.
    pub kind: ReleaseKind,
    /// Name of the release.
    pub name: String,
    /// Its version.
    pub version: semver::Version,
    /// Digest of its file.
    pub sha256: Sha256Digest,
    /// Bytes of its file.
    pub size: u64,
    /// How it is.
    pub state: RolloutState,
    /// Percentages of the group, one a stage.
    pub stages: Vec<u32>,
    /// The present stage, from 0.
    pub stage: usize,
    /// Nodes whose bucket is below take part.
    pub below: u32,
    /// Seconds for which a stage has to be well before the next begins.
    pub hold_s: u64,
    /// Nodes that may fail before the rollout stops.
    pub max_failures: u32,
    /// When it began: RFC 3339, UTC.
    pub started: jiff::Timestamp,
    /// Since when every node of the stage is confirmed; absent while some are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well_since: Option<jiff::Timestamp>,
    /// Why it is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Desired {
    /// The release.
    #[must_use]
    pub fn release(&self) -> Release {
        Release {
            kind: self.kind,
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256,
            size: self.size,
        }
    }

    /// Whether `node` takes part in the stages so far.
    #[must_use]
    pub fn includes(&self, node: &str) -> bool {
        bucket(node, &self.rollout) < self.below
    }

    /// What `percent` of a group are, in buckets.
    #[must_use]
    pub fn buckets(percent: u32) -> u32 {
        percent.min(100) * (BUCKETS / 100)
    }
}

/// Where a node stands in a rollout: the same on every machine, and another in every rollout, so that it is not
/// always the same nodes that go first.
#[must_use]
pub fn bucket(node: &str, rollout: &str) -> u32 {
    let digest = Sha256Digest::of(format!("{rollout}/{node}").as_bytes()).to_string();
    u32::from_str_radix(&digest[..8], 16).unwrap_or(0) % BUCKETS
}

/// Where the desired release of `kind` of `group` stands; retained.
#[must_use]
pub fn desired_topic(kind: ReleaseKind, group: &str) -> String {
    match kind {
        ReleaseKind::Model => format!("fieldmark/fleet/{group}/desired"),
        ReleaseKind::Config => format!("fieldmark/fleet/{group}/config/desired"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn example() -> Desired {
        Desired {
            v: 1,
            rollout: "01JDBZ3V7WQ2M0X5C8R9T4K6HN".into(),
            kind: ReleaseKind::Model,
            name: "garden".into(),
            version: semver::Version::new(0, 2, 0),
            sha256: Sha256Digest::of(b"package"),
            size: 18_500_000,
            state: RolloutState::Running,
            stages: vec![5, 25, 100],
            stage: 0,
            below: 500,
            hold_s: 1800,
            max_failures: 2,
            started: "2026-11-23T05:32:07Z".parse().expect("a time"),
            well_since: Some("2026-11-23T06:00:00Z".parse().expect("a time")),
            reason: Some("waits".into()),
        }
    }

    #[test]
    fn a_desired_release_has_these_fields() {
        let text = serde_json::to_string_pretty(&example()).expect("JSON");
        assert_eq!(serde_json::from_str::<Desired>(&text).expect("own message"), example());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nodes_are_spread_evenly_and_differently_in_each_rollout() {
        let nodes: Vec<_> = (0..2000).map(|number| format!("node-{number}")).collect();
        let below = |rollout: &str| nodes.iter().filter(|node| bucket(node, rollout) < 2500).count();
        for rollout in ["a", "b", "c"] {
            assert!((400..600).contains(&below(rollout)), "{}", below(rollout));
        }
        let first = |rollout: &str| nodes.iter().min_by_key(|node| bucket(node, rollout)).cloned();
        assert_ne!(first("a"), first("b"));
        assert_eq!(
            bucket("pond-node", "01JDBZ3V7WQ2M0X5C8R9T4K6HN"),
            bucket("pond-node", "01JDBZ3V7WQ2M0X5C8R9T4K6HN")
        );
    }
}
