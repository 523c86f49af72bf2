//! Single passes outside of a training run: the outputs of a batch, and the gradients of a batch.

use super::{MemoryPlan, Network, ShardMemory, State};
use crate::layer::{Context, Mode, Preparation};
use crate::loss::{self, Gradient, Loss};
use crate::targets::Targets;
use isograd_kernels::{Element, Isa};

/// Which random numbers a pass draws, as in dropout: those of the samples from `position` on in epoch `epoch`
/// of a training run with `seed`. The default is the start of the first epoch under seed 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Randomness {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Position of the first sample in the order of the epoch.
    pub position: u64,
}

impl<T: Element> Network<T> {
    /// The outputs `[output shape, n]` of the `n` samples `x` `[input shape, n]`, computed as in use: dropout
    /// passes all elements on, batch normalisation takes the running statistics of `state`. Allocates its
    /// memory in each call; a [`Session`](super::Session) keeps it.
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
    /// When `n` is 0, when `x` does not have `n` samples, when `state` is that of a network with other
    /// parameters, or when there is no memory for the pass.
    pub fn predict(&self, state: &State<T>, isa: Isa, x: &[T], n: usize) -> Vec<T> {
        assert!(n > 0, "a pass over no samples");
        self.check_input(x, n);
        let session = self.session(state, isa, n);
        session.unwrap_or_else(|error| panic!("{error}")).predict(x, n).to_vec()
    }

    /// The mean `loss` of the samples `x` `[input shape, n]` with their `n` `targets`, and its gradient by
    /// all parameters, in their order in the flat buffer. Allocates its memory in each call.
    ///
    /// The pass is that of a training step whose only shard is `x`: batch normalisation takes the statistics
    /// of `x` (the running statistics of `state` where a channel of `x` has only one value), and dropout
    /// draws the masks that `randomness` names. `state` stays as it is, running statistics included. Unlike a
    /// [`Trainer`](crate::Trainer), it takes any loss with any last layer: probabilities that are none are
    /// clamped.
    ///
    /// ```
    /// use isograd_model::loss::MeanSquaredError;
    /// use isograd_model::{Network, Randomness, kernels::Isa, layer::*, layers};
    /// let network = Network::<f64>::build(layers![Input::vector(1), Dense::new(1).without_bias()])?;
    /// let mut state = network.initial_state(0)?;
    /// state.params_mut()[0] = 3.0;
    /// let (loss, gradients) = network.loss_and_gradients(
    ///     &state, Isa::best(), &MeanSquaredError, Randomness::default(), &[2.0], &[1],
    /// );
    /// assert_eq!((loss, gradients), (25.0, vec![20.0])); // (3 * 2 - 1)^2 and 2 * (3 * 2 - 1) * 2
    /// # Ok::<(), isograd_model::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When there are no targets, when `x` does not have one sample for each, when a label is not below
    /// [`Loss::most_classes`], when the loss does not take such targets, when `state` is that of a network
    /// with other parameters, or when there is no memory for the pass.
    pub fn loss_and_gradients<'a>(
        &self,
        state: &State<T>,
        isa: Isa,
        loss: &dyn Loss<T>,
        randomness: Randomness,
        x: &[T],
        targets: impl Into<Targets<'a, T>>,
    ) -> (f64, Vec<T>)
    where
        T: 'a,
    {
        let (targets, outputs) = (targets.into(), self.output_shape().elements());
        let n = targets.samples(outputs);
        let mut memory = self.memory_of(state, Mode::Train, x, n);
        if let Targets::Classes(labels) = targets {
            let classes = loss.most_classes(outputs);
            for (sample, label) in labels.iter().enumerate() {
                assert!(
                    (*label as usize) < classes,
                    "label {label} of sample {sample} with {outputs} outputs"
                );
            }
            memory.labels.extend_from_slice(labels);
        }

        let mode = Mode::Train;
        let mut prepared = self.prepared_memory(&[mode]).unwrap_or_else(|error| panic!("{error}"));
        self.prepare(&Preparation { isa, mode, params: state.params() }, &mut prepared);
        let (cx, steps) = (self.context(state, isa, mode, n, randomness), loss::steps(loss, self));
        let cx = Context { prepared: &prepared, ..cx };
        let mut statistics = vec![T::ZERO; self.statistics_count()];
        let mut dw = vec![T::ZERO; self.parameter_count()];
        self.forward(&cx, &mut memory, &mut statistics, steps);
        if let Targets::Values(values) = targets {
            assert!(loss.takes_shares(), "{} does not take targets that are values", loss.name());
            self.target_values(&mut memory).copy_from_slice(values);
        }
        let sum = loss::evaluate(loss, &cx, self, &mut memory, Gradient::Wanted);
        self.backward(&cx, &mut memory, dw.as_mut_slice(), steps);
        (sum / n as f64, dw)
    }

    /// Memory for one pass in `mode` over the `n` samples `x`, with `x` as the network's input.
    fn memory_of(&self, state: &State<T>, mode: Mode, x: &[T], n: usize) -> ShardMemory<T> {
        assert!(n > 0, "a pass over no samples");
        self.check_input(x, n);
        state.assert_fits(self);
        let plan = self.plan_memory(n, &[mode], 1, 1).unwrap_or_else(|error| panic!("{error}"));
        let mut memory = MemoryPlan::allocate(&plan, 1);
        self.start_pass(&mut memory, mode, n).copy_from_slice(x);
        memory
    }

    /// Panics if `x` are not `n` samples.
    pub(super) fn check_input(&self, x: &[T], n: usize) {
        let shape = self.input_shape();
        let len = shape.elements().checked_mul(n);
        assert_eq!(Some(x.len()), len, "x has {} elements, not those of {n} samples of {shape}", x.len());
    }

    /// The context of a step whose only shard has `n` samples, without what layers have prepared for it.
    pub(crate) fn context<'a>(
        &self,
        state: &'a State<T>,
        isa: Isa,
        mode: Mode,
        n: usize,
        randomness: Randomness,
    ) -> Context<'a, T> {
        let Randomness { seed, epoch, position } = randomness;
        Context {
            isa,
            mode,
            has_backward: mode == Mode::Train,
            input: self.input_shape(),
            n,
            global_batch_size: n,
            params: state.params(),
            statistics: state.statistics(),
            seed,
            epoch,
            position,
            prepared: &[],
            folded: false,
            addition: None,
        }
    }
}
