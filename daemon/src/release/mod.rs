//! Releases: signed models and configurations in a repository of The Update Framework (TUF), which nobody between the
//! one who signs and the node can change unnoticed.
//!
//! Data walks: a package → [`Repository::add`] (a folder of metadata and targets, signed with [`keys`]) → retained
//! messages of a broker, a web server, or the folder itself → [`shelf`] (how a node reads the metadata)
//! → [`trust`] (checked against what the node trusts, and against its [`floor`]) → a [`Release`] that a node may run.

mod chunks;
mod floor;
mod keys;
mod quorum;
mod repository;
mod repository_error;
mod role;
mod shelf;
mod signing;
#[cfg(test)]
mod tests;
mod topics;
mod trust;

pub use chunks::{CHUNK, ChunkIndex, IndexError};
pub(crate) use floor::durable;
pub use floor::{Floor, FloorError};
pub(crate) use keys::hex;
pub use keys::{KeyError, PublicKey, SigningKey};
pub use quorum::{Outcome, RoleSetup};
pub use repository::{Expiries, Repository};
pub use repository_error::RepositoryError;
pub use role::{RoleKeys, RoleName};
pub(crate) use shelf::MAX_FILE;
pub use shelf::{Shelf, ShelfError, web_agent};
pub use topics::{
    METADATA_FILTER, TIMESTAMP, chunk_topic, index_topic, metadata_file, metadata_topic, targets_filter,
};
pub use trust::{Listed, Release, ReleaseKind, TrustError, Trusted, Truster, root_version};
