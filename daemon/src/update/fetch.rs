//! Targets of a mirror: pieces of files in a folder or on a web server. What a broker holds is fetched by the node's
//! own line.

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fieldmark_models::package::Sha256Digest;

use crate::release::{ChunkIndex, Listed, Shelf};

/// Largest index that is read.
const MAX_INDEX: u64 = 80 << 20;
/// Bytes of a piece of a file that is read whole.
const PIECE: usize = 1 << 20;

/// A target that cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is not there, or the mirror fails.
    #[error("cannot fetch {what}: {reason}")]
    Missing {
        /// File or URL.
        what: String,
        /// What came of it.
        reason: String,
    },
    /// It is not what was released.
    #[error("{what} is not what was released: {reason}")]
    Wrong {
        /// File or URL.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

fn missing(what: &dyn std::fmt::Display, reason: &dyn std::fmt::Display) -> FetchError {
    FetchError::Missing { what: what.to_string(), reason: reason.to_string() }
}

fn file_name(listed: &Listed) -> String {
    format!("{}.{}", listed.release.sha256, listed.target)
}

/// `length` bytes from `begin` of the target `listed`.
///
/// # Errors
/// If the mirror does not give them.
pub async fn mirror_chunk(
    shelf: &Shelf,
    listed: &Listed,
    begin: u64,
    length: usize,
) -> Result<Bytes, FetchError> {
    let (shelf, name) = (shelf.clone(), file_name(listed));
    blocking(move || read_part(&shelf, &name, begin, length)).await
}

/// The chunk index of `listed`; none where it was released without.
///
/// # Errors
/// If there is to be one and it is not what was signed.
pub async fn mirror_index(shelf: &Shelf, listed: &Listed) -> Result<Option<ChunkIndex>, FetchError> {
    let Some(signed) = listed.index else { return Ok(None) };
    let (shelf, name) = (shelf.clone(), format!("{}.chunks.json", file_name(listed)));
    let (release, what) = (listed.release.clone(), name.clone());
    let bytes = blocking(move || read_whole(&shelf, &name)).await?;
    let wrong = |reason: String| FetchError::Wrong { what, reason };
    if Sha256Digest::of(&bytes) != signed {
        return Err(wrong("its digest is not the signed one".into()));
    }
    ChunkIndex::read(&bytes, release.sha256, release.size).map(Some).map_err(|error| wrong(error.to_string()))
}

/// Reads the whole of `listed` and compares it with what was signed.
///
/// # Errors
/// If it cannot be had or differs.
pub async fn fetch_whole(shelf: &Shelf, listed: &Listed) -> Result<(), FetchError> {
    mirror_index(shelf, listed).await?;
    let (size, what) = (listed.release.size, file_name(listed));
    let mut whole = Vec::new();
    while (whole.len() as u64) < size {
        let left = usize::try_from(size - whole.len() as u64).unwrap_or(PIECE).min(PIECE);
        whole.extend_from_slice(&mirror_chunk(shelf, listed, whole.len() as u64, left).await?);
    }
    let found = Sha256Digest::of(&whole);
    if found == listed.release.sha256 {
        return Ok(());
    }
    Err(FetchError::Wrong { what, reason: format!("its SHA-256 is {found}") })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(missing(&"a file", &error)))
}

fn path_of(folder: &std::path::Path, name: &str) -> PathBuf {
    folder.join("targets").join(name)
}

fn read_part(shelf: &Shelf, name: &str, begin: u64, length: usize) -> Result<Bytes, FetchError> {
    match shelf {
        Shelf::Folder(folder) => {
            let path = path_of(folder, name);
            let mut bytes = vec![0; length];
            let file = std::fs::File::open(&path).map_err(|error| missing(&path.display(), &error))?;
            file.read_exact_at(&mut bytes, begin).map_err(|error| missing(&path.display(), &error))?;
            Ok(bytes.into())
        }
        Shelf::Web(_, agent) => {
            let url = shelf.bases().1.join(name).map_err(|error| missing(&name, &error))?;
            let range = format!("bytes={begin}-{}", begin + length as u64 - 1);
            let answer = Arc::clone(agent).get(url.as_str()).header("Range", range).call();
            let mut answer = answer.map_err(|error| missing(&url, &error))?;
            // A server without ranges sends everything from the beginning.
            let skip = if answer.status().as_u16() == 206 { 0 } else { begin };
            let mut reader = answer.body_mut().with_config().limit(u64::MAX).reader();
            std::io::copy(&mut reader.by_ref().take(skip), &mut std::io::sink())
                .map_err(|error| missing(&url, &error))?;
            let mut bytes = Vec::new();
            reader.take(length as u64).read_to_end(&mut bytes).map_err(|error| missing(&url, &error))?;
            if bytes.len() != length {
                return Err(missing(&url, &"it ends before it should"));
            }
            Ok(bytes.into())
        }
        Shelf::Gathered(_) => Err(missing(&name, &"a broker gives chunks, not files")),
    }
}

fn read_whole(shelf: &Shelf, name: &str) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    match shelf {
        Shelf::Folder(folder) => {
            let path = path_of(folder, name);
            let file = std::fs::File::open(&path).map_err(|error| missing(&path.display(), &error))?;
            file.take(MAX_INDEX).read_to_end(&mut bytes).map_err(|error| missing(&path.display(), &error))?;
        }
        Shelf::Web(_, agent) => {
            let url = shelf.bases().1.join(name).map_err(|error| missing(&name, &error))?;
            let mut answer = agent.get(url.as_str()).call().map_err(|error| missing(&url, &error))?;
            let limited = answer.body_mut().with_config().limit(MAX_INDEX);
            bytes = limited.read_to_vec().map_err(|error| missing(&url, &error))?;
        }
        Shelf::Gathered(_) => return Err(missing(&name, &"a broker gives chunks, not files")),
    }
    Ok(bytes)
}
