//! The four roles of a repository.

use tough::schema::{RoleType, Root};

use super::keys::hex;

/// Who signs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum RoleName {
    /// Says which keys the roles have. Its keys stay offline.
    Root,
    /// Says which releases there are.
    Targets,
    /// Says which versions of the metadata belong together.
    Snapshot,
    /// Says what is the latest, and is renewed often.
    Timestamp,
}

impl RoleName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// As metadata name it.
    #[must_use]
    pub fn kind(self) -> RoleType {
        match self {
            Self::Root => RoleType::Root,
            Self::Targets => RoleType::Targets,
            Self::Snapshot => RoleType::Snapshot,
            Self::Timestamp => RoleType::Timestamp,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

/// Whose signatures a role needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Which role.
    pub role: RoleName,
    /// Signatures it needs.
    pub threshold: u64,
    /// Ids of its keys, hexadecimal.
    pub keys: Vec<String>,
}

impl RoleKeys {
    /// Of every role, as `root` says.
    #[must_use]
    pub fn of(root: &Root) -> Vec<Self> {
        let found = RoleName::ALL.into_iter().filter_map(|role| Some((role, root.roles.get(&role.kind())?)));
        let listed = found.map(|(role, keys)| Self {
            role,
            threshold: keys.threshold.get(),
            keys: keys.keyids.iter().map(|id| hex(id.as_ref())).collect(),
        });
        listed.collect()
    }
}
