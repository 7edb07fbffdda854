//! `taxonomy.tsv`: one taxon a row, in pre-order, the root left out (DESIGN 4.1).

use std::collections::HashMap;
use std::fmt::Write as _;

use super::{Rank, Row, Taxonomy, TaxonomyError};

const COLUMNS: [&str; 6] = ["id", "parent", "rank", "name", "common_name", "output"];

/// Why a text is not a taxonomy table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TsvError {
    /// The first line is not the expected header.
    #[error(
        "line 1: the header must be the TAB-separated columns id, parent, rank, name, common_name, output"
    )]
    Header,
    /// A row has too few or too many cells.
    #[error("line {line}: {found} cells instead of 6")]
    Cells {
        /// Line number, the header being 1.
        line: usize,
        /// Number of cells in the row.
        found: usize,
    },
    /// A cell that must not be blank is.
    #[error("line {line}: column {column} is blank")]
    Blank {
        /// Line number, the header being 1.
        line: usize,
        /// Name of the column.
        column: &'static str,
    },
    /// A parent that no earlier row has as its id.
    #[error("line {line}: parent {parent:?} is not the id of an earlier row")]
    Parent {
        /// Line number, the header being 1.
        line: usize,
        /// The key looked for.
        parent: String,
    },
    /// Outputs must be 0, 1, 2, ... on the leaves from top to bottom, and blank elsewhere.
    #[error("line {line}: column output is {found:?}, expected {expected:?}")]
    Output {
        /// Line number, the header being 1.
        line: usize,
        /// The cell as given.
        found: String,
        /// The cell that the tree asks for.
        expected: String,
    },
    /// The rows do not make a tree.
    #[error(transparent)]
    Tree(#[from] TaxonomyError),
}

impl Taxonomy {
    /// Reads the table. Lines may end in LF or CRLF.
    ///
    /// # Errors
    /// At the first row that is not as [`Self::to_tsv`] would write it, with its line number.
    pub fn from_tsv(text: &str) -> Result<Self, TsvError> {
        let mut lines = text.lines();
        if !lines.next().is_some_and(|header| header.split('\t').eq(COLUMNS)) {
            return Err(TsvError::Header);
        }
        let mut rows = Vec::new();
        let mut outputs = Vec::new();
        let mut positions: HashMap<&str, usize> = HashMap::new();
        for (text, line) in lines.zip(2..) {
            let cells: Vec<&str> = text.split('\t').collect();
            let &[id, parent, rank, name, common_name, output] = cells.as_slice() else {
                return Err(TsvError::Cells { line, found: cells.len() });
            };
            for (cell, column) in [(id, "id"), (rank, "rank"), (name, "name")] {
                if cell.trim().is_empty() {
                    return Err(TsvError::Blank { line, column });
                }
            }
            let parent = match (parent, positions.get(parent)) {
                ("", _) => None,
                (_, Some(&position)) => Some(position),
                (_, None) => return Err(TsvError::Parent { line, parent: parent.into() }),
            };
            positions.entry(id).or_insert(rows.len());
            outputs.push((line, output));
            rows.push(Row {
                id: id.into(),
                parent,
                rank: Rank::from_name(rank),
                name: name.into(),
                common_name: (!common_name.is_empty()).then(|| common_name.into()),
            });
        }
        let taxonomy = Self::from_rows(rows)?;
        check_outputs(&taxonomy, &outputs)?;
        Ok(taxonomy)
    }

    /// Writes the table.
    #[must_use]
    pub fn to_tsv(&self) -> String {
        let mut text = COLUMNS.join("\t");
        text.push('\n');
        for (_, taxon) in self.iter().skip(1) {
            let parent = taxon.parent().map(|parent| self.taxon(parent)).filter(|parent| parent.depth() > 0);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{}\t{}\t{}",
                taxon.id(),
                parent.map_or("", super::Taxon::id),
                taxon.rank(),
                taxon.name(),
                taxon.common_name().unwrap_or_default(),
                output_cell(taxon),
            );
        }
        text
    }
}

fn output_cell(taxon: &super::Taxon) -> String {
    if taxon.is_leaf() { taxon.leaves().start.to_string() } else { String::new() }
}

fn check_outputs(taxonomy: &Taxonomy, outputs: &[(usize, &str)]) -> Result<(), TsvError> {
    for ((_, taxon), &(line, found)) in taxonomy.iter().skip(1).zip(outputs) {
        let expected = output_cell(taxon);
        if found != expected {
            return Err(TsvError::Output { line, found: found.into(), expected });
        }
    }
    Ok(())
}
