//! The forward pass in use over several views of the same samples.

use super::{Network, ShardMemory};
use crate::layer::{Context, Fusible};
use crate::test_time::TestTime;
use isograd_kernels::{Element, elementwise};

/// Memory for several views. It is kept from shard to shard.
#[derive(Debug)]
pub(super) struct ViewMemory<T> {
    input: Vec<T>,
    sum: Vec<T>,
}

impl<T> Default for ViewMemory<T> {
    fn default() -> Self {
        Self { input: Vec::new(), sum: Vec::new() }
    }
}

impl<T: Element> Network<T> {
    /// As [`forward`](Self::forward) in use, for the mean of the outputs for the views of `test_time`:
    /// `steps` are all, or all but a last softmax or sigmoid. The mean is that of what goes into such a
    /// layer.
    pub(crate) fn forward_views(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        statistics: &mut [T],
        test_time: TestTime,
        steps: usize,
    ) {
        if test_time == TestTime::Plain {
            return self.forward(cx, memory, statistics, steps);
        }
        let is_before_last = matches!(self.last_function(), Some(Fusible::Softmax | Fusible::Sigmoid));
        let (end, value) = match is_before_last {
            true => (self.without_last(), self.graph.steps[self.without_last()].reads[0]),
            false => (self.all(), self.output),
        };
        let [input, output] = [0, value].map(|value| self.data_region(memory, value).elements());
        let ViewMemory { input: mut samples, mut sum } = std::mem::take(&mut memory.views);
        samples.clear();
        samples.extend_from_slice(&memory.arena[input.clone()]);
        sum.clear();
        sum.resize(output.len(), T::ZERO);
        let all = test_time.views();
        for view in all {
            view.write(self.input_shape(), cx.n, &samples, &mut memory.arena[input.clone()]);
            self.forward(cx, memory, statistics, end);
            elementwise::axpy(cx.isa, T::ONE, &memory.arena[output.clone()], &mut sum);
        }
        elementwise::scale(cx.isa, T::from_f64(1.0 / all.len() as f64), &mut sum);
        memory.arena[output].copy_from_slice(&sum);
        memory.views = ViewMemory { input: samples, sum };
        self.forward_range(cx, memory, statistics, end..steps);
    }
}
