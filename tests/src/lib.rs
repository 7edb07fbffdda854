//! Promises that no single crate can keep alone; the tests stand in `tests/`.
