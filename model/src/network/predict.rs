//! One pass over one batch, outside of a training run.

use super::{Network, ShardMemory, State};
use crate::layer::{Context, Mode};
use crate::loss::{Gradient, Loss};
use isograd_kernels::{Element, Isa};

impl<T: Element> Network<T> {
    /// The outputs `[output shape, n]` of the `n` samples `x` `[input shape, n]`, computed as in use: dropout passes
    /// everything on, batch normalisation takes its running statistics. Allocates its memory anew in each call.
    ///
    /// ```
    /// use isograd_model::{Network, kernels::Isa, layer::*, layers};
    /// let network = Network::<f32>::build(layers![Input::vector(2), Dense::new(1)])?;
    /// let mut state = network.initial_state(0)?;
    /// state.params_mut().copy_from_slice(&[2.0, 3.0, 0.5]); // weights, bias
    /// let y = network.predict(&state, Isa::best(), &[1.0, 10.0, 1.0, 0.0], 2); // samples (1, 1) and (10, 0)
    /// assert_eq!(y, [5.5, 20.5]);
    /// # Ok::<(), isograd_model::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When `n` is 0, when `x` has not `n` samples, when `state` is that of a network with other parameters, or when there is
    /// no memory for the pass.
    pub fn predict(&self, state: &State<T>, isa: Isa, x: &[T], n: usize) -> Vec<T> {
        let mut memory = self.memory_of(state, x, n);
        self.forward(&self.context(state, isa, Mode::Eval, n), &mut memory, &mut [], self.all());
        self.output(&memory, n).to_vec()
    }

    /// The mean loss of the samples `x` `[input shape, n]`, `n` being the number of `labels`, and its gradient by all
    /// parameters, in their order in the flat buffer. Computed as in a training step that has this one shard: batch
    /// normalisation takes the statistics of `x`, dropout the masks of the first `n` samples of epoch 0 under seed 0.
    /// Allocates its memory anew in each call.
    ///
    /// # Panics
    ///
    /// When there are no labels, when `x` has not one sample for each, when a label is not below
    /// [`Loss::most_classes`], when `state` is that of a network with other parameters, or when there is no memory for the pass.
    pub fn loss_and_gradients(
        &self,
        state: &State<T>,
        isa: Isa,
        loss: Loss,
        x: &[T],
        labels: &[u32],
    ) -> (f64, Vec<T>) {
        let n = labels.len();
        let mut memory = self.memory_of(state, x, n);
        let outputs = self.output_shape().elements();
        for (sample, label) in labels.iter().enumerate() {
            let is_possible = (*label as usize) < loss.most_classes(outputs);
            assert!(is_possible, "label {label} of sample {sample} with {outputs} outputs");
        }
        memory.labels.extend_from_slice(labels);

        let (cx, layers) = (self.context(state, isa, Mode::Train, n), loss.layers(self));
        let mut statistics = vec![T::ZERO; self.statistics_count()];
        let mut dw = vec![T::ZERO; self.parameter_count()];
        self.forward(&cx, &mut memory, &mut statistics, layers);
        let sum = loss.evaluate(&cx, self, &mut memory, Gradient::Wanted);
        self.backward(&cx, &mut memory, dw.as_mut_slice(), layers);
        (sum / n as f64, dw)
    }

    /// Memory for one pass of the `n` samples `x`, which are its input.
    fn memory_of(&self, state: &State<T>, x: &[T], n: usize) -> ShardMemory<T> {
        assert!(n > 0, "a pass over no samples");
        let len = self.input_shape().elements() * n;
        assert_eq!(
            x.len(),
            len,
            "x has {} elements, {n} samples of {} have {len}",
            x.len(),
            self.input_shape()
        );
        state.assert_fits(self);
        self.check_shard_memory(n, 1).unwrap_or_else(|error| panic!("{error}"));
        let mut memory = self.shard_memory(n);
        self.input_mut(&mut memory, n).copy_from_slice(x);
        memory
    }

    /// A step whose only shard has `n` samples.
    fn context<'a>(&self, state: &'a State<T>, isa: Isa, mode: Mode, n: usize) -> Context<'a, T> {
        Context {
            isa,
            mode,
            input: self.input_shape(),
            n,
            global_batch_size: n,
            params: state.params(),
            statistics: state.statistics(),
            seed: 0,
            epoch: 0,
            position: 0,
        }
    }
}
