//! Promises that no single crate can keep alone; the tests stand in `tests/`, the guest with cameras in `guest/`.

pub mod stage;
pub mod uvc;
