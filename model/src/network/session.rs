//! A network in use: folded parameters and memory, kept from call to call.

use super::{MemoryPlan, Network, Randomness, ShardMemory, State};
use crate::error::Error;
use crate::layer::{Mode, Preparation};
use crate::memory::Aligned;
use crate::test_time::TestTime;
use isograd_kernels::{Element, Isa};

/// Computes the outputs of a network for batches of samples, one batch after the other; made by
/// [`Network::session`]. A [`Predictor`](crate::Predictor) is for programs with several threads.
///
/// A layer with enough work runs on all threads of the rayon pool that [`predict`](Self::predict) is called
/// in. The bits are those of one thread.
#[derive(Debug)]
pub struct Session<'n, T> {
    network: &'n Network<T>,
    state: &'n State<T>,
    folded: Option<Aligned<T>>,
    prepared: Aligned<T>,
    memory: ShardMemory<T>,
    isa: Isa,
    test_time: TestTime,
}

impl<T: Element> Network<T> {
    /// A session for batches of at most `capacity` samples, with the parameters and running statistics of
    /// `state`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    ///
    /// # Panics
    ///
    /// When `capacity` is 0, or when `state` is that of a network with other parameters.
    pub fn session<'n>(
        &'n self,
        state: &'n State<T>,
        isa: Isa,
        capacity: usize,
    ) -> Result<Session<'n, T>, Error> {
        assert!(capacity > 0, "a session for no samples");
        state.assert_fits(self);
        let plan = self.plan_memory(capacity, &[Mode::Eval], 1, 1)?;
        let (folded, memory) = (self.folded_parameters(state)?, MemoryPlan::allocate(&plan, 1));
        let mut prepared = self.prepared_memory(&[Mode::Eval])?;
        let params = folded.as_deref().unwrap_or(state.params());
        self.prepare(&Preparation { isa, mode: Mode::Eval, params }, &mut prepared);
        let test_time = TestTime::default();
        Ok(Session { network: self, state, folded, prepared, memory, isa, test_time })
    }
}

impl<T: Element> Session<'_, T> {
    /// The same, whose outputs for a sample are those of the mean over its views.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the network's samples have no such views.
    pub fn with_test_time(self, test_time: TestTime) -> Result<Self, Error> {
        test_time.check(self.network.input_shape())?;
        Ok(Self { test_time, ..self })
    }

    /// The outputs `[output shape, n]` of the `n` samples `x` `[input shape, n]`, as in
    /// [`Network::predict`].
    ///
    /// # Panics
    ///
    /// When `n` is 0 or more than the capacity, or when `x` does not have `n` samples.
    pub fn predict(&mut self, x: &[T], n: usize) -> &[T] {
        assert!(n > 0, "a pass over no samples");
        let (network, memory) = (self.network, &mut self.memory);
        network.check_input(x, n);
        let threads = rayon::current_num_threads();
        memory.reserve_threads(threads);
        memory.set_threads(threads);
        network.start_pass(memory, Mode::Eval, n).copy_from_slice(x);
        let mut cx = network.context(self.state, self.isa, Mode::Eval, n, Randomness::default());
        cx.prepared = &self.prepared;
        if let Some(folded) = &self.folded {
            (cx.params, cx.folded) = (folded, true);
        }
        network.forward_views(&cx, memory, &mut [], self.test_time, network.all());
        network.output(memory)
    }
}
