//! `isograd train`.
//!
//! ```text
//! load the data, build the network, load its parameters    // whatever is wrong with the input ends the run here
//! open the files to write                                   // whatever cannot be written ends it here
//! meet the other ranks, if there are any
//! print the layers and the parameters; test, if asked to
//! for each epoch: train, validate, save what is known to be good, append to the history, print a line
//! print time and throughput; test; print the hash, if asked to; a signal ends the run after the step under way, saved
//! ```

use crate::cli::plan::RankPlan;
use crate::cli::plan::{Execution, TrainPlan};
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::agreement;
use crate::rank::command::RankCommand;
use crate::rank::history::History;
use crate::rank::identity::Seat;
use crate::rank::network::{build, load_state};
use crate::rank::progress::EpochBar;
use crate::rank::report::{epoch_line, test_line, time_lines};
use crate::rank::settings_table;
use crate::rank::stop::StopRequest;
use crate::system::same_file;
use isograd_datasets::{Dataset, Subset, ValidationSplit, validation_split};
use isograd_model::{
    Element, EpochReport, Error, Evaluation, Optimizer, Progress, Ranks, Trainer, check_save, save,
};
use std::sync::Arc;
use std::time::Duration;

/// Trains a network and tests it.
impl RankCommand for TrainPlan {
    fn ranks(&self) -> &RankPlan {
        &self.ranks
    }

    fn execution(&self) -> &Execution {
        &self.execution
    }

    fn run<T: Element>(&self, seat: &Seat, out: &mut Output) -> Result<(), Failure> {
        run::<T>(self, seat, out)
    }
}

fn run<T: Element>(plan: &TrainPlan, seat: &Seat, out: &mut Output) -> Result<(), Failure> {
    let shares = plan.ranks.shares(seat.world)?;
    if seat.is_first() {
        check_names(plan)?;
    }
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
    let has_validation = !parts.validation.is_empty();
    let history = history.map(|file| History::open(file, &plan.metrics, has_validation)).transpose()?;

    let agreement = || agreement::of_training(plan, &network, &config, &samples, &test);
    let request = StopRequest::listen().map_err(Failure::Signals)?;
    let communicator = seat.join(&plan.ranks, &request, agreement)?;
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
    out.line(&settings_table::list::<T>(plan, seat, trainer.config(), counts))?;
    if plan.evaluate_before {
        print_test(&mut trainer, &*test, out).map_err(|failure| match (failure, &plan.load) {
            (Failure::Test(error), Some(path)) => {
                Failure::Unusable { path: path.clone(), problem: error.to_string() }
            }
            (failure, _) => failure,
        })?;
    }
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

/// Checks that no file to write is one to read or another one to write. Parameters alone may take the place of those that they
/// were trained from.
fn check_names(plan: &TrainPlan) -> Result<(), Failure> {
    let Some(history) = &plan.history else { return Ok(()) };
    for (option, path) in [("--load", &plan.load), ("--save", &plan.save)] {
        if let Some(path) = path
            && same_file::are_one(path, &history.path)
        {
            let problem =
                format!("{option} {} and --history {} are one file", path.display(), history.path.display());
            return Err(Failure::Usage { problem, hint: None });
        }
    }
    Ok(())
}

fn print_test<T: Element>(
    trainer: &mut Trainer<T>,
    test: &dyn Dataset,
    out: &mut Output,
) -> Result<(), Failure> {
    let evaluation = trainer.evaluate(test).map_err(|error| match error {
        Error::NonFiniteEvaluation { .. } => Failure::Test(error),
        other => other.into(),
    })?;
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
            let validation = self.validate(parts)?;
            if let Some(path) = self.plan.save.as_ref().filter(|_| self.is_first) {
                save(path, self.plan.model, self.trainer.network(), self.trainer.state())
                    .map_err(Failure::Save)?;
            }
            self.epochs = report.epoch;
            out.line(&epoch_line(self.plan.epochs, &report, validation.as_ref(), &self.plan.metrics))?;
            if let Some(history) = &mut self.history {
                history.append(&report, self.trainer.steps(), validation.as_ref())?;
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
        self.trainer.train_epoch(samples, show).map_err(|error| match (error, &plan.load) {
            // No step has changed what was loaded.
            (Error::NonFiniteLoss { step: 1, loss, .. }, Some(path)) => Failure::Unusable {
                path: path.clone(),
                problem: format!("the loss of the first step is {loss}"),
            },
            (Error::NonFiniteParameters { step: 0, tensor, .. }, Some(path)) => Failure::Unusable {
                path: path.clone(),
                problem: format!("'{tensor}' has a value that is infinite or NaN"),
            },
            (error, _) => self.failure(error),
        })
    }

    /// As the end of the run, where `error` says that training cannot go on.
    fn failure(&self, error: Error) -> Failure {
        match error {
            Error::NonFiniteLoss { .. }
            | Error::NonFiniteGradient { .. }
            | Error::NonFiniteParameters { .. } => self.diverged(error.to_string()),
            Error::NonFiniteEvaluation { .. } => {
                let epoch = self.epochs + 1;
                self.diverged(format!("after epoch {epoch}, {error}; a smaller learning rate may help"))
            }
            other => other.into(),
        }
    }

    /// Evaluates the samples for validation. Where there are none, or the run is to end soon, a shard of the others instead: what
    /// is saved must not be parameters whose loss is no number.
    fn validate(&mut self, parts: &ValidationSplit<'_>) -> Result<Option<Evaluation>, Failure> {
        let is_validated = !parts.validation.is_empty() && !self.trainer.is_stopped();
        let shard = self.trainer.config().shard_size.min(parts.train.len());
        let shard = Subset::new(&parts.train, 0..shard);
        let samples = if is_validated { &parts.validation } else { &shard };
        let evaluation = self.trainer.evaluate(samples).map_err(|error| self.failure(error))?;
        Ok(is_validated.then_some(evaluation))
    }

    /// A run that ends with `problem`, which proposes a smaller learning rate: other parameters that are out of the ordinary
    /// are named as well.
    fn diverged(&self, mut problem: String) -> Failure {
        let (eps, weight_decay) = match self.plan.optimizer {
            Optimizer::Sgd { weight_decay, .. } => (None, weight_decay),
            Optimizer::RmsProp { eps, weight_decay, .. } => (Some(eps), weight_decay),
            Optimizer::Adam(adam) | Optimizer::Nadam(adam) => (Some(adam.eps), adam.weight_decay),
        };
        if eps == Some(0.0) {
            problem += ", and so may an --epsilon above 0";
        }
        // Such a decay takes a parameter past zero.
        if weight_decay * self.plan.learning_rate > 1.0 {
            problem += &format!(", and so may a smaller --weight-decay than {weight_decay:?}");
        }
        Failure::Diverged { problem, good_epochs: self.epochs, save: self.plan.save.clone() }
    }
}
