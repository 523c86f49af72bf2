//! What the steps of training take, without evaluations and what is between steps.

use super::record::Record;
use super::recorder::Work;
use super::rows::Profile;

/// The parts of the time of all training steps, in seconds: means over threads and ranks. What evaluations
/// take of the work that both do, as reading samples, is taken off in proportion to their samples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepParts {
    /// The number of steps.
    pub steps: u64,
    /// The time of all steps, which the parts add up to.
    pub seconds: f64,
    /// Layers, losses, and sums over a rank's own shards.
    pub shards: f64,
    /// What each rank does for all parameters: it prepares and updates them.
    pub parameters: f64,
    /// Gradients are handed over and moved during the passes.
    pub exchange_hidden: f64,
    /// The rank that waits least waits for sums over all ranks: for the exchange, and not for other ranks.
    pub exchange_exposed: f64,
    /// Samples are read.
    pub read: f64,
    /// Threads have no shard while others have one, and ranks wait longer than the one that waits least.
    pub wait: f64,
    /// All else.
    pub other: f64,
}

impl Profile {
    /// What the steps of training take.
    pub fn step_parts(&self) -> StepParts {
        let mean = |of: &dyn Fn(&Record) -> f64| self.mean(of);
        let share = |own: u64, other: u64| own as f64 / (own + other).max(1) as f64;
        let first = self.records.first();
        let [step, evaluation] = [Work::Step, Work::Evaluation]
            .map(|work| first.map_or_else(Default::default, |record| record.total(work)));
        // Waits are those of steps, two each, and of evaluations, one each.
        let [of_samples, of_waits] =
            [share(step.samples, evaluation.samples), share(2 * step.calls, evaluation.calls)];
        let passes = |record: &Record| -> f64 {
            let steps = 0..self.steps.len();
            steps.map(|step| record.seconds(Work::Forward(step)) + record.seconds(Work::Backward(step))).sum()
        };
        let waits = |record: &Record| of_waits * record.seconds(Work::Wait);
        let least = self.records.iter().map(waits).fold(f64::INFINITY, f64::min);
        let exposed = if least.is_finite() { least } else { 0.0 };
        let known = StepParts {
            steps: step.calls,
            seconds: mean(&|record| record.seconds(Work::Step)),
            shards: mean(&passes)
                + of_samples * mean(&|record| record.seconds(Work::Loss))
                + mean(&|record| record.seconds(Work::Join)),
            parameters: mean(&|record| record.seconds(Work::Prepare) + record.seconds(Work::Update)),
            exchange_hidden: mean(&|record| record.seconds(Work::HandOver)),
            exchange_exposed: exposed,
            read: of_samples * mean(&|record| record.seconds(Work::Read)),
            wait: of_samples * mean(&Record::idle) + mean(&waits) - exposed,
            other: 0.0,
        };
        let sum = known.shards
            + known.parameters
            + known.exchange_hidden
            + known.exchange_exposed
            + known.read
            + known.wait;
        StepParts { other: (known.seconds - sum).max(0.0), ..known }
    }
}
