//! Names as sources give them, and the tree they make: raw -> canonical -> gaps filled -> lineage -> taxonomy.

mod canonical;
mod gaps;
mod mend;
mod raw;
#[cfg(test)]
mod tests;

pub use mend::{Mend, Mending, mend};
pub use raw::{Gathered, Names, RawName};
