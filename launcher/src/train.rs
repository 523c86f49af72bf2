//! `isograd train`.
//!
//! ```text
//! load the data, build the network, load its parameters    // whatever is wrong with the input ends the run here
//! open the files to write                                   // whatever cannot be written ends it here
//! print the layers and the parameters; test, if asked to
//! for each epoch: train, validate, save, append to the history, print a line
//! print time and throughput; test; print the hash, if asked to
//! ```

use crate::failure::Failure;
use crate::history::History;
use crate::network::{build, load_state, on_threads};
use crate::output::Output;
use crate::parameters;
use crate::plan::TrainPlan;
use crate::progress::EpochBar;
use crate::report::{epoch_line, test_line, time_lines};
use crate::values::Dtype;
use isograd_datasets::{Dataset, ValidationSplit, validation_split};
use isograd_kernels::Element;
use isograd_model::{EpochReport, Error, Progress, Trainer, save};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Trains a network and tests it.
pub(crate) fn start(plan: &TrainPlan, out: &mut Output) -> Result<(), Failure> {
    on_threads(plan.execution.threads, || match plan.execution.dtype {
        Dtype::F32 => run::<f32>(plan, out),
        Dtype::F64 => run::<f64>(plan, out),
    })
}

fn run<T: Element>(plan: &TrainPlan, out: &mut Output) -> Result<(), Failure> {
    let (samples, test) = plan.source.load()?;
    let parts = validation_split(&samples, plan.validation_split)
        .map_err(|source| Failure::Data { option: "--validation-split", source })?;
    let network = build::<T>(plan.model, &samples)?;
    let loaded = plan.load.as_ref().map(|path| load_state(path, plan.model, &network)).transpose()?;
    let mut trainer = Trainer::new(network, plan.config(parts.train.len()))?;
    if let Some(state) = loaded {
        *trainer.state_mut() = state;
    }
    plan.save.as_deref().map_or(Ok(()), check_save)?;
    let history = plan.history.as_ref().map(|file| History::create(file, &plan.metrics)).transpose()?;

    out.line(&trainer.network().summary())?;
    let counts = [parts.train.len(), parts.validation.len()];
    out.line(&parameters::list::<T>(plan, trainer.config(), counts))?;
    if plan.evaluate_before {
        print_test(&mut trainer, &*test, out)?;
    }
    let mut run = Run { plan, trainer, history, elapsed: Duration::ZERO, samples: 0, epochs: 0 };
    run.train(&parts, out)?;
    out.line(&time_lines(run.elapsed, run.samples))?;
    print_test(&mut run.trainer, &*test, out)?;
    if plan.hash {
        out.line(&format!("params: sha256:{}", run.trainer.state().params_sha256()))?;
    }
    Ok(())
}

/// Checks that a file can be written beside `path`, which is how parameters are saved, and can take its place.
fn check_save(path: &Path) -> Result<(), Failure> {
    let failure = |source| Failure::Write { option: "--save", path: path.to_path_buf(), source };
    if path.is_dir() {
        return Err(failure(std::io::ErrorKind::IsADirectory.into()));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    File::create(&part).and_then(|_| std::fs::remove_file(&part)).map_err(failure)
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
            if let Some(path) = &self.plan.save {
                save(path, self.plan.model, self.trainer.network(), self.trainer.state())
                    .map_err(Failure::Save)?;
            }
            self.epochs = report.epoch;
            let validation = match parts.validation.is_empty() {
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

    /// One epoch; it fails when the loss or, at its end, a parameter is infinite or NaN.
    fn train_epoch(&mut self, samples: &dyn Dataset) -> Result<EpochReport, Failure> {
        let mut bar = EpochBar::start(self.epochs + 1, self.plan.epochs, samples.len(), &self.plan.metrics);
        let show = |progress: Progress<'_>| {
            if let Some(bar) = &mut bar {
                bar.show(&progress);
            }
        };
        let report = self.trainer.train_epoch(samples, show).map_err(|error| match error {
            Error::NonFiniteLoss { .. } => self.diverged(error.to_string()),
            other => other.into(),
        })?;
        if !self.trainer.state().params().iter().all(|parameter| parameter.is_finite()) {
            let (steps, epoch) = (self.trainer.steps(), report.epoch);
            return Err(self.diverged(format!(
                "parameters became infinite or NaN by the end of step {steps} (epoch {epoch}); a smaller learning rate may \
                 help"
            )));
        }
        Ok(report)
    }

    fn diverged(&self, problem: String) -> Failure {
        Failure::Diverged { problem, good_epochs: self.epochs, save: self.plan.save.clone() }
    }
}
