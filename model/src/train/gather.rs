//! From a data set to a shard's input.

use super::DataError;
use crate::layer::Mode;
use crate::loss::Loss;
use crate::network::{Network, ShardMemory};
use isograd_datasets::{Dataset, Pixels, Request, Sample, SampleBuffer, SampleError, Target, check_sample};
use isograd_kernels::layout::{self, Channels, Scaling};
use isograd_kernels::{Element, Isa};

/// A data set with its normalisation in the network's element type.
pub(super) struct Source<'d, T> {
    pub(super) dataset: &'d dyn Dataset,
    scale: Vec<T>,
    shift: Vec<T>,
}

/// Memory for reading the samples of a shard. It is kept from shard to shard, so that no step allocates.
#[derive(Debug, Default)]
pub(super) struct ReadMemory {
    buffers: Vec<SampleBuffer>,
    /// Empty between shards.
    samples: Vec<Sample<'static>>,
    /// Targets that are numbers, sample by sample.
    values: Vec<f32>,
}

/// The pass that samples are read for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadFor {
    pub(super) isa: Isa,
    pub(super) mode: Mode,
    pub(super) epoch: u32,
    /// Samples of the shard.
    pub(super) n: usize,
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

    /// Starts a pass over the samples `indices`: reads and checks them, normalises them and lays them out in
    /// one pass, and notes their targets.
    ///
    /// # Errors
    ///
    /// [`SampleError`] of the first sample that cannot be read or contradicts its set.
    pub(super) fn gather(
        &self,
        pass: ReadFor,
        network: &Network<T>,
        reading: &mut ReadMemory,
        memory: &mut ShardMemory<T>,
        indices: impl Iterator<Item = usize>,
    ) -> Result<(), SampleError> {
        let ReadFor { isa, mode, epoch, n } = pass;
        let ReadMemory { buffers, samples: recycled, values } = reading;
        if buffers.len() < n {
            buffers.resize_with(n, SampleBuffer::new);
        }
        let mut samples = recycle(std::mem::take(recycled));
        memory.labels.clear();
        values.clear();
        let mut first = None;
        for (index, buffer) in indices.zip(buffers.iter_mut()) {
            let sample = self.read(index, epoch, buffer)?;
            let element = sample.pixels.element();
            let (other, expected) = *first.get_or_insert((index, element));
            if element != expected {
                let [sample, other] = [index, other].map(|index| self.dataset.describe(index));
                return Err(SampleError::ElementType { sample, got: element, other, expected });
            }
            match sample.target {
                Target::Class(label) => memory.labels.push(label),
                Target::Values(target) => values.extend_from_slice(target),
            }
            samples.push(sample);
        }
        let shape = network.input_shape();
        let pixels = shape.h * shape.w;
        let input = network.start_pass(memory, mode, n);
        let scaling = Scaling { scale: &self.scale, shift: &self.shift };
        let same = "the samples of a shard have the same element type";
        match samples[0].pixels {
            Pixels::U8(_) => {
                let sample = |i: usize| samples[i].pixels.bytes().expect(same);
                layout::gather_u8(isa, Channels::First, pixels, n, scaling, sample, input);
            }
            Pixels::F32(_) => {
                let sample = |i: usize| samples[i].pixels.floats().expect(same);
                layout::gather_float(isa, Channels::First, pixels, n, scaling, sample, input);
            }
        }
        *recycled = recycle(samples);
        Ok(())
    }

    /// Lays out the targets of the samples that were read last, if they are numbers. They take memory that
    /// the forward pass uses, and so come behind it.
    pub(super) fn gather_values(
        &self,
        network: &Network<T>,
        reading: &ReadMemory,
        memory: &mut ShardMemory<T>,
        n: usize,
    ) {
        let Some(len) = self.dataset.target_values() else { return };
        let targets = network.target_values(memory);
        for (sample, values) in reading.values.chunks_exact(len).enumerate() {
            for (target, value) in targets[sample..].iter_mut().step_by(n).zip(values) {
                *target = T::from_f64(f64::from(*value));
            }
        }
    }

    /// Reads the sample `index` and checks it.
    fn read<'b>(
        &'b self,
        index: usize,
        epoch: u32,
        buffer: &'b mut SampleBuffer,
    ) -> Result<Sample<'b>, SampleError> {
        let read = self.dataset.read(Request { index, epoch }, buffer);
        let sample =
            read.map_err(|reason| SampleError::Read { sample: self.dataset.describe(index), reason })?;
        check_sample(self.dataset, index, &sample)?;
        Ok(sample)
    }

    /// The first of the samples `indices` that holds an infinite value or NaN. Those that cannot be read are
    /// left out.
    pub(super) fn first_non_finite(
        &self,
        epoch: u32,
        mut indices: impl Iterator<Item = usize>,
    ) -> Option<String> {
        let mut buffer = SampleBuffer::new();
        let bad = indices.find(|index| match self.read(*index, epoch, &mut buffer) {
            Ok(Sample { pixels: Pixels::F32(values), .. }) => !values.iter().all(|value| value.is_finite()),
            _ => false,
        })?;
        Some(self.dataset.describe(bad))
    }

    /// The first of the samples `indices` whose target has a number that `loss` does not take, and that
    /// number.
    pub(super) fn first_bad_target(
        &self,
        loss: &dyn Loss<T>,
        epoch: u32,
        mut indices: impl Iterator<Item = usize>,
    ) -> Option<(String, f32)> {
        self.dataset.target_values()?;
        let mut buffer = SampleBuffer::new();
        indices.find_map(|index| match self.read(index, epoch, &mut buffer) {
            Ok(Sample { target: Target::Values(values), .. }) => {
                let bad = values.iter().find(|value| !loss.takes_value(f64::from(**value)));
                bad.map(|value| (self.dataset.describe(index), *value))
            }
            _ => None,
        })
    }
}

/// Empties `samples` for samples that are borrowed from elsewhere. A collection in place keeps the memory.
fn recycle<'to>(mut samples: Vec<Sample<'_>>) -> Vec<Sample<'to>> {
    samples.clear();
    samples.into_iter().map(|_| unreachable!("the list is empty")).collect()
}
