//! What a node believes: metadata that lead from the root it was given to a release, none older than what it has
//! seen, none expired.

use std::path::{Path, PathBuf};

use fieldmark_models::package::Sha256Digest;
use serde::{Deserialize, Serialize};
use tough::error::Error;
use tough::schema::{RoleType, Root, Signed, Target};
use tough::{Limits, RepositoryLoader};

use super::floor::{Floor, FloorError, durable};
use super::role::RoleKeys;
use super::shelf::Shelf;

/// Key of what fieldmark says of a target, in its `custom` object.
pub(super) const CUSTOM: &str = "fieldmark";
/// A clock may be set back by so much; beyond, what is expired might look valid.
const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// A minute's work to read, and far more than a fleet needs.
const LIMITS: Limits = Limits {
    max_root_size: 512 << 10,
    max_targets_size: 4 << 20,
    max_timestamp_size: 64 << 10,
    max_snapshot_size: 512 << 10,
    max_root_updates: 256,
};

/// What is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseKind {
    /// A package.
    Model,
    /// A layer of configuration.
    Config,
}

impl ReleaseKind {
    /// As topics and folders name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Config => "config",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Model => ".fieldmark",
            Self::Config => ".toml",
        }
    }

    /// Name and version in the name of a target of this kind, `NAME-VERSION.fieldmark` or `NAME-VERSION.toml`.
    #[must_use]
    pub fn parse(self, target: &str) -> Option<(String, semver::Version)> {
        let stem = target.strip_suffix(self.suffix())?;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        // Both may hold dashes: the version is what parses.
        stem.match_indices('-').find_map(|(at, _)| {
            let (name, version) = (&stem[..at], &stem[at + 1..]);
            let fits = !name.is_empty() && name.len() <= 64 && name.chars().all(word);
            fits.then(|| semver::Version::parse(version).ok()).flatten().map(|version| (name.into(), version))
        })
    }
}

/// Something a node may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What it is.
    pub kind: ReleaseKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: semver::Version,
    /// Digest of the file.
    pub sha256: Sha256Digest,
    /// Bytes of the file.
    pub size: u64,
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A release and how it is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub release: Release,
    /// Name of its target.
    pub target: String,
    /// Digest of its chunk index, where one was signed.
    pub index: Option<Sha256Digest>,
}

/// Verified metadata.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// What is released.
    pub releases: Vec<Listed>,
    /// Version of `timestamp.json`.
    pub version: u64,
    /// When the first of the metadata expires.
    pub expires: jiff::Timestamp,
    /// Who has a say.
    pub roles: Vec<RoleKeys>,
}

/// Why metadata are not believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It may be believed later.
    #[error("{0}")]
    Deferred(String),
    /// It is not what the fleet's keys signed, or older than what was seen.
    #[error("the release metadata are refused: {0}")]
    Refused(String),
    /// What was trusted before cannot be read or kept.
    #[error(transparent)]
    Floor(#[from] FloorError),
}

/// The version of the root in `text`, which its own keys have signed.
///
/// # Errors
/// If it is none.
pub fn root_version(text: &[u8]) -> Result<u64, String> {
    let root: Signed<Root> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    root.signed.verify_role(&root).map_err(|error| error.to_string())?;
    Ok(root.signed.version.get())
}

/// Reads metadata and keeps what was trusted.
#[derive(Debug, Clone)]
pub struct Truster {
    folder: PathBuf,
    given: Vec<u8>,
}

impl Truster {
    /// Trusts the root `given`, and remembers in `folder`.
    #[must_use]
    pub fn new(given: Vec<u8>, folder: &Path) -> Self {
        Self { folder: folder.into(), given }
    }

    /// The root that was last trusted, or else the one that was given.
    fn root(&self) -> Vec<u8> {
        let kept = std::fs::read(self.folder.join("root.json")).ok();
        // A newer one that was given by hand goes over what was kept.
        let version = |text: &[u8]| {
            serde_json::from_slice::<Signed<Root>>(text).map(|root| root.signed.version.get()).unwrap_or(0)
        };
        kept.filter(|kept| version(kept) >= version(&self.given)).unwrap_or_else(|| self.given.clone())
    }

    /// Verifies the metadata on `shelf` at the time `now`, and remembers them before anything is done with them.
    ///
    /// # Errors
    /// If they are not to be believed, or not now.
    pub async fn verify(&self, shelf: &Shelf, now: jiff::Timestamp) -> Result<Trusted, TrustError> {
        let path = self.folder.join("floor.json");
        let floor = Floor::read(&path)?;
        let store = self.folder.join("tuf");
        let unusable = |error: std::io::Error| {
            TrustError::Deferred(format!(
                "cannot use {}: {error}; make room, or let this user write there",
                store.display()
            ))
        };
        std::fs::create_dir_all(&store).map_err(unusable)?;
        // A clock that was once far ahead would be remembered there for good; the floor keeps the time instead.
        match std::fs::remove_file(store.join("latest_known_time.json")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(error)),
            _ => {}
        }
        let root = self.root();
        let (metadata, targets) = shelf.bases();
        let loader = RepositoryLoader::new(&root, metadata, targets)
            .transport(shelf.clone())
            .limits(LIMITS)
            .datastore(&store);
        let repository = loader.load().await.map_err(|error| explained(&error, now))?;
        let found = Floor {
            root: repository.root().signed.version.get(),
            timestamp: repository.timestamp().signed.version.get(),
            snapshot: repository.snapshot().signed.version.get(),
            targets: repository.targets().signed.version.get(),
            seen: Some(now),
        };
        let renewed = keys_changed(&root, &repository.root().signed);
        not_below(&found, &floor, renewed)?;
        // Metadata that were not seen before were made later than those that were: the clock was ahead then.
        let newer = found.timestamp > floor.timestamp || found.root > floor.root;
        if let Some(seen) = floor.seen.filter(|&seen| !newer && now < seen - SLACK) {
            return Err(TrustError::Deferred(format!(
                "the clock says {now:.0}, and has said {seen:.0} before: what is expired might look valid; set the clock"
            )));
        }
        let kept = self.folder.join("root.json");
        let text = serde_json::to_vec(repository.root()).unwrap_or_default();
        if std::fs::read(&kept).ok().as_ref() != Some(&text) {
            durable(&kept, &text).map_err(unusable)?;
        }
        found.write(&path)?;
        let releases =
            repository.all_targets().filter_map(|(name, target)| listed(name.raw(), target)).collect();
        let expires = [
            repository.root().signed.expires,
            repository.timestamp().signed.expires,
            repository.snapshot().signed.expires,
            repository.targets().signed.expires,
        ];
        let expires = expires.into_iter().min().unwrap_or(now);
        let roles = RoleKeys::of(&repository.root().signed);
        Ok(Trusted { releases, version: found.timestamp, expires, roles })
    }
}

impl Trusted {
    /// `release`, if it is listed as it is said to be. The same bytes may be listed under other names and versions too: a
    /// configuration that was good is released anew to go back to it.
    #[must_use]
    pub fn find(&self, release: &Release) -> Option<&Listed> {
        self.releases.iter().find(|listed| listed.release == *release)
    }

    /// A release with this digest.
    #[must_use]
    pub fn with_digest(&self, sha256: Sha256Digest) -> Option<&Listed> {
        self.releases.iter().find(|listed| listed.release.sha256 == sha256)
    }

    /// The release of this kind, name and version.
    #[must_use]
    pub fn named(&self, kind: ReleaseKind, name: &str, version: &semver::Version) -> Option<&Listed> {
        self.releases.iter().find(|Listed { release, .. }| {
            release.kind == kind && release.name == name && release.version == *version
        })
    }
}

/// A target as a release; targets that are neither models nor configurations are somebody else's.
fn listed(name: &str, target: &Target) -> Option<Listed> {
    let sha256: Sha256Digest = super::keys::hex(target.hashes.sha256.as_ref()).parse().ok()?;
    let custom = target.custom.get(CUSTOM);
    let text = |key: &str| custom?.get(key)?.as_str();
    let kind =
        [ReleaseKind::Model, ReleaseKind::Config].into_iter().find(|kind| name.ends_with(kind.suffix()))?;
    let (own, version) = kind.parse(name)?;
    let index = text("chunks").and_then(|text| text.parse().ok());
    let release = Release { kind, name: own, version, sha256, size: target.length };
    Some(Listed { release, target: name.into(), index })
}

fn not_below(found: &Floor, floor: &Floor, renewed: bool) -> Result<(), TrustError> {
    let pairs = [
        ("root.json", found.root, floor.root, false),
        ("timestamp.json", found.timestamp, floor.timestamp, renewed),
        ("snapshot.json", found.snapshot, floor.snapshot, renewed),
        ("targets.json", found.targets, floor.targets, renewed),
    ];
    for (file, found, floor, may_begin_anew) in pairs {
        if found < floor && !may_begin_anew {
            let reason = format!(
                "{file} has version {found}, and {floor} was seen before: somebody shows what is old"
            );
            return Err(TrustError::Refused(reason));
        }
    }
    Ok(())
}

/// Whether other keys sign what is the latest: the fleet recovers from keys that were stolen, and counts anew.
fn keys_changed(before: &[u8], now: &Root) -> bool {
    let Ok(before) = serde_json::from_slice::<Signed<Root>>(before) else { return false };
    let of = |root: &Root, role| {
        let mut ids: Vec<_> = root.roles.get(&role).iter().flat_map(|keys| keys.keyids.clone()).collect();
        ids.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        ids
    };
    [RoleType::Timestamp, RoleType::Snapshot]
        .into_iter()
        .any(|role| of(&before.signed, role) != of(now, role))
}

/// What the library found, in words; what may pass by itself is told from what will not.
fn explained(error: &Error, now: jiff::Timestamp) -> TrustError {
    let text = error.to_string();
    match error {
        Error::ExpiredMetadata { .. } => TrustError::Deferred(format!(
            "{text}, by this clock ({now:.0}): set the clock if it is wrong, or let the fleet manager refresh the repository"
        )),
        Error::Transport { source, .. } if !is_mismatch(source) => TrustError::Deferred(text),
        _ => TrustError::Refused(text),
    }
}

/// Data that came and were wrong: too long, or with another digest.
fn is_mismatch(error: &tough::TransportError) -> bool {
    let cause = std::error::Error::source(error);
    cause.is_some_and(|cause| cause.downcast_ref::<Error>().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_releases_with_the_same_bytes_the_one_that_is_meant_is_found() {
        let sha256: Sha256Digest = "ab".repeat(32).parse().expect("a digest");
        let release = |minor| Release {
            kind: ReleaseKind::Config,
            name: "dusk".into(),
            version: semver::Version::new(1, minor, 0),
            sha256,
            size: 10,
        };
        let listed =
            |minor| Listed { release: release(minor), target: format!("dusk-1.{minor}.0.toml"), index: None };
        let now = jiff::Timestamp::now();
        for order in [[0, 2], [2, 0]] {
            let releases = order.map(listed).into();
            let trusted = Trusted { releases, version: 1, expires: now, roles: Vec::new() };
            for minor in order {
                assert_eq!(trusted.find(&release(minor)).map(|found| &found.release), Some(&release(minor)));
            }
            assert!(trusted.find(&release(1)).is_none() && trusted.with_digest(sha256).is_some());
        }
    }
}
