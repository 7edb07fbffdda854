//! Processes that speak MPI: OpenMPI's `mpirun` on one machine or several, or Slurm's `srun`.

use ::mpi::Threading;
use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator as _, CommunicatorCollectives as _, Root as _};

use super::processes::{Pairwise, Processes, ProcessesError};

/// Numbers that are summed at once: what the exchange needs beside the numbers themselves is twice as many.
const NUMBERS: usize = 1 << 24;
/// Bytes that are sent at once; MPI counts them in 31 bits.
const BYTES: usize = 1 << 28;

/// All processes that a launcher of MPI started together.
pub struct MessagePassing {
    world: SimpleCommunicator,
    on_machine: usize,
    /// Ends MPI when it goes, which must be last.
    _universe: Universe,
}

impl MessagePassing {
    /// Meets the other processes.
    ///
    /// # Errors
    /// If MPI does not start, or had been started.
    pub fn start() -> Result<Self, ProcessesError> {
        // Threads that read pictures never call it.
        let started = ::mpi::initialize_with_threading(Threading::Funneled);
        let (universe, _) = started.ok_or(ProcessesError::NotStarted)?;
        let world = universe.world();
        let on_machine = world.split_shared(world.rank()).rank() as usize;
        Ok(Self { world, on_machine, _universe: universe })
    }

    /// Each process sums a block of its own and tells the others: as little is sent as in any sum over all, and its
    /// order is ours. `MPI_Allreduce` picks an order by length and by the lay of the machines.
    fn sum_at_once(&self, numbers: &mut [f32]) {
        let block = numbers.len().div_ceil(self.count());
        let mut all = numbers.to_vec();
        all.resize(block * self.count(), 0.0);
        let mut blocks = vec![0.0f32; all.len()];
        self.world.all_to_all_into(&all[..], &mut blocks[..]);
        let mut sum = Pairwise::of_numbers();
        blocks.chunks_exact(block).for_each(|of_one| sum.add(of_one.to_vec()));
        self.world.all_gather_into(&sum.total().unwrap_or_default()[..], &mut all[..]);
        numbers.copy_from_slice(&all[..numbers.len()]);
    }
}

impl Processes for MessagePassing {
    fn number(&self) -> usize {
        self.world.rank() as usize
    }

    fn count(&self) -> usize {
        self.world.size() as usize
    }

    fn on_machine(&self) -> usize {
        self.on_machine
    }

    fn sum(&self, numbers: &mut [f32]) {
        numbers.chunks_mut(NUMBERS).for_each(|part| self.sum_at_once(part));
    }

    fn of_first(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let first = self.world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        first.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        bytes.chunks_mut(BYTES).for_each(|part| first.broadcast_into(part));
        bytes
    }

    fn stop(&self, code: u8) -> ! {
        self.world.abort(code.into())
    }
}

impl Drop for MessagePassing {
    /// A process that panics would wait in MPI's own end for the others, and they for it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.world.abort(101);
        }
    }
}
