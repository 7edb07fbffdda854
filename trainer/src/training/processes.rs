//! Processes that train one network together: each makes its share of a step's passes, and they add up what they found.

use std::fmt;

/// What processes on one machine or several tell each other. All of them call the same in the same order.
pub trait Processes {
    /// Which one this is, from 0. The first reads and writes what is kept of a run.
    fn number(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// Which one this is of those on its machine, from 0: the GPU that is its own.
    fn on_machine(&self) -> usize;

    /// Puts the sum over all processes in the place of each of `numbers`, of which all have as many. The order of the
    /// sum is that of [`Pairwise`], by the processes' numbers.
    fn sum(&self, numbers: &mut [f32]);

    /// The first one's `bytes`, whatever the others gave.
    fn of_first(&self, bytes: Vec<u8>) -> Vec<u8>;

    /// Ends this process with `code`, and the others, which would wait for it.
    fn stop(&self, code: u8) -> !;

    /// Whether this is the first.
    fn is_first(&self) -> bool {
        self.number() == 0
    }
}

/// One process, with nobody to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alone;

impl Processes for Alone {
    fn number(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn on_machine(&self) -> usize {
        0
    }

    fn sum(&self, _numbers: &mut [f32]) {}

    fn of_first(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn stop(&self, code: u8) -> ! {
        std::process::exit(code.into())
    }
}

/// Why the processes cannot work together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessesError {
    /// Started as one of several, and unable to speak to the others.
    #[error(
        "this program was started as one of several processes and built without MPI: build it with \
         `cargo build --release --features fieldmark-trainer/mpi`"
    )]
    NotBuilt,
    /// The MPI library did not start.
    #[error("MPI did not start: start the program with mpirun, and once in each process")]
    NotStarted,
    /// There is nothing for some of them to do.
    #[error(
        "{processes} processes share the {passes} passes of a step: start {passes} or fewer, or give the recipe a \
         smaller batch_size and more passes"
    )]
    TooMany {
        /// Processes.
        processes: usize,
        /// Passes of a step.
        passes: usize,
    },
    /// They would train different networks.
    #[error(
        "process {number} has another recipe, other photographs or another version of this program than process 0: \
         give every machine the same, under the same paths"
    )]
    Differ {
        /// Which one.
        number: usize,
    },
}

/// A sum whose order does not depend on how many processes make it: of neighbours, then of neighbouring pairs, and so
/// on. A process that has 1, 2, 4, 8... parts in a row has a whole branch of that tree, and floating-point numbers come
/// out the same to the last bit.
pub struct Pairwise<T> {
    /// Sums of `2^level` parts each, the levels falling.
    branches: Vec<(u32, T)>,
    plus: fn(T, T) -> T,
}

impl<T> Pairwise<T> {
    /// A sum of nothing.
    #[must_use]
    pub fn new(plus: fn(T, T) -> T) -> Self {
        Self { branches: Vec::new(), plus }
    }

    /// Adds the next part.
    pub fn add(&mut self, part: T) {
        let (mut level, mut sum) = (0, part);
        while let Some((_, neighbour)) = self.branches.pop_if(|(other, _)| *other == level) {
            sum = (self.plus)(neighbour, sum);
            level += 1;
        }
        self.branches.push((level, sum));
    }

    /// The sum; none where nothing was added.
    pub fn total(mut self) -> Option<T> {
        let (_, mut sum) = self.branches.pop()?;
        while let Some((_, before)) = self.branches.pop() {
            sum = (self.plus)(before, sum);
        }
        Some(sum)
    }
}

impl<T: fmt::Debug> fmt::Debug for Pairwise<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.branches).finish()
    }
}

impl Pairwise<Vec<f32>> {
    /// A sum of as many numbers a part, each for itself.
    #[must_use]
    pub fn of_numbers() -> Self {
        Self::new(|mut one, other| {
            one.iter_mut().zip(other).for_each(|(one, other)| *one += other);
            one
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brackets(parts: &[&str]) -> String {
        let mut sum = Pairwise::new(|a: String, b: String| format!("({a}{b})"));
        parts.iter().for_each(|part| sum.add((*part).to_owned()));
        sum.total().unwrap_or_default()
    }

    #[test]
    fn branches_of_equal_processes_make_the_sum_of_one() {
        assert_eq!(brackets(&["a", "b", "c", "d", "e", "f"]), "(((ab)(cd))(ef))");
        let halves = [brackets(&["a", "b"]), brackets(&["c", "d"]), brackets(&["e", "f"])];
        assert_eq!(
            brackets(&halves.each_ref().map(String::as_str)),
            brackets(&["a", "b", "c", "d", "e", "f"])
        );
        assert_eq!(brackets(&["a", "b", "c"]), "((ab)c)");
        assert_eq!(brackets(&[]), "");
    }
}
