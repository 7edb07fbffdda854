//! Whether there are other processes, and how this one speaks to them.

use super::processes::{Alone, Processes, ProcessesError};

/// What OpenMPI, PMIx (Slurm) and PMI (MPICH, Intel MPI) set for the processes that they start.
const LAUNCHERS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];

/// Whether a launcher of MPI started this process.
#[must_use]
pub fn launched() -> bool {
    LAUNCHERS.iter().any(|name| std::env::var_os(name).is_some())
}

/// The processes that this one was started with: through MPI where its launcher started it.
///
/// # Errors
/// If it did and this program cannot speak MPI, or MPI does not start.
pub fn started_with() -> Result<Box<dyn Processes>, ProcessesError> {
    if !launched() {
        return Ok(Box::new(Alone));
    }
    #[cfg(feature = "mpi")]
    return super::message_passing::MessagePassing::start().map(|processes| Box::new(processes) as _);
    #[cfg(not(feature = "mpi"))]
    Err(ProcessesError::NotBuilt)
}
