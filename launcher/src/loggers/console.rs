//! Lines of training on standard output.
//!
//! It is no [`Logger`](isograd_model::logger::Logger): a run whose output nobody can read any more ends.

use crate::cli::logging_plan::{LoggerName, LoggingPlan};
use crate::failure::Failure;
use crate::output::Output;
use isograd_model::Progress;
use isograd_model::logger::Frequency;

/// The lines of one rank.
#[derive(Debug)]
pub(crate) struct Console {
    frequency: Frequency,
    is_here: bool,
}

impl Console {
    pub(crate) fn new(plan: &LoggingPlan, rank: usize) -> Self {
        let is_here = plan.ranks(LoggerName::Console).contains(rank);
        Self { frequency: plan.frequency(LoggerName::Console), is_here }
    }

    /// Whether there is a line for some steps: then there is no bar.
    pub(crate) fn has_steps(&self) -> bool {
        self.frequency != Frequency::Epoch
    }

    /// Prints the line of step `step`, if it is due: `step 100 (epoch 1): loss 0.2134567, learning rate
    /// 0.001`.
    pub(crate) fn step(&self, step: u64, progress: &Progress<'_>, out: &mut Output) -> Result<(), Failure> {
        if !self.is_here || !self.frequency.has_step(step) {
            return Ok(());
        }
        let Progress { epoch, step_loss, learning_rate, .. } = progress;
        let line =
            format!("step {step} (epoch {epoch}): loss {step_loss:.7}, learning rate {learning_rate:e}");
        out.line_of_rank(&line)
    }

    /// Prints the line of an epoch.
    pub(crate) fn epoch(&self, line: &str, out: &mut Output) -> Result<(), Failure> {
        if self.is_here { out.line_of_rank(line) } else { Ok(()) }
    }
}
