//! A taxonomy grown from lineages in any order.

use std::collections::BTreeMap;

use super::{Lineage, Rank, Row, Taxonomy, TaxonomyError};

/// Collects lineages and puts the tree they span into pre-order, siblings by name.
#[derive(Debug, Default)]
pub struct TaxonomyBuilder {
    root: Branch,
}

#[derive(Debug, Default)]
struct Branch {
    common_name: Option<Box<str>>,
    /// By name first: siblings are sorted the way people look them up.
    children: BTreeMap<(Box<str>, Rank), Branch>,
}

impl TaxonomyBuilder {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the taxon with this lineage and all taxa above it; adding one twice changes nothing.
    /// The first vernacular name given to a taxon stays.
    pub fn insert(&mut self, lineage: &Lineage, common_name: Option<&str>) {
        let mut branch = &mut self.root;
        for (rank, name) in lineage.levels() {
            branch = branch.children.entry((name.into(), rank.clone())).or_default();
        }
        if let (None, Some(name)) = (&branch.common_name, common_name) {
            branch.common_name = Some(name.into());
        }
    }

    /// The tree in pre-order. A taxon's key is its rank and the names of its lineage.
    ///
    /// # Errors
    /// If nothing was inserted, or the tree is too large.
    pub fn build(self) -> Result<Taxonomy, TaxonomyError> {
        let mut rows = Vec::new();
        append(&self.root, None, "", &mut rows);
        Taxonomy::from_rows(rows)
    }
}

fn append(branch: &Branch, parent: Option<usize>, path: &str, rows: &mut Vec<Row>) {
    for ((name, rank), child) in &branch.children {
        let path = if path.is_empty() { name.to_string() } else { format!("{path}|{name}") };
        rows.push(Row {
            id: format!("{rank}:{path}").into(),
            parent,
            rank: rank.clone(),
            name: name.clone(),
            common_name: child.common_name.clone(),
        });
        append(child, Some(rows.len() - 1), &path, rows);
    }
}
