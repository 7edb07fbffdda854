//! Why a repository cannot be used or changed.

use std::path::PathBuf;

use fieldmark_models::package::OpenError;

/// Why a repository cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// A file is not to be had.
    #[error("cannot {attempt} {path}: {reason}")]
    File {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        reason: String,
    },
    /// There is one already.
    #[error("{0} holds a repository already; name another folder")]
    Exists(PathBuf),
    /// There is none.
    #[error("{0} holds no release repository; make one with `fieldmark release init`")]
    None(PathBuf),
    /// Fewer keys than signatures needed.
    #[error(
        "the role {role} has {keys} keys and a threshold of {threshold}: give more keys, or a lower threshold"
    )]
    Threshold {
        /// Of which role.
        role: &'static str,
        /// How many keys it has.
        keys: usize,
        /// How many signatures it needs.
        threshold: u64,
    },
    /// The package is none.
    #[error("cannot release {path}: {source}")]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<OpenError>,
    },
    /// It was released before, with other content.
    #[error("{0} is released already with another content: give the new one another version")]
    Released(String),
    /// Nothing like that is released.
    #[error("there is no release {0}; `fieldmark release verify` lists them")]
    Unknown(String),
    /// A name nobody could ask for.
    #[error("{0:?} cannot be released: {1}")]
    Name(String, &'static str),
    /// None of the keys given has a say.
    #[error("none of the keys given may sign {0}; `fieldmark release verify` lists the keys of each role")]
    NoKey(&'static str),
    /// Nothing waits for signatures.
    #[error("nothing waits for signatures")]
    NothingStaged,
}
