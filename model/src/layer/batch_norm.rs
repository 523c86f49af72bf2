//! Batch normalisation.

use super::{Backward, BackwardReads, Context, Fans, Layer, LayerPlan, Memory, Mode, OutputKind};
use crate::error::BuildError;
use crate::initializer::Initializer;
use crate::shape::Shape;
use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, InputGradient, RunningStatistics, SavedStatistics,
    batch_norm_backward, batch_norm_eval, batch_norm_train,
};
use isograd_kernels::{Accum, Activation, Element, elementwise};
use std::ops::Range;

/// `y = gamma * (x - mean) / sqrt(var + epsilon) + beta` per channel (per feature of a vector).
///
/// The parameters gamma and beta are called `weight` and `bias`, as elsewhere in the field.
///
/// In training, mean and variance are those of the shard, over samples and pixels; they depend on the shard
/// size, never on the hardware. After each step the running statistics become `momentum * running + (1 -
/// momentum) * step`, where `step` is the mean over the shards, weighted by their samples, of the shards'
/// means and unbiased variances. In use, the running statistics take the place of the shard's.
///
/// # Shards of one value
///
/// One value has no variance. Of vectors, each sample has one value in a channel, so a shard needs at least
/// two samples:
///
/// - Where the last shard of a batch would have one sample, it shares with the shard before it: a batch of 33
///   in shards of 32 is cut into 17 and 16.
/// - Batches or shards of one sample are an error, as are batches of an odd number in shards of two.
/// - The last batch of an epoch may still have a single sample. That sample is normalised with the running
///   statistics, as in use, and changes neither of them.
///
/// # Source
///
/// Ioffe, Szegedy: "Batch normalization", ICML 2015. Per-shard statistics: Hoffer et al., "Train longer,
/// generalize better" (ghost batch normalisation), NeurIPS 2017.
#[derive(Debug, Clone)]
pub struct BatchNormalization {
    momentum: f64,
    epsilon: f64,
    channels: usize,
    gamma: Range<usize>,
    beta: Range<usize>,
    running_mean: Range<usize>,
    running_var: Range<usize>,
}

impl Default for BatchNormalization {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchNormalization {
    /// Momentum 0.9, epsilon 1e-5; gamma ones, beta zeros.
    pub fn new() -> Self {
        Self {
            momentum: 0.9,
            epsilon: 1e-5,
            channels: 0,
            gamma: 0..0,
            beta: 0..0,
            running_mean: 0..0,
            running_var: 0..0,
        }
    }

    /// Keeps another share of the old running statistics in a step, in [0, 1].
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Adds another number to the variance, above 0.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }
}

impl<T: Element> Layer<T> for BatchNormalization {
    fn kind(&self) -> &'static str {
        "BatchNormalization"
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let (name, value) = ("epsilon", self.epsilon);
            return Err(BuildError::OutOfRange { name, expected: "a positive number", value });
        }
        self.channels = input.c;
        let dims = [input.c];
        self.gamma = plan.parameter("weight", &dims, Initializer::Ones, Fans::ELEMENTWISE)?;
        self.beta = plan.parameter("bias", &dims, Initializer::Zeros, Fans::ELEMENTWISE)?;
        self.running_mean = plan.statistic("running_mean", &dims, Initializer::Zeros, self.momentum)?;
        self.running_var = plan.statistic("running_var", &dims, Initializer::Ones, self.momentum)?;
        plan.save(0, 2 * input.c);
        if input.h == 1 && input.w == 1 {
            plan.require_samples(2);
        }
        Ok(input)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let affine =
            Affine { gamma: Some(&cx.params[self.gamma.clone()]), beta: Some(&cx.params[self.beta.clone()]) };
        let running = RunningStatistics {
            mean: &cx.statistics[self.running_mean.clone()],
            var: &cx.statistics[self.running_var.clone()],
        };
        let has_one_value = x.len() == self.channels;
        if cx.mode == Mode::Eval || has_one_value {
            batch_norm_eval(cx.isa, x, affine, running, self.epsilon, Activation::Identity, y);
        }
        if cx.mode == Mode::Eval {
            return;
        }
        let (mean, inv_std) = memory.saved.split_at_mut(self.channels);
        let var = &mut memory.statistics[self.running_var.clone()];
        let share = cx.n as f64 / cx.global_batch_size as f64;
        let count = (x.len() / self.channels) as f64;
        if has_one_value {
            mean.copy_from_slice(running.mean);
            for (inv_std, var) in inv_std.iter_mut().zip(running.var) {
                *inv_std = T::from_f64(1.0 / (var.to_f64() + self.epsilon).sqrt());
            }
            // The running statistics stand for this shard in the mean of the step, so that they do not move.
            var.copy_from_slice(running.var);
            elementwise::scale(cx.isa, T::from_f64(share), var);
        } else {
            let statistics = BatchStatistics { mean: &mut *mean, var: &mut *var, inv_std };
            batch_norm_train(cx.isa, x, affine, self.epsilon, Activation::Identity, y, statistics);
            elementwise::scale(cx.isa, T::from_f64(share * (count / (count - 1.0))), var);
        }
        let running_mean = &mut memory.statistics[self.running_mean.clone()];
        running_mean.copy_from_slice(mean);
        elementwise::scale(cx.isa, T::from_f64(share), running_mean);
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { x, dy, dx, mut dw, .. } = tensors;
        let gamma = &cx.params[self.gamma.clone()];
        let (mean, inv_std) = memory.saved.split_at(self.channels);
        let (dgamma, dbeta) = dw.of(&(self.gamma.start..self.beta.end)).split_at_mut(self.channels);
        if x.len() == self.channels {
            // The running statistics are constants: they do not depend on x.
            dbeta.copy_from_slice(dy);
            for (c, dgamma) in dgamma.iter_mut().enumerate() {
                *dgamma = dy[c] * ((x[c] - mean[c]) * inv_std[c]);
            }
            for (c, dx) in dx.into_iter().flatten().enumerate() {
                *dx = dy[c] * (gamma[c] * inv_std[c]);
            }
            return;
        }
        let saved = SavedStatistics { mean, inv_std };
        let accum = Accum::Replace;
        let gradient = AffineGradient { accum, dgamma: Some(dgamma), dbeta: Some(dbeta) };
        let dx = dx.map(|dx| InputGradient { accum, dx });
        batch_norm_backward(cx.isa, x, dy, Some(gamma), saved, dx, gradient);
    }
}
