//! Recomputation: outputs of cheap layers are computed again in the backward pass, instead of being kept for
//! it.
//!
//! An output is computed again before the first backward step that reads it, from an input that is kept
//! anyway, since the layer's own backward pass reads it later. So every output is computed at most twice, and
//! the numbers are the same.

use super::Network;
use super::graph::{Op, Step};
use crate::layer::BackwardReads;
use isograd_kernels::Element;

/// What is computed again; nothing by default.
#[derive(Debug, Default)]
pub(super) struct Recomputation {
    /// For each step, the steps that run again before its backward pass.
    before: Vec<Vec<usize>>,
    /// By value, whether it owns a buffer that is computed again.
    buffers: Vec<bool>,
}

impl Recomputation {
    /// The steps that run again before the backward pass of step `index`.
    pub(super) fn before(&self, index: usize) -> &[usize] {
        self.before.get(index).map_or(&[], Vec::as_slice)
    }

    /// Whether the buffer that `value` owns is computed again.
    pub(super) fn has(&self, value: usize) -> bool {
        self.buffers.get(value).is_some_and(|has| *has)
    }
}

impl<T: Element> Network<T> {
    /// Computes outputs of cheap layers, as batch normalisation with the ReLU behind it, again in the
    /// backward pass, instead of keeping them for it. It takes less memory and a little more time, and
    /// changes no bit.
    ///
    /// The memory of a block of a DenseNet then grows with its depth, not with the square of it. What it
    /// takes is told by [`shard_bytes`](Self::shard_bytes).
    ///
    /// ```
    /// use isograd_model::{Network, layer::Mode, zoo};
    /// let model = zoo::find("densenet_cifar10")?;
    /// let build = || Network::<f32>::build(model.layers(model.input, model.classes));
    /// let (keeping, recomputing) = (build()?, build()?.with_recomputation());
    /// assert!(2 * recomputing.shard_bytes(Mode::Train, 32) < keeping.shard_bytes(Mode::Train, 32));
    /// # Ok::<(), isograd_model::Error>(())
    /// ```
    ///
    /// # Source
    ///
    /// Pleiss et al.: "Memory-efficient implementation of DenseNets", 2017.
    #[must_use]
    pub fn with_recomputation(mut self) -> Self {
        self.recomputes = true;
        self.plan_gradients();
        self
    }

    /// Finds what is computed again, once the gradients are planned.
    pub(super) fn plan_recomputation(&self) -> Recomputation {
        let (steps, values) = (&self.graph.steps, self.graph.values.len());
        let mut before = vec![Vec::new(); steps.len()];
        let mut buffers = vec![false; values];
        let (mut writers, mut last_readers) = (vec![Vec::new(); values], vec![None; values]);
        for (index, step) in steps.iter().enumerate() {
            if !step.skip_forward {
                writers[self.data[step.writes].value].push(index);
            }
            for value in self.read_in_backward(step) {
                last_readers[self.data[value].value] = Some(index);
            }
        }
        // The loss reads these.
        let last_input = steps.last().map(|step| step.reads[0]);
        for value in [Some(self.output), last_input].into_iter().flatten() {
            last_readers[self.data[value].value] = None;
        }
        for (index, step) in steps.iter().enumerate() {
            let Op::Layer(layer) = step.op else { continue };
            let layer = &self.layers[layer];
            let buffer = self.data[step.writes].value;
            // A part of a joined value has a buffer with other values, which have other writers.
            let is_alone = writers[buffer][..] == [index] && step.addend.is_none();
            let keeps_input = layer.backward_reads() == BackwardReads::X && !step.skip_backward;
            let has_input = keeps_input && !buffers[self.data[step.reads[0]].value];
            if let Some(reader) = last_readers[buffer].filter(|_| is_alone && has_input && layer.is_cheap()) {
                before[reader].push(index);
                buffers[buffer] = true;
            }
        }
        Recomputation { before, buffers }
    }

    /// The values that the backward pass of `step` reads.
    fn read_in_backward(&self, step: &Step) -> impl Iterator<Item = usize> {
        let reads = match step.op {
            Op::Layer(layer) if !step.skip_backward => self.layers[layer].backward_reads(),
            _ => BackwardReads::NOTHING,
        };
        let (x, y) = (reads.x.then_some(step.reads[0]), reads.y.then_some(step.writes));
        [x, y].into_iter().flatten()
    }
}
