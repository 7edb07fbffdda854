//! From a frame to an answer: views are cut out, the engine gives leaf probabilities, specificity control reads
//! off how specific the answer may be.

mod answer;
mod decider;
mod descent;
mod dial;
mod expectation;

pub use answer::{Answer, BestLeaf, TaxonAnswer};
pub use decider::{DecideError, Decider};
pub use descent::Rung;
pub use dial::{CutOff, CutOffs, Dial, DialError, Sureness};
pub use expectation::{Expectation, ExpectationError, Expected, List, ListedIn};
