//! A release repository in a folder: `metadata/` and `targets/` are what nodes read, from a broker, a web server or
//! the folder itself; `staged/` is what still lacks signatures.
//!
//! Whatever is changed is staged first, signed by whoever has the keys at hand, and moves to `metadata/` when its
//! threshold is reached: keys of one role may lie on different machines.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use fieldmark_models::package::{Package, Sha256Digest};
use serde::de::DeserializeOwned;
use serde_json::json;
use tough::TargetName;
use tough::schema::{Role, RoleType, Root, Signed, Snapshot, Target, Targets, Timestamp};

use super::chunks::ChunkIndex;
use super::floor::durable;
use super::quorum::{Outcome, RoleSetup};
use super::repository_error::RepositoryError;
use super::signing::{add_signatures, lacks, metafile, put_keys, speaks_for, target, unsigned, written};
use super::trust::ReleaseKind;
use super::{PublicKey, RoleName, SigningKey, TIMESTAMP};

const SPECIFICATION: &str = "1.0.0";
const DAY: i64 = 86_400;

/// For how many days a signature on each role holds.
#[derive(Debug, Clone, Copy)]
pub struct Expiries {
    /// `root.json`.
    pub root: i64,
    /// `targets.json`.
    pub targets: i64,
    /// `snapshot.json`.
    pub snapshot: i64,
    /// `timestamp.json`: how long a node that is shown nothing new goes on trusting.
    pub timestamp: i64,
}

impl Default for Expiries {
    fn default() -> Self {
        Self { root: 365, targets: 365, snapshot: 90, timestamp: 30 }
    }
}

/// A repository in a folder.
pub struct Repository {
    folder: PathBuf,
    root: Option<Signed<Root>>,
    targets: Option<Signed<Targets>>,
    snapshot: Option<Signed<Snapshot>>,
    timestamp: Option<Signed<Timestamp>>,
    now: jiff::Timestamp,
    expiries: Expiries,
}

impl Repository {
    /// Begins a repository in `folder` with these keys, signed as far as `signers` go.
    ///
    /// # Errors
    /// If there is one, a role has too few keys, or the disk does not take it.
    pub fn init(
        folder: &Path,
        roles: &[RoleSetup],
        signers: &[SigningKey],
        expiries: Expiries,
        now: jiff::Timestamp,
    ) -> Result<(Self, Outcome), RepositoryError> {
        if folder.join("metadata").exists() || folder.join("staged").exists() {
            return Err(RepositoryError::Exists(folder.into()));
        }
        let mut root = Root {
            spec_version: SPECIFICATION.into(),
            consistent_snapshot: true,
            version: NonZeroU64::MIN,
            expires: after(now, expiries.root),
            keys: HashMap::new(),
            roles: HashMap::new(),
            _extra: HashMap::new(),
        };
        for setup in roles {
            put_keys(&mut root, setup)?;
        }
        for folder in ["metadata", "targets", "staged"].map(|name| folder.join(name)) {
            std::fs::create_dir_all(&folder).map_err(|error| failed("make", &folder, &error))?;
        }
        let mut repository = Self {
            folder: folder.into(),
            root: None,
            targets: None,
            snapshot: None,
            timestamp: None,
            now,
            expiries,
        };
        let targets = Targets::new(SPECIFICATION.into(), NonZeroU64::MIN, after(now, expiries.targets));
        repository.stage(&unsigned(targets))?;
        repository.stage(&unsigned(root))?;
        let outcome = repository.settle(signers)?;
        Ok((repository, outcome))
    }

    /// Opens the repository in `folder`.
    ///
    /// # Errors
    /// If there is none, or a file of it cannot be read.
    pub fn open(folder: &Path, expiries: Expiries, now: jiff::Timestamp) -> Result<Self, RepositoryError> {
        let metadata = folder.join("metadata");
        let entries = std::fs::read_dir(&metadata).map_err(|_| RepositoryError::None(folder.into()))?;
        let names: Vec<_> =
            entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let latest = |role: &str| {
            let version = |name: &String| name.strip_suffix(&format!(".{role}.json"))?.parse::<u64>().ok();
            let newest = names.iter().filter_map(version).max()?;
            Some(metadata.join(format!("{newest}.{role}.json")))
        };
        let timestamp = Some(metadata.join(TIMESTAMP)).filter(|path| path.exists());
        Ok(Self {
            folder: folder.into(),
            root: latest("root").map(|path| read(&path)).transpose()?,
            targets: latest("targets").map(|path| read(&path)).transpose()?,
            snapshot: latest("snapshot").map(|path| read(&path)).transpose()?,
            timestamp: timestamp.map(|path| read(&path)).transpose()?,
            now,
            expiries,
        })
    }

    /// The folder that is given to nodes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The root in force.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref().map(|root| &root.signed)
    }

    /// What is released, by target name.
    #[must_use]
    pub fn released(&self) -> Vec<(&TargetName, &Target)> {
        let mut released: Vec<_> = self.targets.iter().flat_map(|targets| &targets.signed.targets).collect();
        released.sort_by_key(|(name, _)| name.raw().to_owned());
        released
    }

    /// Versions of root, targets, snapshot and timestamp, and when each expires.
    #[must_use]
    pub fn versions(&self) -> Vec<(&'static str, u64, jiff::Timestamp)> {
        fn of<T: Role>(name: &'static str, role: &Signed<T>) -> (&'static str, u64, jiff::Timestamp) {
            (name, role.signed.version().get(), role.signed.expires())
        }
        [
            self.root.as_ref().map(|role| of("root", role)),
            self.targets.as_ref().map(|role| of("targets", role)),
            self.snapshot.as_ref().map(|role| of("snapshot", role)),
            self.timestamp.as_ref().map(|role| of("timestamp", role)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Releases the package or configuration at `path`, cut into chunks of `chunk` bytes. What it is called and the
    /// outcome.
    ///
    /// # Errors
    /// If it is no package that a node could run, or was released with other content.
    pub fn add(
        &mut self,
        path: &Path,
        chunk: u32,
        signers: &[SigningKey],
    ) -> Result<(String, Outcome), RepositoryError> {
        let bytes = std::fs::read(path).map_err(|error| failed("read", path, &error))?;
        let (name, custom) = described(path, &bytes)?;
        self.put(&name, &bytes, &custom, chunk, signers).map(|outcome| (name, outcome))
    }

    /// Releases the package at `path` by its file name, whether or not this fieldmark can open it: nodes that run
    /// another version of fieldmark may.
    ///
    /// # Errors
    /// If it is not called `NAME-VERSION.fieldmark`, or was released with other content.
    pub fn add_unopened(
        &mut self,
        path: &Path,
        chunk: u32,
        signers: &[SigningKey],
    ) -> Result<(String, Outcome), RepositoryError> {
        let bytes = std::fs::read(path).map_err(|error| failed("read", path, &error))?;
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parsed = ReleaseKind::Model.parse(file);
        let rule = "call it NAME-VERSION.fieldmark, such as garden-0.2.0.fieldmark";
        let (name, version) = parsed.ok_or(RepositoryError::Name(file.into(), rule))?;
        let custom = json!({ "kind": "model", "name": name, "version": version.to_string() });
        self.put(file, &bytes, &custom, chunk, signers).map(|outcome| (file.into(), outcome))
    }

    fn put(
        &mut self,
        name: &str,
        bytes: &[u8],
        custom: &serde_json::Value,
        chunk: u32,
        signers: &[SigningKey],
    ) -> Result<Outcome, RepositoryError> {
        let (target, index) = (target(bytes, custom, chunk), ChunkIndex::of(bytes, chunk));
        let target_name = TargetName::new(name).map_err(|_| RepositoryError::Name(name.into(), PLAIN))?;
        let mut targets = self.next_targets()?;
        if targets.targets.get(&target_name).is_some_and(|known| known.hashes != target.hashes) {
            return Err(RepositoryError::Released(name.into()));
        }
        let stem = self.folder.join("targets").join(format!("{}.{name}", index.sha256));
        durable(&stem, bytes).map_err(|error| failed("write", &stem, &error))?;
        let beside = self.index_path(name, index.sha256);
        durable(&beside, &index.to_json()).map_err(|error| failed("write", &beside, &error))?;
        targets.targets.insert(target_name, target);
        self.stage(&unsigned(targets))?;
        self.settle(signers)
    }

    /// Takes the release called `name` back: nodes that run it go on, no other begins to.
    ///
    /// # Errors
    /// If there is none.
    pub fn withdraw(&mut self, name: &str, signers: &[SigningKey]) -> Result<Outcome, RepositoryError> {
        let mut targets = self.next_targets()?;
        let known = targets.targets.keys().find(|target| target.raw() == name).cloned();
        let known = known.ok_or_else(|| RepositoryError::Unknown(name.into()))?;
        targets.targets.remove(&known);
        self.stage(&unsigned(targets))?;
        self.settle(signers)
    }

    /// Where the chunk index of a target lies.
    #[must_use]
    pub fn index_path(&self, name: &str, sha256: Sha256Digest) -> PathBuf {
        self.folder.join("targets").join(format!("{sha256}.{name}.chunks.json"))
    }

    /// Gives a role other keys or another threshold: a new version of the root, which the old one's keys sign too.
    ///
    /// # Errors
    /// If the role would have too few keys.
    pub fn change_keys(
        &mut self,
        role: RoleName,
        add: &[PublicKey],
        remove: &[String],
        threshold: Option<u64>,
        signers: &[SigningKey],
    ) -> Result<Outcome, RepositoryError> {
        let mut root = match self.staged::<Root>()? {
            Some(staged) => staged.signed,
            None => {
                let mut root = self.trusted_root()?.clone();
                root.version = next(root.version);
                root
            }
        };
        root.expires = after(self.now, self.expiries.root);
        let present = root.roles.get(&role.kind()).cloned();
        let before = present.as_ref().map_or(1, |keys| keys.threshold.get());
        let kept = present.into_iter().flat_map(|keys| keys.keyids);
        let kept =
            kept.filter(|id| !remove.iter().any(|gone| super::keys::hex(id.as_ref()).starts_with(gone)));
        let kept = kept.filter_map(|id| root.keys.get(&id).map(|key| PublicKey { key: key.clone(), id }));
        let mut keys: Vec<_> = kept.collect();
        for key in add {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        put_keys(&mut root, &RoleSetup { role, keys, threshold: threshold.unwrap_or(before) })?;
        let used: Vec<_> = root.roles.values().flat_map(|role| role.keyids.iter().cloned()).collect();
        root.keys.retain(|id, _| used.contains(id));
        self.stage(&unsigned(root))?;
        self.settle(signers)
    }

    /// Adds signatures to what is staged.
    ///
    /// # Errors
    /// If nothing is, or none of the keys has a say.
    pub fn sign(&mut self, signers: &[SigningKey]) -> Result<Outcome, RepositoryError> {
        if self.staged::<Root>()?.is_none() && self.staged::<Targets>()?.is_none() && self.is_current() {
            return Err(RepositoryError::NothingStaged);
        }
        let staged = self.staged::<Root>()?.map(|root| root.signed);
        let known = |root: &Root| root.roles.keys().any(|&role| may_sign(root, role, signers));
        if !self.root().into_iter().chain(&staged).any(known) {
            return Err(RepositoryError::NoKey("what is staged"));
        }
        self.settle(signers)
    }

    /// Renews the timestamp, and the snapshot where it is due: what is to be done before they expire.
    ///
    /// # Errors
    /// If none of the keys may sign the timestamp: nobody would notice before it has expired.
    pub fn refresh(&mut self, signers: &[SigningKey]) -> Result<Outcome, RepositoryError> {
        if !may_sign(self.trusted_root()?, RoleType::Timestamp, signers) {
            return Err(RepositoryError::NoKey("the timestamp"));
        }
        self.timestamp = None;
        let half_way = after(self.now, self.expiries.snapshot / 2);
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.signed.expires < half_way) {
            self.snapshot = None;
        }
        self.settle(signers)
    }

    /// Moves what is signed enough to where nodes see it, renewing what depends on it; the timestamp goes last.
    fn settle(&mut self, signers: &[SigningKey]) -> Result<Outcome, RepositoryError> {
        if let Some(mut staged) = self.staged::<Root>()? {
            let own = staged.signed.clone();
            let mut rounds = vec![&own];
            rounds.extend(self.root.as_ref().map(|root| &root.signed));
            for authority in &rounds {
                add_signatures(authority, &mut staged, signers);
            }
            self.stage(&staged)?;
            if let Some(lacking) = rounds.iter().find(|authority| authority.verify_role(&staged).is_err()) {
                return Ok(lacks(lacking, &staged));
            }
            self.publish(&staged)?;
            self.root = Some(staged);
        }
        let root = self.trusted_root()?.clone();
        if self.staged::<Targets>()?.is_none()
            && self.targets.as_ref().is_some_and(|targets| root.verify_role(targets).is_err())
        {
            // Other keys speak for the releases now: they are signed anew.
            let renewed = self.next_targets()?;
            self.stage(&unsigned(renewed))?;
        }
        if let Some(mut staged) = self.staged::<Targets>()? {
            add_signatures(&root, &mut staged, signers);
            self.stage(&staged)?;
            if root.verify_role(&staged).is_err() {
                return Ok(lacks(&root, &staged));
            }
            self.publish(&staged)?;
            self.targets = Some(staged);
        }
        self.renew_snapshot(&root, signers)
    }

    fn renew_snapshot(&mut self, root: &Root, signers: &[SigningKey]) -> Result<Outcome, RepositoryError> {
        let Some(targets) = &self.targets else { return Ok(Outcome::Complete) };
        let described = metafile(targets);
        let fits = |snapshot: &Signed<Snapshot>| {
            snapshot.signed.meta.get("targets.json") == Some(&described) && root.verify_role(snapshot).is_ok()
        };
        if !self.snapshot.as_ref().is_some_and(fits) {
            let version = self.next_version("snapshot")?;
            let expires = after(self.now, self.expiries.snapshot);
            let mut snapshot = Snapshot::new(SPECIFICATION.into(), version, expires);
            snapshot.meta.insert("targets.json".into(), described);
            let mut snapshot = unsigned(snapshot);
            add_signatures(root, &mut snapshot, signers);
            if root.verify_role(&snapshot).is_err() {
                return Ok(lacks(root, &snapshot));
            }
            self.publish(&snapshot)?;
            self.snapshot = Some(snapshot);
        }
        let Some(snapshot) = &self.snapshot else { return Ok(Outcome::Complete) };
        let described = metafile(snapshot);
        let fits = |timestamp: &Signed<Timestamp>| {
            timestamp.signed.meta.get("snapshot.json") == Some(&described)
                && root.verify_role(timestamp).is_ok()
        };
        if !self.timestamp.as_ref().is_some_and(fits) {
            let on_disk = self.folder.join("metadata").join(TIMESTAMP);
            let before = on_disk.exists().then(|| read::<Timestamp>(&on_disk)).transpose()?;
            let version = before.map_or(NonZeroU64::MIN, |before| next(before.signed.version));
            let expires = after(self.now, self.expiries.timestamp);
            let mut timestamp = Timestamp::new(SPECIFICATION.into(), version, expires);
            timestamp.meta.insert("snapshot.json".into(), described);
            let mut timestamp = unsigned(timestamp);
            add_signatures(root, &mut timestamp, signers);
            if root.verify_role(&timestamp).is_err() {
                return Ok(lacks(root, &timestamp));
            }
            self.publish(&timestamp)?;
            self.timestamp = Some(timestamp);
        }
        Ok(Outcome::Complete)
    }

    fn is_current(&self) -> bool {
        let Some(targets) = &self.targets else { return false };
        let seen = self.snapshot.as_ref().and_then(|snapshot| snapshot.signed.meta.get("targets.json"));
        let snapshot = self.snapshot.as_ref().map(metafile);
        let told = self.timestamp.as_ref().and_then(|timestamp| timestamp.signed.meta.get("snapshot.json"));
        seen == Some(&metafile(targets)) && snapshot.as_ref() == told
    }

    fn trusted_root(&self) -> Result<&Root, RepositoryError> {
        self.root().ok_or_else(|| RepositoryError::None(self.folder.clone()))
    }

    /// The releases with whatever is staged, to be changed further.
    fn next_targets(&self) -> Result<Targets, RepositoryError> {
        let mut targets = match (self.staged::<Targets>()?, &self.targets) {
            (Some(staged), _) => staged.signed,
            (None, Some(present)) => {
                let mut targets = present.signed.clone();
                targets.version = next(targets.version);
                targets
            }
            (None, None) => return Err(RepositoryError::None(self.folder.clone())),
        };
        targets.expires = after(self.now, self.expiries.targets);
        Ok(targets)
    }

    fn next_version(&self, role: &str) -> Result<NonZeroU64, RepositoryError> {
        let folder = self.folder.join("metadata");
        let entries = std::fs::read_dir(&folder).map_err(|error| failed("read", &folder, &error))?;
        let versions = entries.filter_map(Result::ok).filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(&format!(".{role}.json"))?.parse::<u64>().ok()
        });
        Ok(NonZeroU64::new(versions.max().unwrap_or(0) + 1).unwrap_or(NonZeroU64::MIN))
    }

    fn staged_path(&self, role: RoleType) -> PathBuf {
        self.folder.join("staged").join(format!("{role}.json"))
    }

    fn staged<T: Role + DeserializeOwned>(&self) -> Result<Option<Signed<T>>, RepositoryError> {
        let path = self.staged_path(T::TYPE);
        path.exists().then(|| read(&path)).transpose()
    }

    fn stage<T: Role>(&self, role: &Signed<T>) -> Result<(), RepositoryError> {
        let path = self.staged_path(T::TYPE);
        durable(&path, &written(role)).map_err(|error| failed("write", &path, &error))
    }

    fn publish<T: Role>(&self, role: &Signed<T>) -> Result<(), RepositoryError> {
        let path = self.folder.join("metadata").join(role.signed.filename(true));
        durable(&path, &written(role)).map_err(|error| failed("write", &path, &error))?;
        let staged = self.staged_path(T::TYPE);
        match std::fs::remove_file(&staged) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &staged, &error))
            }
            _ => Ok(()),
        }
    }
}

const PLAIN: &str = "give a plain file name";

/// Whether any of `signers` has a say in `role`, as `root` has it.
fn may_sign(root: &Root, role: RoleType, signers: &[SigningKey]) -> bool {
    signers.iter().any(|signer| speaks_for(root, role, &signer.public().id))
}

fn next(version: NonZeroU64) -> NonZeroU64 {
    version.saturating_add(1)
}

/// `days` after `now`, to the second.
fn after(now: jiff::Timestamp, days: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(now.as_second().saturating_add(days.saturating_mul(DAY))).unwrap_or(now)
}

fn failed(attempt: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> RepositoryError {
    RepositoryError::File { attempt, path: path.into(), reason: reason.to_string() }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Signed<T>, RepositoryError> {
    let text = std::fs::read(path).map_err(|error| failed("read", path, &error))?;
    serde_json::from_slice(&text).map_err(|error| failed("understand", path, &error))
}

/// What a file is called in the repository, and what is said of it there.
fn described(path: &Path, bytes: &[u8]) -> Result<(String, serde_json::Value), RepositoryError> {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.extension().is_some_and(|extension| extension == "toml") {
        let (name, version) = ReleaseKind::Config.parse(file).ok_or(RepositoryError::Name(
            file.into(),
            "call it NAME-VERSION.toml, such as dusk-1.0.0.toml",
        ))?;
        std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse::<toml::Table>().ok())
            .ok_or(RepositoryError::Name(file.into(), "it is no TOML"))?;
        return Ok((file.into(), json!({ "kind": "config", "name": name, "version": version.to_string() })));
    }
    let package = Package::read(bytes)
        .map_err(|source| RepositoryError::Package { path: path.into(), source: Box::new(source) })?;
    let manifest = package.manifest();
    let name = format!("{}-{}.fieldmark", manifest.name, manifest.version);
    let custom = json!({ "kind": "model", "name": manifest.name, "version": manifest.version.to_string() });
    Ok((name, custom))
}
