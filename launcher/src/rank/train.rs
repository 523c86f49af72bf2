//! `isograd train`.
//!
//! ```text
//! load the data, say how its samples are changed            // bad input ends the run here
//! build the network, load its parameters
//! open the files to write                                   // files that cannot be written end it here
//! meet the other ranks, if there are any
//! print the layers and the settings; test, if asked to
//! for each epoch: train, validate, save parameters with a finite loss, append to the history, print a line
//! print time and throughput; test; print the hash, if asked to
//! ```

use crate::cli::augment_plan::PrefetchPlan;
use crate::cli::plan::RankPlan;
use crate::cli::plan::{Execution, TrainPlan};
use crate::failure::Failure;
use crate::output::Output;
use crate::rank::agreement;
use crate::rank::command::RankCommand;
use crate::rank::history::History;
use crate::rank::identity::RankIdentity;
use crate::rank::network::{build, load_state};
use crate::rank::progress::EpochBar;
use crate::rank::report::{epoch_line, test_line, time_lines};
use crate::rank::settings_table;
use crate::rank::stop::StopRequest;
use crate::rank::views::{self, Views};
use crate::system::escape::one_line;
use crate::system::same_file;
use isograd_datasets::{Dataset, Prefetched, Subset};
use isograd_model::{
    Element, EpochReport, Error, Evaluation, NonFinite, Progress, Ranks, Trainer, check_save, save,
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

    fn run<T: Element>(&self, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure> {
        run::<T>(self, identity, out)
    }
}

fn run<T: Element>(plan: &TrainPlan, identity: &RankIdentity, out: &mut Output) -> Result<(), Failure> {
    let shares = plan.ranks.shares(identity.world)?;
    if identity.is_first() {
        check_names(plan)?;
    }
    let samples = plan.source.load()?;
    let parts = samples.parts(plan.validation_split)?;
    let views = Views::new(&plan.augment, &parts, plan.seed)?;
    let (mut network, model) = (build::<T>(&plan.model, &*views.train)?, plan.model.name());
    for pattern in &plan.freeze {
        network
            .freeze(pattern)
            .map_err(|error| Failure::Usage { problem: format!("--freeze: {error}"), hint: None })?;
    }
    // The first rank alone reads and writes files; the others get the loaded parameters from it.
    let (is_first, config) = (identity.is_first(), plan.config::<T>(parts.train.len(), identity.world));
    let load = plan.load.as_ref().filter(|_| is_first);
    let loaded = load.map(|path| load_state(path, &model, &network)).transpose()?;
    if let Some(path) = plan.save.as_ref().filter(|_| is_first) {
        check_save(path, &model, &network).map_err(Failure::Save)?;
    }
    let history = plan.history.as_ref().filter(|_| is_first);
    let has_validation = !parts.validation.is_empty();
    let history = history.map(|file| History::open(file, &plan.metrics, has_validation)).transpose()?;

    let agreement = || agreement::of_training(plan, &network, &config, &samples, &*views.train);
    let request = StopRequest::listen().map_err(Failure::Signals)?;
    let communicator = identity.join(&plan.ranks, &request, agreement)?;
    let RankPlan { bucket_bytes, overlap, .. } = plan.ranks;
    let ranks = Ranks { communicator, shares, bucket_bytes, overlap };
    let mut trainer = Trainer::with_ranks(network, config, ranks)?;
    if let Some(state) = loaded {
        *trainer.state_mut() = state;
    }
    if plan.load.is_some() {
        trainer.broadcast_state()?;
    }

    out.line(&trainer.network().summary())?;
    let counts = [parts.train.len(), parts.validation.len()];
    out.line(&settings_table::list::<T>(plan, identity, trainer.config(), counts))?;
    for skipped in &samples.skipped {
        out.line(&format!("skipped: {}", one_line(skipped)))?;
    }
    if plan.evaluate_before {
        print_test(&mut trainer, plan, &views, samples.test(&parts), out).map_err(|failure| {
            match (failure, &plan.load) {
                (Failure::Test(error), Some(path)) => {
                    Failure::Unusable { path: path.clone(), problem: error.to_string() }
                }
                (failure, _) => failure,
            }
        })?;
    }
    trainer.stop_on(Arc::clone(&request.flag));
    let mut run = Run { plan, is_first, trainer, history, elapsed: Duration::ZERO, samples: 0, epochs: 0 };
    if let Err(failure) = read_ahead(plan.prefetch, &*views.train, |train| run.train(train, &views, out)) {
        run.trainer.abort(&failure.to_string());
        return Err(failure);
    }
    out.line(&time_lines(run.elapsed, run.samples))?;
    if run.trainer.is_stopped() {
        let saved = plan.save.clone().filter(|_| is_first);
        return Err(request.failure(run.trainer.steps(), saved));
    }
    print_test(&mut run.trainer, plan, &views, samples.test(&parts), out)?;
    if plan.hash {
        out.line(&format!("params: sha256:{}", run.trainer.state().params_sha256()))?;
        if let Some(averages) = run.trainer.averaged_state() {
            out.line(&format!("averages: sha256:{}", averages.params_sha256()))?;
        }
    }
    Ok(())
}

/// Trains on `samples`, which threads of their own read ahead if the plan says so.
fn read_ahead(
    plan: Option<PrefetchPlan>,
    samples: &dyn Dataset,
    train: impl FnOnce(&dyn Dataset) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(PrefetchPlan { samples: ahead, threads }) = plan else { return train(samples) };
    let prefetched = Prefetched::new(samples, samples.len().min(ahead as usize));
    std::thread::scope(|scope| {
        let _closing = prefetched.closing();
        for _ in 0..threads {
            let reader = std::thread::Builder::new().name("prefetch".to_string());
            let spawned = reader.spawn_scoped(scope, || prefetched.read_ahead());
            spawned.map_err(|source| Failure::PrefetchThreads { threads, source })?;
        }
        train(&prefetched)
    })
}

/// Checks that the history is written to a file of its own. Only `--load` and `--save` may name the same
/// file.
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
    plan: &TrainPlan,
    views: &Views<'_>,
    test: &dyn Dataset,
    out: &mut Output,
) -> Result<(), Failure> {
    let test = views::in_tests(&plan.augment.input, test, views.normalization.as_ref())?;
    let evaluation = trainer.evaluate(&*test).map_err(|error| match error {
        Error::NonFinite(NonFinite::Evaluation { .. }) => Failure::Test(error),
        other => other.into(),
    })?;
    out.line(&test_line(&trainer.config().metrics, &evaluation))
}

/// A training run.
struct Run<'a, T> {
    plan: &'a TrainPlan,
    /// Whether this is the rank that writes files and shows progress.
    is_first: bool,
    trainer: Trainer<T>,
    history: Option<History<'a>>,
    /// The time of the training steps alone.
    elapsed: Duration,
    /// The number of samples that the steps trained on.
    samples: usize,
    /// Epochs that ended with a finite loss.
    epochs: u32,
}

impl<T: Element> Run<'_, T> {
    fn train(&mut self, samples: &dyn Dataset, views: &Views<'_>, out: &mut Output) -> Result<(), Failure> {
        while self.epochs < self.plan.epochs && !self.trainer.is_finished() {
            let report = self.train_epoch(samples)?;
            self.elapsed += report.elapsed;
            self.samples += report.train.samples;
            let validation = self.validate(views)?;
            if let Some(path) = self.plan.save.as_ref().filter(|_| self.is_first) {
                // What was validated, and is tested in the end.
                let state = self.trainer.averaged_state().unwrap_or(self.trainer.state());
                save(path, &self.plan.model.name(), self.trainer.network(), state).map_err(Failure::Save)?;
            }
            self.epochs = report.epoch;
            out.line(&epoch_line(self.plan.epochs, &report, validation.as_ref(), &self.plan.metrics))?;
            if let Some(history) = &mut self.history {
                history.append(&report, self.trainer.steps(), validation.as_ref())?;
            }
        }
        Ok(())
    }

    /// Trains one epoch. It fails if the loss or a parameter becomes infinite or NaN.
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
            (error, _) => self.failure(error),
        })
    }

    /// The failure of the run for an error of the trainer.
    fn failure(&self, error: Error) -> Failure {
        match error {
            Error::NonFinite(NonFinite::Evaluation { .. }) => {
                let epoch = self.epochs + 1;
                self.diverged(format!("after epoch {epoch}, {error}; a smaller learning rate may help"))
            }
            Error::NonFinite(_) => self.diverged(error.to_string()),
            other => other.into(),
        }
    }

    /// Evaluates the validation samples. If there are none, or the run is about to stop, it evaluates one
    /// shard of the training samples instead, since parameters whose loss is infinite or NaN must not be
    /// saved.
    fn validate(&mut self, views: &Views<'_>) -> Result<Option<Evaluation>, Failure> {
        let is_validated = !views.validation.is_empty() && !self.trainer.is_stopped();
        let shard = self.trainer.config().shard_size.min(views.plain.len());
        let shard = Subset::new(&*views.plain, 0..shard);
        let samples = if is_validated { &*views.validation } else { &shard };
        let evaluation = self.trainer.evaluate(samples).map_err(|error| self.failure(error))?;
        Ok(is_validated.then_some(evaluation))
    }

    /// The failure of a run that diverged. `problem` proposes a smaller learning rate; this adds other
    /// parameters of the optimizer that are unusual.
    fn diverged(&self, mut problem: String) -> Failure {
        let optimizer = &self.plan.optimizer;
        if optimizer.epsilon() == Some(0.0) {
            problem += ", and so may an --epsilon above 0";
        }
        let weight_decay = optimizer.weight_decay();
        // A step with such a decay moves a parameter past zero.
        if weight_decay * self.trainer.config().learning_rate > 1.0 {
            problem += &format!(", and so may a smaller --weight-decay than {weight_decay:?}");
        }
        Failure::Diverged { problem, good_epochs: self.epochs, save: self.plan.save.clone() }
    }
}
