//! Commands whose arguments are many.

pub(crate) mod download;
pub(crate) mod prepare;
pub(crate) mod train;
