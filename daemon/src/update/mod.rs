//! Updates: how a node comes from the model it runs to the one the fleet manager wants, and stays on one that works
//! whatever goes wrong on the way.
//!
//! Data walks: what the fleet wants ([`feed`]) → [`machine`] (what is due; its journal is kept by [`boot`]) →
//! [`worker`] (carries it out): [`fetch`] and [`store`] (chunks on the disk) → [`trial`] (a process of its own) →
//! [`exchange`] (the inference thread, between two frames) → [`vitals`] (how the model does there).

mod boot;
mod exchange;
mod feed;
mod fetch;
mod machine;
mod store;
mod trial;
mod vitals;
mod worker;

pub use boot::{JournalError, Ledger, begin, folder_of, patience};
pub use exchange::{Change, Exchange, Observed};
pub use feed::{Feed, FeedError, Wanted};
pub use fetch::{FetchError, fetch_whole, mirror_chunk, mirror_index};
pub use machine::{Journal, Kept, Offer, Outcome, Patience, Slot, Step};
pub use store::{Download, StoreError, digest, finished_path, sweep};
pub use trial::{TrialError, TrialReport, attempt};
pub use vitals::{Agreement, Limits, Verdict, Vitals};
pub use worker::{Parts, Subject, Worker};
