//! Built up from here.
