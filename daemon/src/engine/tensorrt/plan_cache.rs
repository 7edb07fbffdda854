//! Built plans, kept from start to start. A plan runs inside the daemon as code does: it is only read from a folder that
//! root owns, and only where its digest is the one beside it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use fieldmark_models::package::Sha256Digest;
use serde::{Deserialize, Serialize};

use super::probe::Machine;
use super::shim::TensorDescription;
use crate::engine::Precision;

/// Of the shim and of what it asks the builder for; a new number makes plans anew.
const SHIM_VERSION: u32 = 1;

/// Everything a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlanKey {
    /// Of the ONNX model.
    pub(super) onnx: Sha256Digest,
    /// Library, device, driver and system.
    pub(super) machine: Machine,
    /// Of the shim.
    pub(super) shim: u32,
    /// What the builder may compute in.
    pub(super) precision: Precision,
    /// Regions in every call.
    pub(super) batch: u32,
    /// Memory the builder had, MiB: with more it may choose other kernels.
    pub(super) workspace_mib: u32,
}

impl PlanKey {
    pub(super) fn new(
        onnx: &[u8],
        machine: Machine,
        precision: Precision,
        batch: u32,
        workspace_mib: u32,
    ) -> Self {
        let onnx = Sha256Digest::of(onnx);
        Self { onnx, machine, shim: SHIM_VERSION, precision, batch, workspace_mib }
    }

    fn digest(&self) -> Sha256Digest {
        // Texts and numbers always become JSON.
        Sha256Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// What stands beside a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    key: PlanKey,
    sha256: Sha256Digest,
    tensors: Vec<TensorDescription>,
}

/// A plan with what it takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) bytes: Vec<u8>,
    pub(super) tensors: Vec<TensorDescription>,
}

/// A folder of plans.
pub(super) struct PlanCache {
    folder: PathBuf,
}

impl PlanCache {
    /// The folder `folder`, made where it is not there.
    ///
    /// # Errors
    /// In words, if it cannot be made, or somebody other than root can write in it.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(wrong)?;
        let folder = folder.canonicalize().map_err(wrong)?;
        // Whoever can rename a folder above it can put another in its place.
        for part in folder.ancestors() {
            let metadata = fs::symlink_metadata(part).map_err(wrong)?;
            let sticky = metadata.mode() & 0o1000 != 0 && part != folder;
            if metadata.uid() != 0 || (metadata.mode() & 0o022 != 0 && !sticky) {
                return Err(format!(
                    "{} can be written by others than root: plans are not kept there; name a folder of root's in \
                     tensorrt.cache",
                    part.display()
                ));
            }
        }
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn paths(&self, key: &PlanKey) -> [PathBuf; 2] {
        let name = key.digest();
        ["plan", "json"].map(|kind| self.folder.join(format!("{name}.{kind}")))
    }

    /// The plan for `key`. One that is damaged is deleted.
    pub(super) fn load(&self, key: &PlanKey) -> Option<Plan> {
        let [plan, beside] = self.paths(key);
        let bytes = fs::read(&plan).ok()?;
        let read = || {
            let beside: Beside = serde_json::from_slice(&fs::read(&beside).ok()?).ok()?;
            let whole = beside.key == *key && beside.sha256 == Sha256Digest::of(&bytes);
            whole.then_some(beside.tensors)
        };
        match read() {
            Some(tensors) => Some(Plan { bytes, tensors }),
            None => {
                tracing::warn!(path = %plan.display(), "a plan is not what was written: it is built anew");
                self.forget(key);
                None
            }
        }
    }

    /// Keeps `plan` for `key`.
    ///
    /// # Errors
    /// In words, if the disk does not take it.
    pub(super) fn store(&self, key: &PlanKey, plan: &Plan) -> Result<(), String> {
        let [path, beside] = self.paths(key);
        let description =
            Beside { key: key.clone(), sha256: Sha256Digest::of(&plan.bytes), tensors: plan.tensors.clone() };
        let description = serde_json::to_vec_pretty(&description).unwrap_or_default();
        // The description last: without it the plan is not believed.
        write(&path, &plan.bytes)
            .and_then(|()| write(&beside, &description))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Deletes the plan for `key`.
    pub(super) fn forget(&self, key: &PlanKey) {
        for path in self.paths(key) {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), "cannot be deleted: {error}");
            }
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = AtomicWriteFile::open(path)?;
    file.write_all(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::cuda::Device;
    use super::super::version::{Flavour, Version};
    use super::*;

    fn machine() -> Machine {
        Machine {
            flavour: Flavour { rtx: false, major: 10 },
            version: Version { parts: [10, 3, 0, 30] },
            headers: "10.0.0".into(),
            device: Device { name: "Orin".into(), capability: "8.7".into(), driver: 12_020 },
            l4t: Some("R36.3.0".into()),
        }
    }

    fn key() -> PlanKey {
        PlanKey::new(b"onnx", machine(), Precision::Int8, 1, 1024)
    }

    fn plan() -> Plan {
        let shape = vec![1, 260, 260, 3];
        let tensor = TensorDescription { name: "whole".into(), is_input: true, kind: 5, shape };
        Plan { bytes: b"a plan".to_vec(), tensors: vec![tensor] }
    }

    /// A folder of root's below folders of root's; `None` where the tests are not run by root.
    fn cache() -> Option<(tempfile::TempDir, PlanCache)> {
        let folder = tempfile::tempdir().expect("a folder");
        match PlanCache::open(folder.path()) {
            Ok(cache) => Some((folder, cache)),
            Err(reason) => {
                eprintln!("SKIPPED: only root can keep plans: {reason}");
                None
            }
        }
    }

    #[test]
    fn a_kept_plan_comes_back_and_another_driver_has_none() {
        let Some((_folder, cache)) = cache() else { return };
        cache.store(&key(), &plan()).expect("kept");
        assert_eq!(cache.load(&key()), Some(plan()));
        let mut others = vec![key(); 8];
        others[0].machine.device.driver += 1;
        others[1].machine.version.parts[3] += 1;
        others[2].machine.device.capability = "7.2".into();
        others[3].machine.l4t = None;
        others[4].precision = Precision::Fp16;
        others[5].batch = 2;
        others[6].onnx = Sha256Digest::of(b"another");
        others[7].shim += 1;
        assert!(others.iter().all(|other| cache.load(other).is_none()));
    }

    #[test]
    fn a_damaged_plan_is_deleted_and_not_run() {
        let Some((folder, cache)) = cache() else { return };
        let files = || std::fs::read_dir(folder.path()).expect("a folder").count();
        for kind in ["plan", "json"] {
            cache.store(&key(), &plan()).expect("kept");
            let path = folder.path().join(format!("{}.{kind}", key().digest()));
            let mut bytes = std::fs::read(&path).expect("a file");
            bytes[3] ^= 1;
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(cache.load(&key()), None);
            assert_eq!(files(), 0);
        }
    }

    #[test]
    fn a_folder_that_others_can_write_in_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("set");
        let reason = PlanCache::open(folder.path()).err().expect("a refusal");
        assert!(reason.contains("others than root"), "{reason}");
        let below = folder.path().join("below");
        assert!(PlanCache::open(&below).err().expect("a refusal").contains("others than root"));
    }
}
