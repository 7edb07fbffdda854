//! The classifier over frozen features, trained with hierarchical knowledge transfer (paper section 3.2).

mod train;
mod transfer;

pub use train::{Example, train_head};
pub use transfer::{Frontier, mixed};
