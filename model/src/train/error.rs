//! The errors of a training run: data that do not fit, and numbers that leave their range.

use crate::shape::Shape;
use isograd_datasets::SampleError;

/// Why a data set cannot be used with a network.
///
/// What concerns a single sample is found when it is read, and the step is not done; everything else is found
/// before the first step of an epoch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The samples have another shape than the network's input.
    #[error("the network takes samples of {network}, the data set has samples of {dataset}")]
    SampleShape {
        /// Input shape of the network.
        network: Shape,
        /// Sample shape of the data set.
        dataset: Shape,
    },
    /// The network has too few outputs for the classes; see
    /// [`Loss::most_classes`](crate::Loss::most_classes).
    #[error("the network has {outputs} output{}, the data set has {classes} classes", if *.outputs == 1 { "" } else { "s" })]
    TooFewOutputs {
        /// Output elements of the network.
        outputs: usize,
        /// Classes of the data set.
        classes: usize,
    },
    /// The loss or a metric does not take targets of this kind.
    #[error("{what} does not take targets that are {}", if *.are_values { "numbers" } else { "classes" })]
    TargetKind {
        /// The loss or the metric.
        what: String,
        /// Whether the targets are numbers.
        are_values: bool,
    },
    /// A target has not a number for each output.
    #[error(
        "the network has {outputs} output{}, the targets of the data set have {values} value{}",
        if *.outputs == 1 { "" } else { "s" }, if *.values == 1 { "" } else { "s" }
    )]
    TargetLength {
        /// Output elements of the network.
        outputs: usize,
        /// Numbers of a target.
        values: usize,
    },
    /// A target that the loss does not take. The step was not done.
    #[error("the target of {sample} has the value {value}, which {loss} does not take")]
    TargetValue {
        /// The sample, as its data set [describes](isograd_datasets::Dataset::describe) it.
        sample: String,
        /// The value.
        value: f32,
        /// The name of the loss.
        loss: &'static str,
    },
    /// The normalization has another number of channels than the samples.
    #[error("the normalization of the data set has {normalization} channels, its samples have {samples}")]
    NormalizationChannels {
        /// Channels of the normalization.
        normalization: usize,
        /// Channels of a sample.
        samples: usize,
    },
    /// A coefficient of the normalization is beyond the range of the network's element type.
    #[error(
        "the normalization of channel {channel} (scale {scale}, shift {shift}) is beyond the range of {element}"
    )]
    NormalizationRange {
        /// The channel.
        channel: usize,
        /// Its scale.
        scale: f64,
        /// Its shift.
        shift: f64,
        /// Name of the element type.
        element: &'static str,
    },
    /// The data set has no samples.
    #[error("the data set has no samples")]
    NoSamples,
    /// The data set has more samples than an epoch can put in order.
    #[error("the data set has {samples} samples, an epoch can have at most {}", u32::MAX)]
    TooManySamples {
        /// Samples of the data set.
        samples: usize,
    },
    /// The epoch was begun with another data set than it is to go on with.
    #[error("the epoch was begun with {begun} samples, the data set has {samples}")]
    OtherEpoch {
        /// Samples of the epoch.
        begun: usize,
        /// Samples of the data set.
        samples: usize,
    },
    /// A sample cannot be read, or contradicts what the data set says of itself.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A sample that another rank was to read has such an error, which that rank reports.
    #[error("another rank could not read a sample")]
    OfAnotherRank,
}

/// A number that became infinite or NaN.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NonFinite {
    /// The loss of a step. The step was not done.
    #[error("the loss became {loss} in step {step} (epoch {epoch}); {}", loss_advice(.bad_sample))]
    Loss {
        /// The step, from 1 at the start of training.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
        /// The loss.
        loss: f64,
        /// The first sample of the batch that holds an infinite value or NaN, if one does.
        bad_sample: Option<String>,
    },
    /// The norm of a gradient that is to be clipped. The step was not done.
    #[error(
        "the norm of the gradient became {norm} in step {step} (epoch {epoch}), it cannot be clipped; a smaller learning \
         rate may help"
    )]
    Gradient {
        /// The step, from 1 at the start of training.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
        /// The norm.
        norm: f64,
    },
    /// A parameter or a running statistic.
    #[error(
        "parameters became infinite or NaN by the end of step {step} (epoch {epoch}), first in '{tensor}'; a smaller learning \
         rate may help"
    )]
    Parameters {
        /// The first tensor with such a value: parameters in layer order, then running statistics.
        tensor: String,
        /// The last step that was done, from 1 at the start of training.
        step: u64,
        /// The epoch, from 1.
        epoch: u32,
    },
    /// A metric.
    #[error("the metric {name} of {samples} samples is NaN")]
    Metric {
        /// The name of the metric.
        name: String,
        /// The samples that it is of.
        samples: usize,
    },
    /// The mean loss of an evaluation.
    #[error("the mean loss of {samples} evaluated samples is {loss}{}", evaluation_reason(.bad_sample))]
    Evaluation {
        /// Samples that were evaluated.
        samples: usize,
        /// The mean loss.
        loss: f64,
        /// The first sample that holds an infinite value or NaN, if one does.
        bad_sample: Option<String>,
    },
}

fn loss_advice(bad_sample: &Option<String>) -> String {
    match bad_sample {
        Some(sample) => format!("{sample} holds an infinite value or NaN"),
        None => "a smaller learning rate may help".to_string(),
    }
}

fn evaluation_reason(bad_sample: &Option<String>) -> String {
    let reason = |sample: &String| format!(": {sample} holds an infinite value or NaN");
    bad_sample.as_ref().map_or_else(String::new, reason)
}
