//! The tree of taxa a model can answer with (DESIGN 4.1).
//!
//! Nodes stand in pre-order and leaves in output order, so the leaves below any node are one contiguous range
//! of the network's outputs, and the probability of a node is a difference of two prefix sums.
//!
//! Two taxa are the same when their whole lineages are the same (rank and name at every level); names alone
//! do not tell taxa apart, because hundreds of genera are homonyms across kingdoms. Keys are opaque strings.

mod build;
mod find;
mod lineage;
mod rank;
mod tsv;

use std::collections::HashMap;
use std::ops::Range;

pub use build::TaxonomyBuilder;
pub use find::NameError;
pub use lineage::{Lineage, LineageError};
pub use rank::Rank;
pub use tsv::TsvError;

/// A node of one particular [`Taxonomy`]: its position in pre-order, the root being 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaxonIndex(u32);

impl TaxonIndex {
    /// The root of every taxonomy: the answer "an organism".
    pub const ROOT: Self = Self(0);

    pub(crate) fn position(self) -> usize {
        self.0 as usize
    }

    /// A position that is known to lie within a taxonomy.
    pub(crate) fn new(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX))
    }
}

/// Where a node lies: what a search needs of it, close together in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) leaves_end: u32,
    pub(crate) subtree_end: u32,
}

/// What is known of one taxon, and where it stands in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taxon {
    id: Box<str>,
    rank: Rank,
    name: Box<str>,
    common_name: Option<Box<str>>,
    parent: Option<TaxonIndex>,
    depth: u16,
    is_leaf: bool,
    subtree_end: u32,
    leaves: Range<u32>,
}

impl Taxon {
    /// Opaque key, unique in the taxonomy.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Level of the taxon.
    #[must_use]
    pub fn rank(&self) -> &Rank {
        &self.rank
    }

    /// Scientific name without authorship.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Vernacular name, where the source had one.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The taxon one level up; only the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<TaxonIndex> {
        self.parent
    }

    /// Number of taxa in the lineage: the root has 0, a kingdom 1, a species below all main ranks 7
    /// (the paper's text; its Table 1 counts the root as well).
    #[must_use]
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// Outputs of the network that lie at or below this taxon.
    #[must_use]
    pub fn leaves(&self) -> Range<usize> {
        self.leaves.start as usize..self.leaves.end as usize
    }

    /// Whether the network has an output for this taxon itself.
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.is_leaf
    }
}

/// Why rows do not make a taxonomy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaxonomyError {
    /// No taxon at all.
    #[error("the taxonomy has no taxa: give it at least one")]
    Empty,
    /// A key stands twice.
    #[error("taxon id {id:?} stands twice: ids must be unique")]
    DuplicateId {
        /// The key in question.
        id: String,
    },
    /// Two siblings with the same rank and name would have the same lineage.
    #[error("taxon {id:?} has the same rank and name as a sibling: merge the two")]
    DuplicateLineage {
        /// Key of the second of the two.
        id: String,
    },
    /// A child stands outside its parent's run of rows.
    #[error("taxon {id:?} does not stand below its parent: rows must be in pre-order")]
    NotPreOrder {
        /// Key of the row that is out of place.
        id: String,
    },
    /// More than `u32` nodes or `u16` levels.
    #[error("the taxonomy is too large: at most 4 294 967 294 taxa and 65 535 levels")]
    TooLarge,
}

/// One node as the readers and the builder hand it over, in pre-order, the root left out.
struct Row {
    id: Box<str>,
    /// Position of the parent's row, `None` below the root.
    parent: Option<usize>,
    rank: Rank,
    name: Box<str>,
    common_name: Option<Box<str>>,
}

/// The tree of taxa, in pre-order, with the root at position 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taxonomy {
    taxa: Vec<Taxon>,
    /// `[taxa]`.
    places: Vec<Place>,
    leaves: Vec<TaxonIndex>,
}

impl Taxonomy {
    fn from_rows(rows: Vec<Row>) -> Result<Self, TaxonomyError> {
        if rows.is_empty() {
            return Err(TaxonomyError::Empty);
        }
        if u32::try_from(rows.len() + 1).is_err() {
            return Err(TaxonomyError::TooLarge);
        }
        check_identity(&rows)?;
        let mut taxa = Vec::with_capacity(rows.len() + 1);
        taxa.push(root());
        let mut open: Vec<usize> = vec![0];
        for row in rows {
            place(row, &mut taxa, &mut open)?;
        }
        Ok(number_leaves(taxa))
    }

    /// Every taxon, the root first, in pre-order.
    pub fn iter(&self) -> impl Iterator<Item = (TaxonIndex, &Taxon)> {
        self.taxa.iter().zip(0u32..).map(|(taxon, position)| (TaxonIndex(position), taxon))
    }

    /// The taxon at `index`.
    ///
    /// # Panics
    /// If `index` was taken from another, larger taxonomy.
    #[must_use]
    pub fn taxon(&self, index: TaxonIndex) -> &Taxon {
        &self.taxa[index.position()]
    }

    /// The taxon at a position that lies within the tree.
    pub(crate) fn at(&self, position: usize) -> &Taxon {
        &self.taxa[position]
    }

    /// Where every taxon lies, in pre-order.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Number of taxa, the root included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the root is always there")]
    pub fn len(&self) -> usize {
        self.taxa.len()
    }

    /// Number of outputs of the network.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        self.leaves.len()
    }

    /// The taxon of output `output`, or `None` past the last one.
    #[must_use]
    pub fn leaf(&self, output: usize) -> Option<TaxonIndex> {
        self.leaves.get(output).copied()
    }

    /// The taxon with key `id`.
    #[must_use]
    pub fn find_id(&self, id: &str) -> Option<TaxonIndex> {
        self.iter().find(|(_, taxon)| taxon.id() == id).map(|(index, _)| index)
    }

    /// All taxa called `name` (scientific or vernacular, in any letter case): several where homonyms exist.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Vec<TaxonIndex> {
        let wanted = name.trim().to_lowercase();
        let is_wanted = |text: &str| text.to_lowercase() == wanted;
        self.iter()
            .filter(|(_, taxon)| is_wanted(taxon.name()) || taxon.common_name().is_some_and(is_wanted))
            .map(|(index, _)| index)
            .collect()
    }

    /// The taxon with exactly this lineage.
    #[must_use]
    pub fn find_lineage(&self, lineage: &Lineage) -> Option<TaxonIndex> {
        lineage.levels().try_fold(TaxonIndex::ROOT, |parent, (rank, name)| {
            self.children(parent).find(|&child| {
                let taxon = self.taxon(child);
                taxon.rank() == rank && taxon.name() == name
            })
        })
    }

    /// The taxa one level below `parent`, in pre-order.
    pub fn children(&self, parent: TaxonIndex) -> impl Iterator<Item = TaxonIndex> + '_ {
        let end = self.taxon(parent).subtree_end;
        let mut next = parent.0 + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let child = TaxonIndex(next);
                next = self.taxon(child).subtree_end;
                child
            })
        })
    }

    /// From the kingdom down to `index` itself; empty for the root.
    #[must_use]
    pub fn lineage(&self, index: TaxonIndex) -> Vec<TaxonIndex> {
        let mut lineage: Vec<_> = self.ancestors(index).take_while(|&a| a != TaxonIndex::ROOT).collect();
        lineage.reverse();
        lineage
    }

    /// `index` itself, its parent, and so on up to the root.
    pub fn ancestors(&self, index: TaxonIndex) -> impl Iterator<Item = TaxonIndex> + '_ {
        std::iter::successors(Some(index), |&taxon| self.taxon(taxon).parent)
    }

    /// Whether `ancestor` is `index` or stands above it.
    #[must_use]
    pub fn contains(&self, ancestor: TaxonIndex, index: TaxonIndex) -> bool {
        ancestor <= index && index.0 < self.taxon(ancestor).subtree_end
    }

    /// The taxon of rank `rank` in the lineage of `index`, where the lineage has one.
    #[must_use]
    pub fn at_rank(&self, index: TaxonIndex, rank: &Rank) -> Option<TaxonIndex> {
        self.ancestors(index).find(|&taxon| self.taxon(taxon).rank() == rank)
    }
}

fn root() -> Taxon {
    Taxon {
        id: "root".into(),
        rank: Rank::Root,
        name: "Life".into(),
        common_name: None,
        parent: None,
        depth: 0,
        is_leaf: false,
        subtree_end: 0,
        leaves: 0..0,
    }
}

fn check_identity(rows: &[Row]) -> Result<(), TaxonomyError> {
    let mut ids = HashMap::with_capacity(rows.len());
    let mut siblings = HashMap::with_capacity(rows.len());
    for row in rows {
        let id = || row.id.to_string();
        if &*row.id == "root" || ids.insert(&*row.id, ()).is_some() {
            return Err(TaxonomyError::DuplicateId { id: id() });
        }
        if siblings.insert((row.parent, &row.rank, &*row.name), ()).is_some() {
            return Err(TaxonomyError::DuplicateLineage { id: id() });
        }
    }
    Ok(())
}

/// Appends `row`; `open` holds the positions from the root to the row before it.
fn place(row: Row, taxa: &mut Vec<Taxon>, open: &mut Vec<usize>) -> Result<(), TaxonomyError> {
    let parent = row.parent.map_or(0, |position| position + 1);
    while open.last().is_some_and(|&last| last != parent) {
        open.pop();
    }
    if open.is_empty() {
        return Err(TaxonomyError::NotPreOrder { id: row.id.into() });
    }
    let depth = u16::try_from(open.len()).map_err(|_| TaxonomyError::TooLarge)?;
    open.push(taxa.len());
    let parent = u32::try_from(parent).map_err(|_| TaxonomyError::TooLarge)?;
    taxa.push(Taxon {
        id: row.id,
        rank: row.rank,
        name: row.name,
        common_name: row.common_name,
        parent: Some(TaxonIndex(parent)),
        depth,
        is_leaf: false,
        subtree_end: 0,
        leaves: 0..0,
    });
    Ok(())
}

/// A node whose successor is not its child is a leaf; a walk from the back closes every subtree.
fn number_leaves(mut taxa: Vec<Taxon>) -> Taxonomy {
    let mut leaves = Vec::new();
    let total = u32::try_from(taxa.len()).unwrap_or(u32::MAX);
    for position in 0..taxa.len() {
        let first = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        let has_child = taxa.get(position + 1).is_some_and(|next| next.depth > taxa[position].depth);
        if !has_child {
            leaves.push(TaxonIndex(u32::try_from(position).unwrap_or(u32::MAX)));
        }
        taxa[position].is_leaf = !has_child;
        taxa[position].leaves = first..first + u32::from(!has_child);
        taxa[position].subtree_end = u32::try_from(position + 1).unwrap_or(total);
    }
    for position in (1..taxa.len()).rev() {
        let (end, last_leaf) = (taxa[position].subtree_end, taxa[position].leaves.end);
        if let Some(parent) = taxa[position].parent {
            let parent = &mut taxa[parent.position()];
            parent.subtree_end = parent.subtree_end.max(end);
            parent.leaves.end = parent.leaves.end.max(last_leaf);
        }
    }
    let place = |taxon: &Taxon| Place { leaves_end: taxon.leaves.end, subtree_end: taxon.subtree_end };
    let places = taxa.iter().map(place).collect();
    Taxonomy { taxa, places, leaves }
}

#[cfg(test)]
pub(crate) mod tests;
