//! What accompanies a training: progress, logs, checkpoints and saved parameters while it goes on, and its
//! failures in the user's words.

use crate::cli::callback_plan::CallbackPlan;
use crate::cli::metric_plan::MetricPlan;
use crate::cli::plan::TrainPlan;
use crate::failure::Failure;
use crate::loggers::console::Console;
use crate::output::Output;
use crate::rank::checkpoints::Checkpoints;
use crate::rank::progress::EpochBar;
use crate::rank::report::epoch_line;
use crate::rank::views::Views;
use isograd_datasets::Subset;
use isograd_model::callback::Callback;
use isograd_model::logger::Loggers;
use isograd_model::{
    Element, Error, FitEpoch, NonFinite, Observer, Progress, RunInfo, Trainer, save_described,
};
use std::time::Duration;

/// A training run, as it accompanies the trainer.
pub(super) struct Run<'a, T> {
    pub(super) plan: &'a TrainPlan,
    /// Whether this is the rank that writes files and shows progress.
    pub(super) is_first: bool,
    /// Those that are reported.
    pub(super) metrics: &'a [MetricPlan],
    /// What a saved network tells of itself.
    pub(super) described: RunInfo,
    pub(super) views: &'a Views<'a>,
    pub(super) out: &'a mut Output,
    pub(super) console: Console,
    pub(super) loggers: Loggers,
    pub(super) checkpoints: Option<Checkpoints<T>>,
    pub(super) bar: Option<EpochBar<'a>>,
    /// The time of the training steps alone.
    pub(super) elapsed: Duration,
    /// The number of samples that the steps trained on.
    pub(super) samples: usize,
    pub(super) last_half: Half,
    /// Epochs that ended with a finite loss.
    pub(super) epochs: u32,
}

/// The last halves of all epochs, in samples: what is slow at the start of an epoch is not in them.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) elapsed: Duration,
    pub(super) samples: usize,
    /// Time and samples at the middle of the current epoch, once it is reached.
    pub(super) middle: Option<(Duration, usize)>,
}

impl<T: Element> Observer<T> for Run<'_, T> {
    type Failure = Failure;

    fn on_epoch_begin(&mut self, trainer: &Trainer<T>) {
        let plan = self.plan;
        self.loggers.begin_epoch(trainer, self.views.train.len());
        let bar = || EpochBar::start(trainer.epochs() + 1, plan.epochs, self.views.train.len(), self.metrics);
        self.bar = (self.is_first && !self.console.has_steps()).then(bar).flatten();
    }

    fn on_step(
        &mut self,
        trainer: &mut Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
        progress: &Progress<'_>,
    ) -> Result<(), Failure> {
        if let Some(bar) = &mut self.bar {
            bar.show(progress);
        }
        if 2 * progress.samples >= progress.epoch_samples {
            self.last_half.middle.get_or_insert((progress.elapsed, progress.samples));
        }
        self.console.step(trainer.steps(), progress, self.out)?;
        self.loggers.step(trainer.steps(), progress);
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.after_step(trainer, callbacks)?;
        }
        if trainer.is_stopped() && self.plan.checkpoint.is_some() {
            // A rank that ended now would end the others, while the first one writes.
            trainer.wait_for_ranks()?;
        }
        Ok(())
    }

    fn on_epoch(
        &mut self,
        trainer: &mut Trainer<T>,
        callbacks: &[&mut dyn Callback<T>],
        epoch: &FitEpoch,
    ) -> Result<(), Failure> {
        self.bar = None;
        let FitEpoch { report, validation, .. } = epoch;
        self.elapsed += report.elapsed;
        self.samples += report.train.samples - report.resumed_at;
        if let Some((elapsed, samples)) = self.last_half.middle.take() {
            self.last_half.elapsed += report.elapsed.saturating_sub(elapsed);
            self.last_half.samples += report.train.samples - samples;
        }
        if validation.is_none() {
            // Parameters whose loss is infinite or NaN must not be saved: a shard is enough to know.
            let samples = &*self.views.plain;
            let shard = trainer.config().shard_size.min(samples.len());
            trainer.evaluate(&Subset::new(samples, 0..shard))?;
        }
        self.save(trainer)?;
        self.epochs = report.epoch;
        let plan = self.plan;
        let line = epoch_line(plan.epochs, report, validation.as_ref(), self.metrics);
        self.console.epoch(&line, self.out)?;
        self.loggers.epoch(trainer, epoch);
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.after_epoch(trainer, callbacks, epoch)?;
        }
        Ok(())
    }
}

impl<T: Element> Run<'_, T> {
    /// Saves the parameters, or their averages, if that is asked for.
    fn save(&self, trainer: &Trainer<T>) -> Result<(), Failure> {
        let Some(path) = self.plan.save.as_ref().filter(|_| self.is_first) else { return Ok(()) };
        // What was validated, and is tested in the end.
        let state = trainer.averaged_state().unwrap_or(trainer.state());
        save_described(path, &self.described, trainer.network(), state).map_err(Failure::Save)
    }

    /// Saves the parameters that early stopping went back to at the end.
    pub(super) fn save_best(&self, trainer: &Trainer<T>) -> Result<(), Failure> {
        let restores = |callback: &CallbackPlan| matches!(callback, CallbackPlan::EarlyStopping { .. });
        match self.plan.callbacks.iter().any(restores) && !trainer.is_stopped() {
            true => self.save(trainer),
            false => Ok(()),
        }
    }

    /// The failure of the run, where `failure` is one of the trainer.
    pub(super) fn explain(&self, failure: Failure, trainer: &Trainer<T>) -> Failure {
        let Failure::Model(error) = failure else { return failure };
        match (error, &self.plan.load) {
            // No step has been taken, so the loaded parameters are the reason.
            (Error::NonFinite(NonFinite::Loss { step: 1, loss, .. }), Some(path)) => Failure::Unusable {
                path: path.clone(),
                problem: format!("the loss of the first step is {loss}"),
            },
            (Error::NonFinite(NonFinite::Parameters { step: 0, tensor, .. }), Some(path)) => {
                Failure::Unusable {
                    path: path.clone(),
                    problem: format!("'{tensor}' has a value that is infinite or NaN"),
                }
            }
            (error @ Error::NonFinite(NonFinite::Evaluation { .. }), _) => {
                let epoch = self.epochs + 1;
                let problem = format!("after epoch {epoch}, {error}; a smaller learning rate may help");
                self.diverged(problem, trainer)
            }
            (error @ Error::NonFinite(_), _) => self.diverged(error.to_string(), trainer),
            (other, _) => other.into(),
        }
    }

    /// The failure of a run that diverged. `problem` proposes a smaller learning rate; this adds other
    /// parameters of the optimizer that are unusual.
    fn diverged(&self, mut problem: String, trainer: &Trainer<T>) -> Failure {
        let optimizer = &self.plan.optimizer;
        if optimizer.epsilon() == Some(0.0) {
            problem += ", and so may an --epsilon above 0";
        }
        let weight_decay = optimizer.weight_decay();
        // A step with such a decay moves a parameter past zero.
        if weight_decay * trainer.config().learning_rate > 1.0 {
            problem += &format!(", and so may a smaller --weight-decay than {weight_decay:?}");
        }
        Failure::Diverged { problem, good_epochs: self.epochs, save: self.plan.save.clone() }
    }
}
