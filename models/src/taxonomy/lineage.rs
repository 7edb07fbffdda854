//! The path from a kingdom down to one taxon: the identity of a taxon.

use std::fmt;

use super::Rank;

/// Rank and name at every level, the kingdom first; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lineage(Vec<(Rank, Box<str>)>);

/// Why levels do not make a lineage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    /// No level had a name.
    #[error("the lineage is empty: give at least one rank a name")]
    Empty,
    /// A name that would break the table it is written to.
    #[error("the name {name:?} at rank {rank} is empty or holds a control character")]
    Name {
        /// Level of the name.
        rank: Rank,
        /// The name as given.
        name: String,
    },
}

impl Lineage {
    /// A lineage of `levels`, highest first. Levels with blank names are gaps and are skipped.
    ///
    /// # Errors
    /// If no level is left, or a name holds a control character.
    pub fn new<N: AsRef<str>>(levels: impl IntoIterator<Item = (Rank, N)>) -> Result<Self, LineageError> {
        let mut kept = Vec::new();
        for (rank, name) in levels {
            let name = name.as_ref().trim();
            if name.is_empty() {
                continue;
            }
            if name.chars().any(char::is_control) || rank == Rank::Root {
                return Err(LineageError::Name { rank, name: name.into() });
            }
            kept.push((rank, name.into()));
        }
        if kept.is_empty() { Err(LineageError::Empty) } else { Ok(Self(kept)) }
    }

    /// Rank and name of every level, highest first.
    pub fn levels(&self) -> impl ExactSizeIterator<Item = (&Rank, &str)> {
        self.0.iter().map(|(rank, name)| (rank, &**name))
    }

    /// The part of the lineage from the kingdom down to level `depth`, the whole where it is shorter.
    #[must_use]
    pub fn truncated(&self, depth: usize) -> Self {
        Self(self.0[..depth.clamp(1, self.0.len())].to_vec())
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (_, name)) in self.levels().enumerate() {
            if position > 0 {
                f.write_str("|")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
