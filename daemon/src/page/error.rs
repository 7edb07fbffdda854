//! Why there is no page.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The address is taken, or none of this machine's.
    #[error(
        "the page cannot listen on {listen}: {source}; stop the program that uses this port, or change page.listen"
    )]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The token's file is not to be had.
    #[error(
        "cannot read the page's token {path}: {source}; write at least 16 characters into page.token_file, readable by the daemon"
    )]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A token that can be guessed.
    #[error(
        "the page's token in {path} is too short: give at least 16 characters, such as those of `openssl rand -hex 16`"
    )]
    TokenShort {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for the page's sessions")]
    Random,
}
