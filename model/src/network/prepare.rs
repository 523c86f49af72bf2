//! What layers prepare of their parameters once for all shards of a step.

use super::Network;
use crate::error::Error;
use crate::layer::{Layer, Mode, Preparation};
use crate::memory::{self, Aligned};
use isograd_kernels::Element;
use std::ops::Range;

/// Where each layer's prepared parameters lie in one buffer.
#[derive(Debug, Default)]
pub(super) struct PreparedPlan {
    train: Vec<Range<usize>>,
    eval: Vec<Range<usize>>,
}

impl PreparedPlan {
    pub(super) fn new<T: Element>(layers: &[Box<dyn Layer<T>>]) -> Self {
        let ranges = |mode| {
            let (mut ranges, mut start) = (Vec::new(), 0);
            for layer in layers {
                ranges.push(start..start + layer.prepared_len(mode));
                start = memory::round_up::<T>(start + layer.prepared_len(mode));
            }
            ranges
        };
        Self { train: ranges(Mode::Train), eval: ranges(Mode::Eval) }
    }

    /// By layer.
    pub(super) fn ranges(&self, mode: Mode) -> &[Range<usize>] {
        match mode {
            Mode::Train => &self.train,
            Mode::Eval => &self.eval,
        }
    }

    fn len(&self, mode: Mode) -> usize {
        self.ranges(mode).last().map_or(0, |last| last.end)
    }
}

impl<T: Element> Network<T> {
    /// Bytes of memory for what all shards of passes in `mode` share beside the parameters: what layers
    /// [prepare](crate::layer::Layer::prepare) of them.
    pub fn prepared_bytes(&self, mode: Mode) -> u128 {
        self.prepared.len(mode) as u128 * size_of::<T>() as u128
    }

    /// Memory for what layers prepare for passes in any of `modes`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub(crate) fn prepared_memory(&self, modes: &[Mode]) -> Result<Aligned<T>, Error> {
        let len = modes.iter().map(|mode| self.prepared.len(*mode)).max().unwrap_or(0);
        memory::check(|| "prepared weights".to_string(), len as u128 * size_of::<T>() as u128)?;
        Ok(Aligned::zeroed(len))
    }

    /// Whether any layer prepares something for passes in `mode`.
    pub(crate) fn prepares(&self, mode: Mode) -> bool {
        self.prepared.ranges(mode).iter().any(|range| !range.is_empty())
    }

    /// Overwrites `prepared` with what all layers prepare, on all threads of the current pool.
    pub(crate) fn prepare(&self, preparation: &Preparation<'_, T>, prepared: &mut [T]) {
        self.prepare_layers(preparation, 0..self.layers.len(), 0, prepared);
    }

    /// As [`prepare`](Self::prepare), for the layers `layers`, whose part of the memory begins at `start`.
    fn prepare_layers(
        &self,
        preparation: &Preparation<'_, T>,
        layers: Range<usize>,
        start: usize,
        prepared: &mut [T],
    ) {
        let ranges = &self.prepared.ranges(preparation.mode)[layers.clone()];
        if ranges.iter().all(Range::is_empty) {
            return;
        }
        if let [range] = ranges {
            let own = &mut prepared[range.start - start..range.end - start];
            return self.layers[layers.start].prepare(preparation, own);
        }
        let middle = layers.start + layers.len() / 2;
        let cut = self.prepared.ranges(preparation.mode)[middle].start;
        let (front, back) = prepared.split_at_mut(cut - start);
        rayon::join(
            || self.prepare_layers(preparation, layers.start..middle, start, front),
            || self.prepare_layers(preparation, middle..layers.end, cut, back),
        );
    }
}
