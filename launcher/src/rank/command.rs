//! What one rank does of `train` and `evaluate`, in the element type and on the threads that it is to use.

use crate::cli::parsers::Dtype;
use crate::cli::plan::Execution;
use crate::cli::plan::RankPlan;
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::identity::RankIdentity;
use isograd_model::Element;

/// A command that ranks run together.
pub(crate) trait RankCommand: Sync {
    /// How the ranks work together.
    fn ranks(&self) -> &RankPlan;

    /// How the arithmetic is done.
    fn execution(&self) -> &Execution;

    /// Runs it with elements of type `T`, on the rayon pool at hand.
    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure>;
}

/// Takes this rank's identity and runs `command`.
pub(crate) fn start(command: &impl RankCommand, out: &mut Output) -> Result<(), Failure> {
    let (identity, execution) = (RankIdentity::find(command.ranks(), out)?, command.execution());
    let threads = identity.threads(execution);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| Failure::Threads { threads, source })?.install(|| match execution.dtype {
        Dtype::F32 => command.run::<f32>(&identity, out),
        Dtype::F64 => command.run::<f64>(&identity, out),
    })
}
