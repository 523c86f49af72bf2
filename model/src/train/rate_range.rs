//! The learning-rate range test: one pass over the samples, in which the rate grows from step to step.

use super::{Observer, Progress, Trainer};
use crate::callback::Callback;
use crate::error::Error;
use crate::schedule::{Schedule, StepPosition};
use crate::train::NonFinite;
use isograd_datasets::Dataset;
use isograd_kernels::Element;
use std::sync::Arc;

/// The range of a learning-rate range test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRange {
    /// The rate of the first step, above 0.
    pub from: f64,
    /// The rate of the last step, above that of the first.
    pub to: f64,
}

impl Default for RateRange {
    /// From 1e-6 to 10.
    fn default() -> Self {
        Self { from: 1e-6, to: 10.0 }
    }
}

/// A step of a learning-rate range test.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RatePoint {
    /// The step, from 1.
    pub step: u64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// The mean loss of its samples, before the step.
    pub loss: f64,
    /// The moving average of the losses so far, without the bias of its start.
    pub smoothed_loss: f64,
}

/// The share of the old average that the moving average of the losses keeps in a step.
const SMOOTHING: f64 = 0.9;
/// The test ends when the moving average is this many times as large as its least value.
const DIVERGED: f64 = 4.0;

/// The rate of step `i` of `n` is `from * (to / from)^(i / (n - 1))`.
#[derive(Debug)]
struct Growing(RateRange);

impl Schedule for Growing {
    fn learning_rate(&self, at: &StepPosition) -> f64 {
        let Self(RateRange { from, to }) = *self;
        let (step, steps) = (at.step % at.steps_per_epoch, at.steps_per_epoch);
        from * libm::pow(to / from, step as f64 / steps.saturating_sub(1).max(1) as f64)
    }
}

/// Notes the curve.
#[derive(Debug, Default)]
struct Curve {
    points: Vec<RatePoint>,
    average: f64,
    least: f64,
}

impl Curve {
    fn add(&mut self, progress: &Progress<'_>) {
        self.average = SMOOTHING * self.average + (1.0 - SMOOTHING) * progress.step_loss;
        let steps = self.points.len() + 1;
        let smoothed_loss = self.average / (1.0 - libm::pow(SMOOTHING, steps as f64));
        self.least = if steps == 1 { smoothed_loss } else { self.least.min(smoothed_loss) };
        let (learning_rate, loss) = (progress.learning_rate, progress.step_loss);
        self.points.push(RatePoint { step: steps as u64, learning_rate, loss, smoothed_loss });
    }

    fn has_diverged(&self) -> bool {
        let last = self.points.last().map_or(0.0, |point| point.smoothed_loss);
        // A loss below 0 has no such multiple.
        self.least > 0.0 && last > DIVERGED * self.least
    }
}

/// Why the pass ended.
enum End {
    Diverged,
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<T: Element> Observer<T> for Curve {
    type Failure = End;

    fn on_step(
        &mut self,
        _: &mut Trainer<T>,
        _: &[&mut dyn Callback<T>],
        progress: &Progress<'_>,
    ) -> Result<(), End> {
        self.add(progress);
        if self.has_diverged() { Err(End::Diverged) } else { Ok(()) }
    }
}

impl<T: Element> Trainer<T> {
    /// The learning-rate range test: trains on `dataset` for one pass, at rates that grow exponentially over
    /// `range`, and returns the loss of each step. It ends early when the loss has grown to several times its
    /// least value, or is no number any more. Afterwards the trainer is as it was before.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a range that is none, and as [`train_epoch`](Self::train_epoch).
    ///
    /// # Source
    ///
    /// Smith: "Cyclical learning rates for training neural networks", WACV 2017, section 3.3, there with
    /// linear growth.
    pub fn find_learning_rate(
        &mut self,
        dataset: &dyn Dataset,
        range: RateRange,
    ) -> Result<Vec<RatePoint>, Error> {
        let RateRange { from, to } = range;
        if !(from > 0.0 && from < to && to.is_finite()) {
            let (name, expected) = ("the range of learning rates", "from a number above 0 to a larger one");
            return Err(Error::OutOfRange { name, expected, value: format!("{from:?} to {to:?}") });
        }
        let before = self.snapshot(&[])?;
        let schedule = std::mem::replace(&mut self.config.schedule, Arc::new(Growing(range)));
        let limits = (self.config.max_steps.take(), self.config.max_epochs.take());
        self.open_epoch.close();
        self.is_ended = false;
        let mut curve = Curve::default();
        let result = self.run_epoch(dataset, |trainer, progress| {
            curve.on_step(trainer, &[], &progress)?;
            Ok(crate::callback::Decision::Go)
        });
        self.config.schedule = schedule;
        (self.config.max_steps, self.config.max_epochs) = limits;
        let is_stopped = self.is_stopped;
        match result {
            Ok(_) | Err(End::Diverged | End::Failed(Error::NonFinite(NonFinite::Loss { .. }))) => {}
            Err(End::Failed(Error::NonFinite(_))) if !curve.points.is_empty() => {}
            Err(End::Failed(error)) => return Err(error),
        }
        self.restore(Some(&before), &mut [])?;
        self.is_stopped = is_stopped;
        Ok(curve.points)
    }

    /// The rate of `curve`, which [`find_learning_rate`](Self::find_learning_rate) has returned, at which the
    /// smoothed loss falls fastest; `None` if it falls nowhere.
    pub fn suggest_learning_rate(curve: &[RatePoint]) -> Option<f64> {
        let slope = |pair: &[RatePoint]| pair[1].smoothed_loss - pair[0].smoothed_loss;
        let steepest = curve.windows(2).min_by(|a, b| slope(a).total_cmp(&slope(b)))?;
        (slope(steepest) < 0.0).then_some(steepest[1].learning_rate)
    }
}
