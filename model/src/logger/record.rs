//! What loggers are told.

use crate::metric::Metric;
use crate::network::LayerNode;
use crate::train::{Evaluation, FitEpoch, Trainer};
use isograd_kernels::Element;
use std::sync::Arc;

/// Something that a run tells its loggers. Clones are cheap.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// The run begins, or goes on.
    Start(Arc<RunStart>),
    /// A step has been done.
    Step(StepRecord),
    /// An epoch has been done.
    Epoch(Arc<EpochRecord>),
    /// A test has been done.
    Test(Arc<TestRecord>),
    /// An image to look at.
    Image(Arc<ImageRecord>),
    /// The run ends.
    End(Arc<RunEnd>),
}

/// What is known of a run when it begins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunStart {
    /// The name of the run.
    pub run: String,
    /// The version of the program.
    pub version: String,
    /// The instruction-set level.
    pub isa: String,
    /// The model of the CPU.
    pub cpu: String,
    /// Cores of rank 0's host.
    pub cores: usize,
    /// Threads of rank 0.
    pub threads: usize,
    /// Number of ranks.
    pub ranks: usize,
    /// Names of the hosts, as far as they are known.
    pub hosts: Vec<String>,
    /// The name of the network.
    pub model: String,
    /// Trained and frozen parameters.
    pub parameters: usize,
    /// The layers, and which reads which.
    pub layers: Vec<LayerNode>,
    /// The data set.
    pub dataset: String,
    /// Channels, height and width of a sample.
    pub shape: [usize; 3],
    /// Classes; 0 where targets are values.
    pub classes: usize,
    /// The names of the classes, if they have names.
    pub class_names: Vec<String>,
    /// Samples to train on.
    pub train_samples: usize,
    /// Samples to validate on.
    pub validation_samples: usize,
    /// Samples to test with, as far as they are known at the start.
    pub test_samples: Option<usize>,
    /// Epochs that the run is to have.
    pub epochs: u32,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Samples of a step, of all ranks together.
    pub batch: usize,
    /// Other settings: names of options and their values.
    pub settings: Vec<(String, String)>,
    /// Epochs done before: 0 unless the run goes on.
    pub epoch: u32,
    /// Steps done before: 0 unless the run goes on.
    pub step: u64,
}

/// A step of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRecord {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The step, from 1, counted over all epochs.
    pub step: u64,
    /// Mean loss of the step's samples.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Samples of all ranks in a second, since the step that this logger got before, or since the epoch's
    /// first one.
    pub samples_per_s: f64,
}

/// An epoch of training.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The last step of the epoch.
    pub step: u64,
    /// Mean loss of the training samples.
    pub loss: f64,
    /// Labels and values of metrics over the training samples.
    pub metrics: Vec<(String, f64)>,
    /// Mean loss of the validation samples, if there are any.
    pub val_loss: Option<f64>,
    /// Labels and values of metrics over the validation samples; empty if there are none.
    pub val_metrics: Vec<(String, f64)>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Training samples of all ranks in a second.
    pub samples_per_s: f64,
    /// Time of the epoch's steps, since the run went on if that was in this epoch.
    pub seconds: f64,
}

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRecord {
    /// Epochs done.
    pub epoch: u32,
    /// Steps done.
    pub step: u64,
    /// Number of samples.
    pub samples: usize,
    /// Mean loss.
    pub loss: f64,
    /// Labels and values of metrics.
    pub metrics: Vec<(String, f64)>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// What it shows.
    pub name: String,
    /// Steps done.
    pub step: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The image as a PNG file.
    pub png: Vec<u8>,
}

/// What is known of a run when it ends.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunEnd {
    /// Why: `finished`, `stopped` by a signal, `early stopping` or another callback's decision, `diverged`,
    /// `failed`.
    pub reason: String,
    /// The error, if that is the reason.
    pub problem: Option<String>,
    /// Steps done.
    pub step: u64,
    /// Time since the start, without what came before the run went on.
    pub seconds: f64,
    /// Trained samples of all ranks in a second of training.
    pub samples_per_s: f64,
    /// The most memory that this process has used.
    pub peak_memory_bytes: Option<u64>,
    /// SHA-256 of the parameters, if it was asked for.
    pub hash: Option<String>,
}

impl EpochRecord {
    /// The record of `epoch`, after which `trainer` is. The last step had `learning_rate`.
    pub fn new<T: Element>(trainer: &Trainer<T>, epoch: &FitEpoch, learning_rate: f64) -> Self {
        let FitEpoch { report, validation } = epoch;
        let metrics = &trainer.config().metrics;
        Self {
            epoch: report.epoch,
            step: trainer.steps(),
            loss: report.train.loss,
            metrics: labelled(metrics, &report.train),
            val_loss: validation.as_ref().map(|validation| validation.loss),
            val_metrics: validation.as_ref().map_or_else(Vec::new, |found| labelled(metrics, found)),
            learning_rate,
            samples_per_s: report.samples_per_s(),
            seconds: report.elapsed.as_secs_f64(),
        }
    }
}

impl TestRecord {
    /// The record of the test `evaluation` of `trainer`.
    pub fn new<T: Element>(trainer: &Trainer<T>, evaluation: &Evaluation) -> Self {
        Self {
            epoch: trainer.epochs(),
            step: trainer.steps(),
            samples: evaluation.samples,
            loss: evaluation.loss,
            metrics: labelled(&trainer.config().metrics, evaluation),
        }
    }
}

fn labelled<T>(metrics: &[Arc<dyn Metric<T>>], evaluation: &Evaluation) -> Vec<(String, f64)> {
    let labels = metrics.iter().map(|metric| metric.label().into_owned());
    labels.zip(evaluation.metrics.iter().copied()).collect()
}
