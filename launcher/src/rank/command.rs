//! Runs `train` or `evaluate` as one rank, with the right element type and number of threads.

use crate::cli::dtype::Dtype;
use crate::cli::plan::Execution;
use crate::cli::plan::RankPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::identity::RankIdentity;
use isograd_model::Element;

/// A command that the ranks of a job run together.
pub(crate) trait RankCommand: Sync {
    /// How the ranks work together.
    fn ranks(&self) -> &RankPlan;

    /// Threads, shards and arithmetic.
    fn execution(&self) -> &Execution;

    /// Runs the command with elements of type `T`, on the current rayon pool.
    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure>;
}

/// Finds out which rank this process is, and runs `command`.
pub(crate) fn start(command: &impl RankCommand, out: &mut Output) -> Result<(), Failure> {
    start_as(&RankIdentity::find(command.ranks(), out)?, command, out)
}

/// Runs `command` as the rank `identity`.
pub(crate) fn start_as(
    identity: &RankIdentity,
    command: &impl RankCommand,
    out: &mut Output,
) -> Result<(), Failure> {
    let execution = command.execution();
    let threads = identity.threads(execution);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| Failure::Threads { threads, source })?.install(|| match execution.dtype {
        Dtype::F32 | Dtype::Bf16 => command.run::<f32>(identity, out),
        Dtype::F64 => command.run::<f64>(identity, out),
    })
}
