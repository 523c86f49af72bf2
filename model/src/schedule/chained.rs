//! One schedule after the other.

use super::{Constant, Schedule, Span, StepPosition};
use crate::error::Error;
use std::sync::Arc;

/// Schedules one after the other, each of which counts steps and epochs from its own start: PyTorch's
/// `SequentialLR`. For each of them, training ends with its part.
///
/// ```
/// use isograd_model::schedule::{Chained, Constant, Cosine, Schedule, Span, StepPosition};
/// // The base rate for 10 epochs, then down to 0.
/// let schedule = Chained::first(Constant, Span::Epochs(10.0)).last(Cosine::default());
/// let rate = |epoch: u64| schedule.learning_rate(&StepPosition::new(100 * epoch, 100, 0.5).of(3000));
/// assert_eq!([rate(0), rate(9), rate(10), rate(30)], [0.5, 0.5, 0.5, 0.0]);
/// assert!((rate(20) - 0.25).abs() < 1e-15);
/// ```
#[derive(Debug, Clone)]
pub struct Chained {
    parts: Vec<(Arc<dyn Schedule>, Span)>,
    last: Arc<dyn Schedule>,
}

impl Chained {
    /// `schedule` for `span`, and then the base rate.
    pub fn first(schedule: impl Schedule + 'static, span: Span) -> Self {
        Self { parts: vec![(Arc::new(schedule), span)], last: Arc::new(Constant) }
    }

    /// After the parts so far, `schedule` for `span`.
    #[must_use]
    pub fn then(mut self, schedule: impl Schedule + 'static, span: Span) -> Self {
        self.parts.push((Arc::new(schedule), span));
        self
    }

    /// After all parts, `schedule` until training ends.
    #[must_use]
    pub fn last(self, schedule: impl Schedule + 'static) -> Self {
        Self { last: Arc::new(schedule), ..self }
    }
}

impl Schedule for Chained {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        let mut start = 0.0;
        let within = |start: f64, total_steps: Option<u64>| {
            let place = StepPosition::new(at.step - start as u64, at.steps_per_epoch, at.base_learning_rate);
            StepPosition { total_steps, ..place }
        };
        for (schedule, span) in &self.parts {
            // Parts begin with whole steps.
            let end = libm::ceil(start + at.steps(*span));
            if (at.step as f64) < end {
                return schedule.learning_rate(&within(start, Some((end - start) as u64)));
            }
            start = end;
        }
        let rest = at.total_steps.map(|total| total.saturating_sub(start as u64));
        self.last.learning_rate(&within(start, rest))
    }

    fn needs_end(&self) -> bool {
        self.last.needs_end() || self.parts.iter().any(|(_, span)| *span == Span::Training)
    }

    fn check(&self) -> Result<(), Error> {
        for (schedule, span) in &self.parts {
            span.check("the length of a chained schedule")?;
            schedule.check()?;
        }
        self.last.check()
    }
}
