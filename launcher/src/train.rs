//! `isograd train`.
//!
//! ```text
//! load the data, build the network, load its parameters    // whatever is wrong with the input ends the run here
//! open the files to write                                   // whatever cannot be written ends it here
//! meet the other ranks, if there are any
//! print the layers and the parameters; test, if asked to
//! for each epoch: train, validate, save, append to the history, print a line
//! print time and throughput; test; print the hash, if asked to; a signal ends the run after the step under way, saved
//! ```

use crate::agreement;
use crate::failure::Failure;
use crate::history::History;
use crate::network::{build, load_state, on_threads};
use crate::output::Output;
use crate::parameters;
use crate::plan::TrainPlan;
use crate::progress::EpochBar;
use crate::ranks::{RankPlan, Seat};
use crate::report::{epoch_line, test_line, time_lines};
use crate::signals::StopRequest;
use crate::values::Dtype;
use isograd_datasets::{Dataset, ValidationSplit, validation_split};
use isograd_model::{Element, EpochReport, Error, Progress, Ranks, Trainer, check_save, save};
use std::sync::Arc;
use std::time::Duration;

/// Trains a network and tests it.
pub(crate) fn start(plan: &TrainPlan, out: &mut Output) -> Result<(), Failure> {
    let seat = Seat::take(&plan.ranks, out)?;
    on_threads(plan.execution.threads(&seat), || match plan.execution.dtype {
        Dtype::F32 => run::<f32>(plan, &seat, out),
        Dtype::F64 => run::<f64>(plan, &seat, out),
    })
}

fn run<T: Element>(plan: &TrainPlan, seat: &Seat, out: &mut Output) -> Result<(), Failure> {
    let (samples, test) = plan.source.load()?;
    let parts = validation_split(&samples, plan.validation_split)
        .map_err(|source| Failure::Data { option: "--validation-split", source })?;
    let network = build::<T>(plan.model, &samples)?;
    // Files are the first rank's; the others get from it what it read.
    let (is_first, config) = (seat.is_first(), plan.config(parts.train.len(), seat.world));
    let load = plan.load.as_ref().filter(|_| is_first);
    let loaded = load.map(|path| load_state(path, plan.model, &network)).transpose()?;
    if let Some(path) = plan.save.as_ref().filter(|_| is_first) {
        check_save(path, plan.model, &network).map_err(Failure::Save)?;
    }
    let history = plan.history.as_ref().filter(|_| is_first);
    let history = history.map(|file| History::create(file, &plan.metrics)).transpose()?;

    let shares = plan.ranks.shares(seat.world)?;
    let agreement = || agreement::of_training(plan, &network, &config, &samples, &test);
    let communicator = seat.join(&plan.ranks, agreement)?;
    let RankPlan { bucket_bytes, overlap, .. } = plan.ranks;
    let ranks = Ranks { communicator, shares, bucket_bytes, overlap };
    let mut trainer = Trainer::with_ranks(network, config, ranks)?;
    if let Some(state) = loaded {
        *trainer.state_mut() = state;
    }
    if plan.load.is_some() {
        trainer.share_state()?;
    }

    out.line(&trainer.network().summary())?;
    let counts = [parts.train.len(), parts.validation.len()];
    out.line(&parameters::list::<T>(plan, seat, trainer.config(), counts))?;
    if plan.evaluate_before {
        print_test(&mut trainer, &*test, out)?;
    }
    let request = StopRequest::listen().map_err(Failure::Signals)?;
    trainer.stop_on(Arc::clone(&request.flag));
    let mut run = Run { plan, is_first, trainer, history, elapsed: Duration::ZERO, samples: 0, epochs: 0 };
    if let Err(failure) = run.train(&parts, out) {
        run.trainer.abort(&failure.to_string());
        return Err(failure);
    }
    out.line(&time_lines(run.elapsed, run.samples))?;
    if run.trainer.is_stopped() {
        let saved = plan.save.clone().filter(|_| is_first);
        return Err(request.failure(run.trainer.steps(), saved));
    }
    print_test(&mut run.trainer, &*test, out)?;
    if plan.hash {
        out.line(&format!("params: sha256:{}", run.trainer.state().params_sha256()))?;
    }
    Ok(())
}

fn print_test<T: Element>(
    trainer: &mut Trainer<T>,
    test: &dyn Dataset,
    out: &mut Output,
) -> Result<(), Failure> {
    let evaluation = trainer.evaluate(test)?;
    out.line(&test_line(&trainer.config().metrics, &evaluation))
}

/// A training run under way.
struct Run<'a, T> {
    plan: &'a TrainPlan,
    /// Whether this is the rank that writes files and shows progress.
    is_first: bool,
    trainer: Trainer<T>,
    history: Option<History<'a>>,
    /// Time of the training steps alone.
    elapsed: Duration,
    /// Samples that were trained on.
    samples: usize,
    /// Epochs that ended well.
    epochs: u32,
}

impl<T: Element> Run<'_, T> {
    fn train(&mut self, parts: &ValidationSplit<'_>, out: &mut Output) -> Result<(), Failure> {
        while self.epochs < self.plan.epochs && !self.trainer.is_finished() {
            let report = self.train_epoch(&parts.train)?;
            self.elapsed += report.elapsed;
            self.samples += report.train.samples;
            if let Some(path) = self.plan.save.as_ref().filter(|_| self.is_first) {
                save(path, self.plan.model, self.trainer.network(), self.trainer.state())
                    .map_err(Failure::Save)?;
            }
            self.epochs = report.epoch;
            let validation = match parts.validation.is_empty() || self.trainer.is_stopped() {
                true => None,
                false => Some(self.trainer.evaluate(&parts.validation)?),
            };
            out.line(&epoch_line(self.plan.epochs, &report, validation.as_ref(), &self.plan.metrics))?;
            if let Some(history) = &mut self.history {
                history.append(&report, validation.as_ref())?;
            }
        }
        Ok(())
    }

    /// One epoch; it fails when the loss or a parameter becomes infinite or NaN.
    fn train_epoch(&mut self, samples: &dyn Dataset) -> Result<EpochReport, Failure> {
        let (epoch, plan) = (self.epochs + 1, self.plan);
        let bar = || EpochBar::start(epoch, plan.epochs, samples.len(), &plan.metrics);
        let mut bar = self.is_first.then(bar).flatten();
        let show = |progress: Progress<'_>| {
            if let Some(bar) = &mut bar {
                bar.show(&progress);
            }
        };
        self.trainer.train_epoch(samples, show).map_err(|error| match error {
            Error::NonFiniteLoss { .. }
            | Error::NonFiniteGradient { .. }
            | Error::NonFiniteParameters { .. } => self.diverged(error.to_string()),
            other => other.into(),
        })
    }

    fn diverged(&self, problem: String) -> Failure {
        Failure::Diverged { problem, good_epochs: self.epochs, save: self.plan.save.clone() }
    }
}
