//! on a tiny graph: below
