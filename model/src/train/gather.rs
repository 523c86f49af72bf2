//! From a data set to a shard's input.

use crate::network::{Network, ShardMemory};
use isograd_datasets::{Dataset, Pixels};
use isograd_kernels::layout::{self, Channels, Scaling};
use isograd_kernels::{Element, Isa};

/// A data set with its normalisation in the network's element type.
pub(super) struct Source<'d, T> {
    pub(super) dataset: &'d dyn Dataset,
    scale: Vec<T>,
    shift: Vec<T>,
}

impl<'d, T: Element> Source<'d, T> {
    pub(super) fn new(dataset: &'d dyn Dataset) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|v| T::from_f64(*v)).collect();
        let normalization = dataset.normalization();
        Self { dataset, scale: narrow(normalization.scale()), shift: narrow(normalization.shift()) }
    }

    /// Fills the network's input in `memory` with the samples `index(0)`, …, `index(n - 1)`: read, normalised and laid out in
    /// one pass; notes their labels.
    pub(super) fn gather(
        &self,
        isa: Isa,
        network: &Network<T>,
        memory: &mut ShardMemory<T>,
        n: usize,
        index: impl Fn(usize) -> usize,
    ) {
        memory.labels.clear();
        memory.labels.extend((0..n).map(|i| self.dataset.read(index(i)).label));
        let shape = network.input_shape();
        let pixels = shape.h * shape.w;
        let input = network.input_mut(memory, n);
        let scaling = Scaling { scale: &self.scale, shift: &self.shift };
        let read = |i: usize| self.dataset.read(index(i)).pixels;
        match read(0) {
            Pixels::U8(_) => {
                let sample = |i| match read(i) {
                    Pixels::U8(bytes) => bytes,
                    Pixels::F32(_) => panic!("sample {} is made of floats, others of bytes", index(i)),
                };
                layout::gather_u8(isa, Channels::First, pixels, n, scaling, sample, input);
            }
            Pixels::F32(_) => {
                let sample = |i| match read(i) {
                    Pixels::F32(floats) => floats,
                    Pixels::U8(_) => panic!("sample {} is made of bytes, others of floats", index(i)),
                };
                layout::gather_float(isa, Channels::First, pixels, n, scaling, sample, input);
            }
        }
    }
}
