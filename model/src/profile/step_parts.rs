//! What the steps of training take, without evaluations and what is between steps.

use super::record::Record;
use super::recorder::{Phase, Work};
use super::rows::Profile;

/// The parts of the time of all training steps, in seconds: means over threads and ranks.
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
        let seconds = |record: &Record, work: Work| record.seconds_in(Phase::Training, work);
        let mean_of =
            |works: &[Work]| -> f64 { mean(&|record| works.iter().map(|work| seconds(record, *work)).sum()) };
        let passes = |record: &Record| -> f64 {
            let steps = 0..self.steps.len();
            steps
                .map(|step| seconds(record, Work::Forward(step)) + seconds(record, Work::Backward(step)))
                .sum()
        };
        let waits = |record: &Record| seconds(record, Work::Wait);
        let least = self.records.iter().map(waits).fold(f64::INFINITY, f64::min);
        let exposed = if least.is_finite() { least } else { 0.0 };
        let known = StepParts {
            steps: self.records.first().map_or(0, |record| record.total(Work::Step).calls),
            seconds: mean_of(&[Work::Step]),
            shards: mean(&passes) + mean_of(&[Work::Loss, Work::Join]),
            parameters: mean_of(&[Work::Prepare, Work::Update]),
            exchange_hidden: mean_of(&[Work::HandOver]),
            exchange_exposed: exposed,
            read: mean_of(&[Work::Read]),
            wait: mean(&|record| record.idle_in(Phase::Training)) + mean(&waits) - exposed,
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
