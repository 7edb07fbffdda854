//! The level of a taxon in the tree.

use std::fmt;

/// Name of a taxon's level. The seven main ranks and the root have their own variants; every other level
/// ("subfamily", "tribe", "hybrid", ...) is ordinary input and keeps its own lower-case name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rank {
    /// Above all kingdoms; only the root has it.
    Root,
    /// Depth 1 in a lineage without gaps (paper section 5).
    Kingdom,
    /// Below kingdom.
    Phylum,
    /// Below phylum.
    Class,
    /// Below class.
    Order,
    /// Below order.
    Family,
    /// Depth 6 in a lineage without gaps.
    Genus,
    /// Depth 7 in a lineage without gaps.
    Species,
    /// Any other level, by its lower-case name.
    Other(Box<str>),
}

impl Rank {
    /// The main ranks from kingdom down to species, in the order in which a lineage passes them.
    pub const MAIN: [Self; 7] =
        [Self::Kingdom, Self::Phylum, Self::Class, Self::Order, Self::Family, Self::Genus, Self::Species];

    /// The rank called `name`, in any letter case.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let name = name.trim().to_lowercase();
        match name.as_str() {
            "root" => Self::Root,
            "kingdom" => Self::Kingdom,
            "phylum" => Self::Phylum,
            "class" => Self::Class,
            "order" => Self::Order,
            "family" => Self::Family,
            "genus" => Self::Genus,
            "species" => Self::Species,
            _ => Self::Other(name.into()),
        }
    }

    /// The name as it stands in files and messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Kingdom => "kingdom",
            Self::Phylum => "phylum",
            Self::Class => "class",
            Self::Order => "order",
            Self::Family => "family",
            Self::Genus => "genus",
            Self::Species => "species",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
