//! From a data set to a shard's input.

use super::DataError;
use crate::layer::Mode;
use crate::loss::Loss;
use crate::network::{Network, ShardMemory};
use isograd_datasets::{Dataset, Pixels, Target};
use isograd_kernels::layout::{self, Channels, Scaling};
use isograd_kernels::{Element, Isa};

/// A data set with its normalisation in the network's element type.
pub(super) struct Source<'d, T> {
    pub(super) dataset: &'d dyn Dataset,
    scale: Vec<T>,
    shift: Vec<T>,
}

impl<'d, T: Element> Source<'d, T> {
    pub(super) fn new(dataset: &'d dyn Dataset) -> Result<Self, DataError> {
        let (normalization, samples) = (dataset.normalization(), dataset.sample_shape()[0]);
        if normalization.channels() != samples {
            return Err(DataError::NormalizationChannels {
                normalization: normalization.channels(),
                samples,
            });
        }
        let coefficients = normalization.scale().iter().zip(normalization.shift());
        for (channel, (scale, shift)) in coefficients.enumerate() {
            if !(T::from_f64(*scale).is_finite() && T::from_f64(*shift).is_finite()) {
                let (scale, shift, element) = (*scale, *shift, T::NAME);
                return Err(DataError::NormalizationRange { channel, scale, shift, element });
            }
        }
        let narrow = |values: &[f64]| values.iter().map(|v| T::from_f64(*v)).collect();
        Ok(Self { dataset, scale: narrow(normalization.scale()), shift: narrow(normalization.shift()) })
    }

    /// The first of the samples `indices` that holds an infinite value or NaN.
    pub(super) fn first_non_finite(&self, mut indices: impl Iterator<Item = usize>) -> Option<usize> {
        indices.find(|index| match self.dataset.read(*index).pixels {
            Pixels::U8(_) => false,
            Pixels::F32(values) => !values.iter().all(|value| value.is_finite()),
        })
    }

    /// Starts a pass in `mode` over the samples `index(0)`, …, `index(n - 1)`: read, normalised
    /// and laid out in one pass; notes their labels, if they have labels.
    pub(super) fn gather(
        &self,
        isa: Isa,
        network: &Network<T>,
        memory: &mut ShardMemory<T>,
        mode: Mode,
        n: usize,
        index: impl Fn(usize) -> usize,
    ) {
        memory.labels.clear();
        if self.dataset.target_values().is_none() {
            memory.labels.extend((0..n).map(|i| match self.dataset.read(index(i)).target {
                Target::Class(label) => label,
                Target::Values(_) => panic!("the target of sample {} is no class", index(i)),
            }));
        }
        let shape = network.input_shape();
        let pixels = shape.h * shape.w;
        let input = network.start_pass(memory, mode, n);
        let scaling = Scaling { scale: &self.scale, shift: &self.shift };
        let read = |i: usize| self.dataset.read(index(i)).pixels;
        match read(0) {
            Pixels::U8(_) => {
                let sample = |i| match read(i) {
                    Pixels::U8(bytes) => bytes,
                    Pixels::F32(_) => panic!("sample {} has values of type f32, others of type u8", index(i)),
                };
                layout::gather_u8(isa, Channels::First, pixels, n, scaling, sample, input);
            }
            Pixels::F32(_) => {
                let sample = |i| match read(i) {
                    Pixels::F32(floats) => floats,
                    Pixels::U8(_) => panic!("sample {} has values of type u8, others of type f32", index(i)),
                };
                layout::gather_float(isa, Channels::First, pixels, n, scaling, sample, input);
            }
        }
    }

    /// Lays out the targets of the same samples, if they are numbers. They take memory that the forward pass
    /// uses, and so come behind it.
    pub(super) fn gather_values(
        &self,
        network: &Network<T>,
        memory: &mut ShardMemory<T>,
        n: usize,
        index: impl Fn(usize) -> usize,
    ) {
        if self.dataset.target_values().is_none() {
            return;
        }
        let targets = network.target_values(memory);
        for sample in 0..n {
            let Target::Values(values) = self.dataset.read(index(sample)).target else {
                panic!("the target of sample {} is a class", index(sample))
            };
            for (target, value) in targets[sample..].iter_mut().step_by(n).zip(values) {
                *target = T::from_f64(f64::from(*value));
            }
        }
    }

    /// The first of the samples `indices` whose target has a number that `loss` does not take, and that
    /// number.
    pub(super) fn first_bad_target(
        &self,
        loss: &dyn Loss<T>,
        mut indices: impl Iterator<Item = usize>,
    ) -> Option<(usize, f32)> {
        self.dataset.target_values()?;
        indices.find_map(|index| match self.dataset.read(index).target {
            Target::Class(_) => None,
            Target::Values(values) => {
                let bad = values.iter().find(|value| !loss.takes_value(f64::from(**value)));
                bad.map(|value| (index, *value))
            }
        })
    }
}
