//! How the inference thread is given another model: between two frames, so that no frame is lost for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::vitals::{Agreement, Vitals};
use crate::decide::Decider;

/// What is to change.
pub enum Change {
    /// Another model looks at the same frames, and nobody hears its answers.
    Shadow(Box<Decider>),
    /// It does so no longer.
    Unshadow,
    /// The model in the shadow answers from now on; the one before is kept at hand.
    Promote,
    /// The one kept at hand answers again.
    Revert,
    /// This one answers from now on.
    Become(Box<Decider>),
    /// Nothing is kept at hand any more.
    Settle,
}

/// What was seen since the last change.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The model that answers.
    pub live: Vitals,
    /// The one in the shadow.
    pub shadow: Vitals,
    /// How they agree.
    pub agreement: Agreement,
}

type Asked = (Change, oneshot::Sender<bool>);

/// Between whoever updates and the inference thread.
#[derive(Default)]
pub struct Exchange {
    waiting: AtomicBool,
    asked: Mutex<Option<Asked>>,
    observed: Mutex<Observed>,
}

impl Exchange {
    /// Asks for a change and waits until it is made; whether it could be.
    pub async fn ask(&self, change: Change) -> bool {
        let (done, made) = oneshot::channel();
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some((change, done));
        self.waiting.store(true, Ordering::Release);
        made.await.unwrap_or(false)
    }

    /// The change that is asked for, where there is one.
    pub fn asked(&self) -> Option<(Change, oneshot::Sender<bool>)> {
        if !self.waiting.swap(false, Ordering::Acquire) {
            return None;
        }
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// To note what a frame showed.
    pub fn observe(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen since the last change.
    #[must_use]
    pub fn observed(&self) -> Observed {
        self.observe().clone()
    }

    /// Begins to count anew.
    pub fn forget(&self) {
        *self.observe() = Observed::default();
    }
}
