//! The programs that start the ranks of a job.

use std::fmt;

/// The program that set the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// The user, or a launcher that uses PyTorch's names: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`,
    /// `LOCAL_WORLD_SIZE`.
    Plain,
    /// PyTorch's `torchrun`, which uses the plain names and usually listens at `MASTER_PORT` itself.
    Torchrun,
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// Hydra, the `mpirun` of MPICH and Intel MPI, or another process manager that speaks PMI.
    Pmi,
    /// A process manager of PMIx other than those above. It does not tell the number of ranks: `RANK` and
    /// `WORLD_SIZE` have to.
    Pmix,
    /// Slurm's `srun`.
    Slurm,
    /// MVAPICH2's `mpirun_rsh`.
    Mvapich,
    /// HPE's PALS (`aprun`, `mpiexec`).
    Pals,
    /// IBM's job step manager (`jsrun`).
    Jsm,
    /// Flux (`flux run`).
    Flux,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "the user",
            Self::Torchrun => "torchrun",
            Self::OpenMpi => "Open MPI",
            Self::Pmi => "PMI",
            Self::Pmix => "PMIx",
            Self::Slurm => "Slurm",
            Self::Mvapich => "MVAPICH2",
            Self::Pals => "PALS",
            Self::Jsm => "JSM",
            Self::Flux => "Flux",
        })
    }
}
