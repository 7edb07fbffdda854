//! How many look at one thing at one time, and no more than are let.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts who looks.
#[derive(Debug)]
pub(crate) struct Viewers {
    looking: Arc<AtomicUsize>,
    most: usize,
}

/// One who looks; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Viewing(Arc<AtomicUsize>);

impl Viewers {
    /// At most `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self { looking: Arc::default(), most }
    }

    /// One more, where there is room.
    pub(crate) fn enter(&self) -> Option<Viewing> {
        let one = Viewing(Arc::clone(&self.looking));
        // Counted already, and no more when it is dropped here.
        (self.looking.fetch_add(1, Ordering::Relaxed) < self.most).then_some(one)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.looking.load(Ordering::Relaxed)
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_let_in_and_who_leaves_makes_room() {
        let viewers = Viewers::new(2);
        let (one, other) = (viewers.enter(), viewers.enter());
        assert!(one.is_some() && other.is_some() && viewers.enter().is_none());
        assert_eq!(viewers.count(), 2, "who was not let in does not count");
        drop(one);
        assert!(viewers.enter().is_some());
        assert_eq!(viewers.count(), 1);
    }
}
