//! From a frame to an answer: views are cut out, the engine gives leaf probabilities, specificity control reads
//! off how specific the answer may be.

mod answer;
mod decider;
mod eye;
mod priors;
mod sureness;

pub use answer::{Answer, BestLeaf, TaxonAnswer};
pub use decider::{DecideError, Decider};
pub use eye::{Eye, EyeError};
pub use priors::{PriorError, find_prior, find_priors};
pub use sureness::{CutOff, Sureness};
