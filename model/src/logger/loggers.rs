//! Several loggers, each with its frequency.

use super::{EpochRecord, Frequency, Logger, RankSet, Record, StepRecord};
use crate::callback::Callback;
use crate::error::Error;
use crate::train::{FitEpoch, Observer, Progress, Trainer};
use isograd_kernels::Element;
use std::sync::Arc;
use std::time::Duration;

/// The loggers of a run at one rank. One that fails is taken out: a warning (of the crate `log`) says so
/// once.
///
/// As an [`Observer`] of [`Trainer::fit_observed`] it logs steps and epochs. The other records are the
/// caller's to [`log`](Self::log).
#[derive(Debug, Default)]
pub struct Loggers {
    rank: usize,
    /// As many metrics of the configuration are logged in epochs.
    metrics: Option<usize>,
    learning_rate: f64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    logger: Box<dyn Logger>,
    frequency: Frequency,
    /// Time and samples of the epoch at the last step that was logged.
    last: (Duration, usize),
}

impl Loggers {
    /// None yet, at rank `rank`.
    pub fn new(rank: usize) -> Self {
        Self { rank, ..Self::default() }
    }

    /// Logs in epochs only the first `count` metrics of the trainer's configuration.
    pub fn with_metrics(mut self, count: usize) -> Self {
        self.metrics = Some(count);
        self
    }

    /// Adds a logger, if `ranks` has this rank.
    pub fn add(&mut self, logger: impl Logger + 'static, frequency: Frequency, ranks: &RankSet) {
        if ranks.contains(self.rank) {
            let last = (Duration::ZERO, 0);
            self.entries.push(Entry { logger: Box::new(logger), frequency, last });
        }
    }

    /// Whether nothing is logged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Prepares for an epoch of `samples` samples, which may have been interrupted: the learning rate of its
    /// last step is known although that was before the interruption.
    pub fn begin_epoch<T: Element>(&mut self, trainer: &Trainer<T>, samples: usize) {
        self.entries.iter_mut().for_each(|entry| entry.last = (Duration::ZERO, 0));
        if let Some(last) = trainer.position().checked_sub(1) {
            self.learning_rate = trainer.learning_rate(last, samples).unwrap_or(self.learning_rate);
        }
    }

    /// Passes `record` on to all loggers.
    pub fn log(&mut self, record: &Record) {
        self.call(|entry| Some(entry.logger.log(record)));
    }

    /// Logs the step that `progress` tells of, after which `steps` steps are done, where it is due.
    pub fn step(&mut self, steps: u64, progress: &Progress<'_>) {
        self.learning_rate = progress.learning_rate;
        self.call(|entry| {
            if !entry.frequency.has_step(steps) {
                return None;
            }
            // What was before is of another epoch, or of before an interruption.
            let is_first = progress.elapsed <= entry.last.0 || progress.samples <= entry.last.1;
            let (time, samples) = if is_first { (Duration::ZERO, progress.resumed_at) } else { entry.last };
            let seconds = (progress.elapsed - time).as_secs_f64().max(f64::MIN_POSITIVE);
            entry.last = (progress.elapsed, progress.samples);
            Some(entry.logger.log(&Record::Step(StepRecord {
                epoch: progress.epoch,
                step: steps,
                loss: progress.step_loss,
                learning_rate: progress.learning_rate,
                samples_per_s: (progress.samples - samples) as f64 / seconds,
            })))
        });
    }

    /// Logs `epoch`, after which `trainer` is. An epoch that a request to stop has interrupted is not done,
    /// and is not logged.
    pub fn epoch<T: Element>(&mut self, trainer: &Trainer<T>, epoch: &FitEpoch) {
        if trainer.is_stopped() || self.is_empty() {
            return;
        }
        let mut record = EpochRecord::new(trainer, epoch, self.learning_rate);
        let count = self.metrics.unwrap_or(usize::MAX);
        record.metrics.truncate(count);
        record.val_metrics.truncate(count);
        self.log(&Record::Epoch(Arc::new(record)));
    }

    /// Lets all loggers write what they still hold, and takes them out.
    pub fn finish(&mut self) {
        self.call(|entry| Some(entry.logger.finish()));
        self.entries.clear();
    }

    /// Calls each logger, and takes out those that fail.
    fn call(&mut self, mut call: impl FnMut(&mut Entry) -> Option<Result<(), super::LogError>>) {
        self.entries.retain_mut(|entry| match call(entry) {
            Some(Err(error)) => {
                log::warn!("{}: {error}; the run goes on without it", entry.logger.name());
                false
            }
            Some(Ok(())) | None => true,
        });
    }
}

impl<T: Element> Observer<T> for Loggers {
    type Failure = Error;

    fn on_step(
        &mut self,
        trainer: &mut Trainer<T>,
        _: &[&mut dyn Callback<T>],
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        self.step(trainer.steps(), progress);
        Ok(())
    }

    fn on_epoch(
        &mut self,
        trainer: &mut Trainer<T>,
        _: &[&mut dyn Callback<T>],
        epoch: &FitEpoch,
    ) -> Result<(), Error> {
        self.epoch(trainer, epoch);
        Ok(())
    }
}
