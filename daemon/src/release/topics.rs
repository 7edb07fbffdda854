//! Where a repository lies on a broker (DESIGN 4.3).

use fieldmark_models::package::Sha256Digest;

/// Name of the file that says what is the latest.
pub const TIMESTAMP: &str = "timestamp.json";
/// Filter for all metadata.
pub const METADATA_FILTER: &str = "fieldmark/release/metadata/+";

const METADATA: &str = "fieldmark/release/metadata/";

/// Topic of a metadata file; retained.
#[must_use]
pub fn metadata_topic(file: &str) -> String {
    format!("{METADATA}{file}")
}

/// The metadata file on `topic`.
#[must_use]
pub fn metadata_file(topic: &str) -> Option<&str> {
    topic.strip_prefix(METADATA).filter(|file| !file.is_empty() && !file.contains('/'))
}

/// Topic of the chunk index of a target; retained.
#[must_use]
pub fn index_topic(target: Sha256Digest) -> String {
    format!("fieldmark/release/targets/{target}/index")
}

/// Topic of a chunk of a target; retained.
#[must_use]
pub fn chunk_topic(target: Sha256Digest, number: usize) -> String {
    format!("fieldmark/release/targets/{target}/{number}")
}

/// Filter for the indexes of all targets.
#[must_use]
pub fn targets_filter() -> &'static str {
    "fieldmark/release/targets/+/index"
}
