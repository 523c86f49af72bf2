//! Batch normalisation.

use super::{
    Backward, BackwardReads, Channels, Coefficients, Context, Fans, Fusion, Gradients, Layer, LayerPlan,
    Memory, Mode, Options, OutputKind, part,
};
use crate::error::BuildError;
use crate::initializer::Initializer;
use crate::shape::Shape;
use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, GradientSums, InputGradient, Moments, Normalisation,
    SavedStatistics, batch_norm_affine_gradient, batch_norm_backward, batch_norm_gradient_sums,
    batch_norm_input_gradient, batch_norm_moments, batch_norm_normalise, batch_norm_train,
};
use isograd_kernels::{Accum, Activation, Element, Isa, elementwise};
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
/// With [`sync_stats`](Self::sync_stats), mean and variance are those of the whole batch over all shards and
/// ranks, forward and backward, and the running statistics take its mean and unbiased variance. The shards
/// of a step then wait for each other twice at the layer, and each needs memory of its own until the step
/// ends.
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
/// With `sync_stats`, only the last rule is needed.
///
/// # Source
///
/// Ioffe, Szegedy: "Batch normalization", ICML 2015. Per-shard statistics: Hoffer et al., "Train longer,
/// generalize better" (ghost batch normalisation), NeurIPS 2017.
#[derive(Debug, Clone)]
pub struct BatchNormalization {
    momentum: f64,
    epsilon: f64,
    use_scale: bool,
    use_shift: bool,
    sync_stats: bool,
    channels: usize,
    gamma: Option<Range<usize>>,
    beta: Option<Range<usize>>,
    running_mean: Range<usize>,
    running_var: Range<usize>,
    /// The function of the output: a ReLU that stands behind the layer is applied here.
    activation: Activation,
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
            use_scale: true,
            use_shift: true,
            sync_stats: false,
            channels: 0,
            gamma: None,
            beta: None,
            running_mean: 0..0,
            running_var: 0..0,
            activation: Activation::Identity,
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

    /// Leaves gamma out: it is 1.
    #[must_use]
    pub fn without_scale(self) -> Self {
        Self { use_scale: false, ..self }
    }

    /// Leaves beta out: it is 0.
    #[must_use]
    pub fn without_shift(self) -> Self {
        Self { use_shift: false, ..self }
    }

    /// Normalises with the statistics of the whole batch in place of the shard's.
    #[must_use]
    pub fn sync_stats(self) -> Self {
        Self { sync_stats: true, ..self }
    }

    /// Gamma and beta of `channels`.
    fn affine<'a, T>(&self, params: &'a [T], channels: &Range<usize>) -> Affine<'a, T> {
        let of = |range: &Option<Range<usize>>| {
            range.as_ref().map(|range| &params[range.start + channels.start..range.start + channels.end])
        };
        Affine { gamma: of(&self.gamma), beta: of(&self.beta) }
    }

    /// Whether a pass takes the running statistics in the place of the batch's: in use, and where a channel
    /// has a single value.
    fn uses_running_statistics<T>(&self, cx: &Context<'_, T>) -> bool {
        cx.mode == Mode::Eval || self.count(cx) == 1
    }

    /// The values of a channel that are normalised together in training.
    fn count<T>(&self, cx: &Context<'_, T>) -> usize {
        let samples = if self.sync_stats { cx.global_batch_size } else { cx.n };
        samples * cx.input.h * cx.input.w
    }

    /// The normalisation of `channels`, whose statistics are among the `saved` ones of all channels.
    fn normalisation<'a, T>(
        &self,
        cx: &Context<'a, T>,
        saved: &'a [T],
        channels: &Range<usize>,
    ) -> Normalisation<'a, T> {
        let (mean, inv_std) = saved.split_at(self.channels);
        Normalisation {
            affine: self.affine(cx.params, channels),
            saved: SavedStatistics { mean: &mean[channels.clone()], inv_std: &inv_std[channels.clone()] },
            activation: self.activation,
        }
    }

    /// The running statistics of `channels`: means and variances.
    fn running<'a, T>(&self, statistics: &'a [T], channels: &Range<usize>) -> [&'a [T]; 2] {
        let of = |range: &Range<usize>| &statistics[range.start + channels.start..range.start + channels.end];
        [of(&self.running_mean), of(&self.running_var)]
    }

    /// The forward pass of `channels`.
    fn forward_channels<T: Element>(
        &self,
        cx: &Context<'_, T>,
        channels: &Range<usize>,
        x: &[T],
        sums: &[f64],
        results: Results<'_, T>,
    ) {
        let Results { y, mean, inv_std, running_mean, running_var } = results;
        let affine = self.affine(cx.params, channels);
        let plane = x.len() / self.channels;
        let finish = cx.finish(self.activation).part(channels.start * plane..channels.end * plane);
        let x = part(x, self.channels, channels);
        let share = cx.n as f64 / cx.global_batch_size as f64;
        let [old_mean, old_var] = self.running(cx.statistics, channels);
        if self.uses_running_statistics(cx) {
            mean.copy_from_slice(old_mean);
            for (inv_std, var) in inv_std.iter_mut().zip(old_var) {
                *inv_std = T::from_f64(1.0 / (var.to_f64() + self.epsilon).sqrt());
            }
            batch_norm_normalise(cx.isa, x, affine, SavedStatistics { mean, inv_std }, finish, y);
            if cx.mode == Mode::Eval {
                return;
            }
            // The running statistics stand for this shard in the mean of the step, so that they do not move.
            running_var.copy_from_slice(old_var);
            elementwise::scale(cx.isa, T::from_f64(share), running_var);
        } else if self.sync_stats {
            let count = self.count(cx) as f64;
            let sums = &sums.as_chunks::<2>().0[channels.clone()];
            for (channel, sums) in sums.iter().enumerate() {
                let moments = Moments::from_sums(count, old_mean[channel].to_f64(), *sums);
                mean[channel] = T::from_f64(moments.mean);
                inv_std[channel] = T::from_f64(moments.inverse_std(self.epsilon));
                running_var[channel] = T::from_f64(share * (moments.squares / (count - 1.0)));
            }
            batch_norm_normalise(cx.isa, x, affine, SavedStatistics { mean, inv_std }, finish, y);
        } else {
            let count = self.count(cx) as f64;
            let statistics = BatchStatistics { mean: &mut *mean, var: &mut *running_var, inv_std };
            batch_norm_train(cx.isa, x, affine, self.epsilon, finish, y, statistics);
            elementwise::scale(cx.isa, T::from_f64(share * (count / (count - 1.0))), running_var);
        }
        running_mean.copy_from_slice(mean);
        elementwise::scale(cx.isa, T::from_f64(share), running_mean);
    }
}

/// What the forward pass of some channels writes: the output, what the backward pass reads, and the shard's
/// share of the running statistics.
struct Results<'a, T> {
    y: &'a mut [T],
    mean: &'a mut [T],
    inv_std: &'a mut [T],
    running_mean: &'a mut [T],
    running_var: &'a mut [T],
}

/// The gradients where the statistics are constants, which do not depend on x.
fn backward_of_constants<T: Element>(
    isa: Isa,
    x: &[T],
    dy: &[T],
    forward: Normalisation<'_, T>,
    mut dx: Option<InputGradient<'_, T>>,
    mut gradient: AffineGradient<'_, T>,
) {
    let Normalisation { affine, saved, activation } = forward;
    let channels = saved.mean.len();
    let m = x.len() / channels;
    for c in 0..channels {
        let block = c * m..(c + 1) * m;
        let (x, dy) = (&x[block.clone()], &dy[block.clone()]);
        let one = |values: Option<&'_ [T]>| values.map(|values| [values[c]]);
        let (gamma, beta) = (one(affine.gamma), one(affine.beta));
        let affine = Affine {
            gamma: gamma.as_ref().map(|gamma| &gamma[..]),
            beta: beta.as_ref().map(|beta| &beta[..]),
        };
        let saved = SavedStatistics { mean: &saved.mean[c..=c], inv_std: &saved.inv_std[c..=c] };
        let forward = Normalisation { affine, saved, activation };
        let mut sums = [[0.0; 2]];
        batch_norm_gradient_sums(isa, x, dy, forward, &mut sums);
        let of_channel = AffineGradient {
            accum: gradient.accum,
            dgamma: gradient.dgamma.as_deref_mut().map(|dgamma| &mut dgamma[c..=c]),
            dbeta: gradient.dbeta.as_deref_mut().map(|dbeta| &mut dbeta[c..=c]),
        };
        batch_norm_affine_gradient(&sums, saved.inv_std, of_channel);
        if let Some(InputGradient { accum, dx }) = &mut dx {
            let nothing = GradientSums { count: 1.0, sums: &[[0.0; 2]] };
            let dx = InputGradient { accum: *accum, dx: &mut dx[block] };
            batch_norm_input_gradient(isa, x, dy, forward, nothing, dx);
        }
    }
}

impl<T: Element> Layer<T> for BatchNormalization {
    fn kind(&self) -> &'static str {
        "BatchNormalization"
    }

    fn sync_stats(&mut self) -> usize {
        self.sync_stats = true;
        1
    }

    fn build(&mut self, input: Shape, plan: &mut LayerPlan) -> Result<Shape, BuildError> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let (name, value) = ("epsilon", self.epsilon);
            return Err(BuildError::OutOfRange { name, expected: "a positive number", value });
        }
        self.channels = input.c;
        let dims = [input.c];
        if self.use_scale {
            self.gamma = Some(plan.parameter("weight", &dims, Initializer::Ones, Fans::ELEMENTWISE)?);
        }
        if self.use_shift {
            self.beta = Some(plan.parameter("bias", &dims, Initializer::Zeros, Fans::ELEMENTWISE)?);
        }
        self.running_mean = plan.statistic("running_mean", &dims, Initializer::Zeros, self.momentum)?;
        self.running_var = plan.statistic("running_var", &dims, Initializer::Ones, self.momentum)?;
        plan.save(0, 2 * input.c);
        if input.h == 1 && input.w == 1 && !self.sync_stats {
            plan.require_samples(2);
        }
        Ok(input)
    }

    fn output_kind(&self, _: OutputKind, _: Shape) -> OutputKind {
        OutputKind::Scores
    }

    fn options(&self) -> Option<Options> {
        let default = Self::new();
        let options = Options::new()
            .with_unless("momentum", self.momentum, default.momentum)
            .with_unless("epsilon", self.epsilon, default.epsilon)
            .with_unless("scale", self.use_scale, true)
            .with_unless("shift", self.use_shift, true)
            .with_unless("sync_stats", self.sync_stats, false);
        Some(options)
    }

    fn backward_reads(&self) -> BackwardReads {
        BackwardReads::X
    }

    fn can_add_to_dx(&self) -> bool {
        true
    }

    fn can_add_to_y(&self) -> bool {
        self.activation == Activation::Identity
    }

    fn fuse(&mut self, fusion: Fusion) -> bool {
        match fusion {
            Fusion::Activation(activation) => self.activation = activation,
            _ => return false,
        }
        true
    }

    fn forward(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let Memory { saved, statistics, sums, mut team, .. } = memory;
        let (mean, inv_std) = saved.split_at_mut(self.channels);
        // In use, there are no shares. The variances lie behind the means.
        let (running_mean, running_var) = match cx.mode {
            Mode::Train => {
                statistics[self.running_mean.start..self.running_var.end].split_at_mut(self.channels)
            }
            Mode::Eval => Default::default(),
        };
        let outputs = [y, mean, inv_std, running_mean, running_var];
        team.channels(Channels::new(self.channels, x.len()), &mut [], outputs, |channels, outputs, _| {
            let [y, mean, inv_std, running_mean, running_var] = outputs;
            let results = Results { y, mean, inv_std, running_mean, running_var };
            self.forward_channels(cx, &channels, x, sums, results);
        });
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn forward_again(&self, cx: &Context<'_, T>, x: &[T], y: &mut [T], memory: Memory<'_, T>) {
        let (saved, mut team) = (&*memory.saved, memory.team);
        team.channels(Channels::new(self.channels, x.len()), &mut [], [y], |channels, [y], _| {
            let Normalisation { affine, saved, activation } = self.normalisation(cx, saved, &channels);
            batch_norm_normalise(cx.isa, part(x, self.channels, &channels), affine, saved, activation, y);
        });
    }

    fn backward(&self, cx: &Context<'_, T>, tensors: Backward<'_, T>, memory: Memory<'_, T>) {
        let Backward { x, dy, dx, accum, mut dw, .. } = tensors;
        let Memory { saved, sums, mut team, .. } = memory;
        let (saved, has_dx, dx) = (&*saved, dx.is_some(), dx.unwrap_or_default());
        let is_synchronous = self.sync_stats && !self.uses_running_statistics(cx);
        // Then the gradients of gamma and beta are there.
        let (dgamma, dbeta) = match is_synchronous {
            true => (None, None),
            false => affine_gradients(&mut dw, &self.gamma, &self.beta),
        };
        let (has_dgamma, has_dbeta) = (dgamma.is_some(), dbeta.is_some());
        let outputs = [dx, dgamma.unwrap_or_default(), dbeta.unwrap_or_default()];
        team.channels(Channels::new(self.channels, x.len()), &mut [], outputs, |channels, outputs, _| {
            let [dx, dgamma, dbeta] = outputs;
            let forward = self.normalisation(cx, saved, &channels);
            let (x, dy) = (part(x, self.channels, &channels), part(dy, self.channels, &channels));
            let dx = has_dx.then_some(InputGradient { accum, dx });
            if is_synchronous {
                let sums = &sums.as_chunks::<2>().0[channels];
                if let Some(dx) = dx {
                    let sums = GradientSums { count: self.count(cx) as f64, sums };
                    batch_norm_input_gradient(cx.isa, x, dy, forward, sums, dx);
                }
                return;
            }
            let (dgamma, dbeta) = (has_dgamma.then_some(dgamma), has_dbeta.then_some(dbeta));
            let gradient = AffineGradient { accum: Accum::Replace, dgamma, dbeta };
            if self.uses_running_statistics(cx) {
                backward_of_constants(cx.isa, x, dy, forward, dx, gradient);
            } else {
                batch_norm_backward(cx.isa, x, dy, forward, dx, gradient);
            }
        });
    }

    fn affine_in_use(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn coefficients(&self, params: &[T], statistics: &[T]) -> Coefficients {
        let Affine { gamma, beta } = self.affine(params, &(0..self.channels));
        let of =
            |values: Option<&[T]>, c: usize, default| values.map_or(default, |values| values[c].to_f64());
        let running = self.running_mean.clone().zip(self.running_var.clone()).enumerate();
        let (factors, addends) = running
            .map(|(c, (mean, var))| {
                let inv_std = 1.0 / (statistics[var].to_f64() + self.epsilon).sqrt();
                let factor = of(gamma, c, 1.0) * inv_std;
                (factor, of(beta, c, 0.0) - statistics[mean].to_f64() * factor)
            })
            .unzip();
        Coefficients { factors, addends }
    }

    fn shared_sums(&self) -> usize {
        if self.sync_stats { 2 * self.channels } else { 0 }
    }

    /// For each channel, `sum(x - centre)` and `sum((x - centre)^2)`. The centre is the running mean,
    /// which all shards know: near the mean of the batch, nothing cancels.
    fn forward_sums(&self, cx: &Context<'_, T>, x: &[T], _: Memory<'_, T>, sums: &mut [f64]) {
        let centres = &cx.statistics[self.running_mean.clone()];
        let channels = x.chunks_exact(x.len() / self.channels).zip(centres);
        for ((x, centre), sums) in channels.zip(sums.as_chunks_mut::<2>().0) {
            let mut moments = [Moments::default()];
            batch_norm_moments(cx.isa, x, &mut moments);
            *sums = moments[0].sums(centre.to_f64());
        }
    }

    /// For each channel, `sum(dy)` and `sum(dy * (x - mean))`. The shard's part of the gradients of gamma and
    /// beta is made of its own sums, so it is written here.
    fn backward_sums(
        &self,
        cx: &Context<'_, T>,
        tensors: Backward<'_, T>,
        memory: Memory<'_, T>,
        sums: &mut [f64],
    ) {
        let Backward { x, dy, mut dw, .. } = tensors;
        let forward = self.normalisation(cx, memory.saved, &(0..self.channels));
        let sums = sums.as_chunks_mut::<2>().0;
        batch_norm_gradient_sums(cx.isa, x, dy, forward, sums);
        let (dgamma, dbeta) = affine_gradients(&mut dw, &self.gamma, &self.beta);
        let gradient = AffineGradient { accum: Accum::Replace, dgamma, dbeta };
        batch_norm_affine_gradient(sums, forward.saved.inv_std, gradient);
    }
}

/// The gradients of gamma and beta, which lie one behind the other.
fn affine_gradients<'g, T>(
    dw: &'g mut Gradients<'_, T>,
    gamma: &Option<Range<usize>>,
    beta: &Option<Range<usize>>,
) -> (Option<&'g mut [T]>, Option<&'g mut [T]>) {
    match (gamma, beta) {
        (Some(gamma), Some(beta)) => {
            let (dgamma, dbeta) = dw.of(&(gamma.start..beta.end)).split_at_mut(gamma.len());
            (Some(dgamma), Some(dbeta))
        }
        (Some(gamma), None) => (Some(dw.of(gamma)), None),
        (None, Some(beta)) => (None, Some(dw.of(beta))),
        (None, None) => (None, None),
    }
}
