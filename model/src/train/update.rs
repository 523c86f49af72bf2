//! The update: what the sums of a step change in the parameters, in what the optimizer keeps of them, in
//! their averages, and in the running statistics.
//!
//! ```text
//! in parallel over ranges of the parameters, block by block:
//!     finish the sum of the gradient; clip it
//!     for each tensor that has a part in the block: update the part, or keep its gradient
//! in parallel over tensors whose gradients were kept: update the tensor
//! ```

use super::update_memory::{Average, Columns, TensorPlan, UpdateMemory};
use super::{NonFinite, TrainConfig};
use crate::error::Error;
use crate::layer::Tensor;
use crate::memory::round_up;
use crate::network::{Network, State};
use crate::optimizer::{Part, StepNumbers};
use isograd_kernels::{Element, Isa, elementwise, optimizer};
use rayon::prelude::*;
use std::ops::Range;

/// Parameters that a thread takes through the sum and the update at a time, so that they stay in its
/// first-level cache.
const BLOCK: usize = 2048;

/// What an update depends on.
pub(super) struct Update<'a, T> {
    pub(super) network: &'a Network<T>,
    pub(super) config: &'a TrainConfig<T>,
    /// The step, from 1.
    pub(super) step: u64,
    /// The epoch, from 1.
    pub(super) epoch: u32,
    /// Of this step.
    pub(super) learning_rate: f64,
}

impl<T: Element> Update<'_, T> {
    /// Applies the gradient, in parallel over about `threads` ranges. `sum(range, g)` overwrites `g` with
    /// those elements of the summed gradient with the statistics behind it.
    ///
    /// # Errors
    ///
    /// [`NonFinite::Gradient`], before anything has changed.
    pub(super) fn apply(
        &self,
        state: &mut State<T>,
        memory: &mut UpdateMemory<T>,
        threads: usize,
        sum: impl Fn(Range<usize>, &mut [T]) + Sync,
    ) -> Result<(), Error> {
        let Self { network, config, step, learning_rate, .. } = *self;
        let scale = match config.clip_norm {
            Some(limit) => self.clip_scale(limit, &mut memory.squares, &sum)?,
            None => None,
        };
        let averaging = Averaging::of(config.ema, memory.average.as_ref());
        let chunk = round_up::<T>(state.params.len().div_ceil(threads)).max(BLOCK);
        let constants = config.optimizer.constants(step);
        let numbers = StepNumbers::new(step, learning_rate, config.isa, constants);
        let is_any_whole = memory.is_any_whole();
        let (mut columns, plans, scratch) = memory.parts(&mut state.params);
        let pass =
            Pass { tensors: network.parameters(), plans, config, numbers, scale, averaging, sum: &sum };
        pass.update_ranges(columns.reborrow(), 0, chunk);
        if is_any_whole {
            pass.update_whole(0..plans.len(), columns, scratch);
        }

        self.update_statistics(state, &sum);
        if let Some(average) = &mut memory.average {
            averaging.apply(config.isa, &state.statistics, &mut average.state.statistics);
            average.steps += 1;
        }
        Ok(())
    }

    /// Blends the running statistics with those of this step.
    fn update_statistics(&self, state: &mut State<T>, sum: &(impl Fn(Range<usize>, &mut [T]) + Sync)) {
        let (first, isa) = (self.network.parameter_count(), self.config.isa);
        for tensor in self.network.statistics().iter().filter(|tensor| !tensor.frozen) {
            let mut shares = [T::ZERO; BLOCK];
            for start in tensor.range.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(tensor.range.end);
                let shares = &mut shares[..block.len()];
                sum(first + block.start..first + block.end, shares);
                let statistics = &mut state.statistics[block];
                elementwise::scale(isa, T::from_f64(tensor.momentum), statistics);
                elementwise::axpy(isa, T::from_f64(1.0 - tensor.momentum), shares, statistics);
            }
        }
    }

    /// What to multiply the gradient with so that its norm is at most `limit`; `None` if it is already. The
    /// squares are added in f64, block by block: the same bits however many threads there are.
    fn clip_scale(
        &self,
        limit: f64,
        squares: &mut Vec<f64>,
        sum: &(impl Fn(Range<usize>, &mut [T]) + Sync),
    ) -> Result<Option<f64>, Error> {
        let len = self.network.parameter_count();
        squares.resize(len.div_ceil(BLOCK), 0.0);
        squares.par_iter_mut().enumerate().for_each(|(block, square)| {
            let range = block * BLOCK..((block + 1) * BLOCK).min(len);
            let mut g = [T::ZERO; BLOCK];
            let g = &mut g[..range.len()];
            sum(range, g);
            *square = g.iter().map(|g| g.to_f64() * g.to_f64()).sum();
        });
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(NonFinite::Gradient { step: self.step, epoch: self.epoch, norm }.into());
        }
        Ok((norm > limit).then(|| limit / norm))
    }
}

/// What a step does to the averages.
#[derive(Debug, Clone, Copy)]
enum Averaging {
    None,
    /// The first step overwrites them.
    Begin,
    /// Others keep this share of them.
    Keep(f64),
}

impl Averaging {
    fn of<T>(decay: Option<f64>, average: Option<&Average<T>>) -> Self {
        match (decay, average) {
            (Some(decay), Some(average)) if average.steps > 0 => Self::Keep(decay),
            (Some(_), Some(_)) => Self::Begin,
            _ => Self::None,
        }
    }

    fn apply<T: Element>(self, isa: Isa, values: &[T], averages: &mut [T]) {
        match self {
            Self::None => (),
            Self::Begin => averages.copy_from_slice(values),
            Self::Keep(decay) => optimizer::average(isa, decay, values, averages),
        }
    }
}

/// The update of the parameters in one step.
struct Pass<'a, T, S> {
    tensors: &'a [Tensor],
    /// Of each tensor.
    plans: &'a [TensorPlan],
    config: &'a TrainConfig<T>,
    numbers: StepNumbers,
    /// What the gradient is multiplied with, if it is clipped.
    scale: Option<f64>,
    averaging: Averaging,
    sum: &'a S,
}

impl<T: Element, S: Fn(Range<usize>, &mut [T]) + Sync> Pass<'_, T, S> {
    /// Updates the parameters `columns`, which begin at `start`, in parallel over chunks of `chunk`; keeps
    /// the gradients of tensors that are updated in whole.
    fn update_ranges(&self, columns: Columns<'_, T>, start: usize, chunk: usize) {
        let len = columns.weights.len();
        if len <= chunk {
            return self.update_blocks(columns, start);
        }
        let middle = len.div_ceil(chunk) / 2 * chunk;
        let (left, right) = columns.split_at(middle);
        rayon::join(
            || self.update_ranges(left, start, chunk),
            || self.update_ranges(right, start + middle, chunk),
        );
    }

    fn update_blocks(&self, mut columns: Columns<'_, T>, start: usize) {
        let end = start + columns.weights.len();
        let mut g = [T::ZERO; BLOCK];
        let mut tensor = self.tensors.partition_point(|tensor| tensor.range.end <= start);
        for first in (start..end).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(end);
            let g = &mut g[..block.len()];
            (self.sum)(block.clone(), g);
            if let Some(scale) = self.scale {
                elementwise::scale(self.numbers.isa, T::from_f64(scale), g);
            }
            let mut place = first;
            while place < block.end {
                let tensor_end = self.tensors[tensor].range.end;
                let part_end = tensor_end.min(block.end);
                let gradient = &mut g[place - first..part_end - first];
                let part = columns.take(part_end - place);
                if self.plans[tensor].is_whole {
                    part.gradient.copy_from_slice(gradient);
                } else {
                    self.update_part(tensor, place, part, gradient, &mut []);
                }
                place = part_end;
                tensor += usize::from(part_end == tensor_end);
            }
        }
    }

    /// Updates those of the tensors `tensors` that are updated in whole. `columns` and `scratch` are those of
    /// these tensors alone.
    fn update_whole(&self, tensors: Range<usize>, mut columns: Columns<'_, T>, scratch: &mut [T]) {
        let Range { start, end } = tensors;
        if end - start > 1 {
            let middle = start + (end - start) / 2;
            let at = self.tensors[middle].range.start - self.tensors[start].range.start;
            let (left, right) = columns.split_at(at);
            let at = self.plans[middle].scratch.start - self.plans[start].scratch.start;
            let (left_scratch, right_scratch) = scratch.split_at_mut(at);
            rayon::join(
                || self.update_whole(start..middle, left, left_scratch),
                || self.update_whole(middle..end, right, right_scratch),
            );
        } else if self.plans[start].is_whole {
            let gradient = std::mem::take(&mut columns.gradient);
            self.update_part(start, self.tensors[start].range.start, columns, gradient, scratch);
        }
    }

    /// Updates the part of a tensor that begins at `place` among all parameters.
    fn update_part(
        &self,
        tensor: usize,
        place: usize,
        columns: Columns<'_, T>,
        gradient: &mut [T],
        scratch: &mut [T],
    ) {
        let Columns { weights, average, mut slots, .. } = columns;
        for slot in &mut slots[self.plans[tensor].slots..] {
            *slot = &mut [];
        }
        let description = &self.tensors[tensor];
        let first = place - description.range.start;
        let range = first..first + weights.len();
        let part = Part::with_slots(description, range, &mut *weights, gradient, slots, scratch);
        if !description.frozen {
            let learning_rate = self.numbers.learning_rate * description.rate_factor;
            self.config.optimizer.update(&StepNumbers { learning_rate, ..self.numbers }, part);
        }
        self.averaging.apply(self.numbers.isa, weights, average);
    }
}
