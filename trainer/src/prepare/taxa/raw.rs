//! Names as they stand in rows, each kept once.

use std::collections::{BTreeMap, HashMap};

use fieldmark_tables::Reason;
use foldhash::fast::RandomState;

/// What rows say of a taxon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawName {
    /// Kingdom, phylum, class, order, family, genus, species; blank where the source says nothing.
    pub ranks: [Box<str>; 7],
    /// Name of the taxon itself, with authorship where the source has it.
    pub name: Box<str>,
    /// Its rank, in any letter case; blank where only the cells tell.
    pub rank: Box<str>,
    /// Vernacular name.
    pub common_name: Box<str>,
    /// Whether the name is no longer the accepted one, and `ranks` has the accepted one's.
    pub synonym: bool,
    /// Whether the source knows no lineages: names stand beside each other.
    pub flat: bool,
    /// Why nothing can be made of it.
    pub reason: Option<Reason>,
}

/// One thread's names: a number for each.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Box<str>, u32, RandomState>,
    names: Vec<(RawName, u64)>,
    key: String,
}

/// Stands between the parts of a key: no cell has it.
const BETWEEN: char = '\u{1f}';

impl Names {
    /// The number of the name told apart by the parts of `key`, and one row more of it.
    pub fn number(&mut self, key: &[&str], name: impl FnOnce() -> RawName) -> u32 {
        self.key.clear();
        for part in key {
            self.key.push_str(part);
            self.key.push(BETWEEN);
        }
        let number = match self.numbers.get(self.key.as_str()) {
            Some(&number) => number,
            None => {
                let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                self.numbers.insert(self.key.as_str().into(), number);
                self.names.push((name(), 0));
                number
            }
        };
        if let Some((_, rows)) = self.names.get_mut(number as usize) {
            *rows += 1;
        }
        number
    }
}

/// The names of all threads, and the rows of each.
#[derive(Debug, Default)]
pub struct Gathered {
    positions: BTreeMap<Box<str>, usize>,
    names: Vec<(RawName, u64)>,
}

impl Gathered {
    /// Takes one thread's names, and gives the position of each of its numbers.
    pub fn take(&mut self, names: Names) -> Vec<usize> {
        let Names { numbers, names: own, .. } = names;
        let mut positions = vec![0; own.len()];
        let mut own: Vec<Option<(RawName, u64)>> = own.into_iter().map(Some).collect();
        for (key, number) in numbers {
            let Some((name, rows)) = own[number as usize].take() else { continue };
            let position = *self.positions.entry(key).or_insert_with(|| {
                self.names.push((name, 0));
                self.names.len() - 1
            });
            self.names[position].1 += rows;
            positions[number as usize] = position;
        }
        positions
    }

    /// Every name and its rows.
    #[must_use]
    pub fn names(&self) -> &[(RawName, u64)] {
        &self.names
    }
}
