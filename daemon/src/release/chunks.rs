//! A target in pieces, so that a download goes on where it stopped and a piece that was altered is found at once.

use fieldmark_models::package::Sha256Digest;
use serde::{Deserialize, Serialize};

/// Bytes of a chunk where nothing else is asked for.
pub const CHUNK: u32 = 64 << 10;
/// Smallest and largest chunk: below, headers cost more than they save; above, brokers refuse.
const SIZES: std::ops::RangeInclusive<u32> = 1 << 10..=8 << 20;
/// Most chunks a node keeps account of.
const MAX_CHUNKS: u64 = 1 << 20;

/// Which chunks a target has. Its digest stands in the signed metadata of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkIndex {
    /// Version of this message: 1.
    pub v: u32,
    /// Bytes of the target.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Bytes of every chunk but the last.
    pub chunk: u32,
    /// Digests of the chunks, in order.
    pub chunks: Vec<Sha256Digest>,
}

/// An index that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the chunk index {0}")]
pub struct IndexError(String);

impl ChunkIndex {
    /// Of `bytes` in pieces of `chunk`.
    #[must_use]
    pub fn of(bytes: &[u8], chunk: u32) -> Self {
        let chunks = bytes.chunks(chunk.max(1) as usize).map(Sha256Digest::of).collect();
        Self { v: 1, size: bytes.len() as u64, sha256: Sha256Digest::of(bytes), chunk, chunks }
    }

    /// Reads an index of the target with `sha256` and `size`.
    ///
    /// # Errors
    /// If it is of another target, or its numbers do not go together.
    pub fn read(bytes: &[u8], sha256: Sha256Digest, size: u64) -> Result<Self, IndexError> {
        let index: Self = serde_json::from_slice(bytes)
            .map_err(|error| IndexError(format!("cannot be understood: {error}")))?;
        if (index.v, index.sha256, index.size) != (1, sha256, size) {
            return Err(IndexError("is of another target".into()));
        }
        if !SIZES.contains(&index.chunk) {
            return Err(IndexError(format!("has chunks of {} bytes", index.chunk)));
        }
        let count = size.div_ceil(index.chunk.into());
        if count > MAX_CHUNKS || index.chunks.len() as u64 != count {
            return Err(IndexError(format!("names {} chunks, there must be {count}", index.chunks.len())));
        }
        Ok(index)
    }

    /// Its JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Where chunk `number` begins, and how long it is.
    #[must_use]
    pub fn place(&self, number: usize) -> (u64, usize) {
        let begin = number as u64 * u64::from(self.chunk);
        let length = self.size.saturating_sub(begin).min(self.chunk.into());
        (begin, usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Whether `bytes` are chunk `number`.
    #[must_use]
    pub fn fits(&self, number: usize, bytes: &[u8]) -> bool {
        self.chunks
            .get(number)
            .is_some_and(|digest| bytes.len() == self.place(number).1 && Sha256Digest::of(bytes) == *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_these_fields() {
        let text = String::from_utf8(ChunkIndex::of(&[7; 2500], 1024).to_json()).expect("text");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_index_says_where_chunks_are_and_refuses_others() {
        let bytes: Vec<u8> = (0..2500u32).map(|i| i as u8).collect();
        let index = ChunkIndex::of(&bytes, 1024);
        assert_eq!(index.place(2), (2048, 452));
        assert!(index.fits(2, &bytes[2048..]) && !index.fits(1, &bytes[2048..]));
        assert!(!index.fits(3, &[]));
        let json = index.to_json();
        assert_eq!(ChunkIndex::read(&json, index.sha256, 2500).as_ref(), Ok(&index));
        assert!(ChunkIndex::read(&json, index.sha256, 2501).is_err());
        assert!(ChunkIndex::read(&json, Sha256Digest::of(b"other"), 2500).is_err());
        let short = ChunkIndex { chunks: index.chunks[1..].to_vec(), ..index.clone() };
        assert!(ChunkIndex::read(&short.to_json(), index.sha256, 2500).is_err());
        let tiny = ChunkIndex { chunk: 1, ..index.clone() };
        assert!(ChunkIndex::read(&tiny.to_json(), index.sha256, 2500).is_err());
    }
}
