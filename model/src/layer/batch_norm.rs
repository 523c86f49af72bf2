//! Batch normalisation.

use super::{Backward, Context, Layer, LayerPlan, Memory, Mode};
use crate::error::BuildError;
use crate::initializer::Initializer;
use crate::shape::Shape;
use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, RunningStatistics, SavedStatistics, batch_norm_backward,
    batch_norm_eval, batch_norm_train,
};
use isograd_kernels::{Accum, Activation, Element, elementwise};
use std::ops::Range;

/// `y = gamma * (x - mean) / sqrt(var + epsilon) + beta` per channel (per feature of a vector).
///
/// In training, mean and variance are those of the shard, over samples and pixels; they depend on the shard size, never on
/// the hardware. After each step the running statistics become `momentum * running + (1 - momentum) * step`, where `step` is
/// the mean over the shards, weighted by their samples, of the shards' means and unbiased variances. In use, the running
/// statistics take the place of the shard's.
///
/// # Source
///
/// Ioffe, Szegedy: "Batch normalization", ICML 2015. Per-shard statistics: Hoffer et al., "Train longer, generalize better"
/// (ghost batch normalisation), NeurIPS 2017.
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

    /// With another share of the old running statistics, in [0, 1].
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// With another addend of the variance, above 0.
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
        if !(0.0..=1.0).contains(&self.momentum) {
            let (name, value) = ("the momentum", self.momentum);
            return Err(BuildError::OutOfRange { name, expected: "between 0 and 1", value });
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let (name, value) = ("epsilon", self.epsilon);
            return Err(BuildError::OutOfRange { name, expected: "a positive number", value });
        }
        self.channels = input.c;
        let dims = [input.c];
        self.gamma = plan.parameter("gamma", &dims, Initializer::Ones, [1, 1])?;
        self.beta = plan.parameter("beta", &dims, Initializer::Zeros, [1, 1])?;
        let retained = self.momentum;
        self.running_mean = plan.statistic("running_mean", &dims, Initializer::Zeros, retained)?;
        self.running_var = plan.statistic("running_var", &dims, Initializer::Ones, retained)?;
        plan.save(0, 2 * input.c);
        Ok(input)
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let affine = Affine { gamma: &cx.params[self.gamma.clone()], beta: &cx.params[self.beta.clone()] };
        if cx.mode == Mode::Eval {
            let running = RunningStatistics {
                mean: &cx.statistics[self.running_mean.clone()],
                var: &cx.statistics[self.running_var.clone()],
            };
            batch_norm_eval(cx.isa, x, affine, running, self.epsilon, Activation::Identity, y);
            return;
        }
        let (mean, inv_std) = memory.saved.split_at_mut(self.channels);
        let var = &mut memory.statistics[self.running_var.clone()];
        let statistics = BatchStatistics { mean: &mut *mean, var: &mut *var, inv_std };
        batch_norm_train(cx.isa, x, affine, self.epsilon, y, statistics);

        let share = cx.n as f64 / cx.global_batch_size as f64;
        let count = (x.len() / self.channels) as f64;
        let unbiased = count / (count - 1.0).max(1.0);
        elementwise::scale(cx.isa, T::from_f64(share * unbiased), var);
        let running_mean = &mut memory.statistics[self.running_mean.clone()];
        running_mean.copy_from_slice(mean);
        elementwise::scale(cx.isa, T::from_f64(share), running_mean);
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { x, dy, dx, mut dw, .. } = tensors;
        let gamma = &cx.params[self.gamma.clone()];
        let (mean, inv_std) = memory.saved.split_at(self.channels);
        let saved = SavedStatistics { mean, inv_std };
        let (dgamma, dbeta) = dw.of(&(self.gamma.start..self.beta.end)).split_at_mut(self.channels);
        let gradient = AffineGradient { dgamma, dbeta };
        batch_norm_backward(cx.isa, x, dy, gamma, saved, Accum::Replace, dx, gradient);
    }
}
