//! What an optimizer works on.

use crate::layer::Tensor;
use isograd_kernels::Isa;
use std::ops::Range;

/// The most numbers that an optimizer can keep for each parameter.
pub const MAX_SLOTS: usize = 4;

/// The numbers of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepNumbers {
    /// The step, from 1 when the optimizer's slots were 0.
    pub step: u64,
    /// The learning rate of this step, as the schedule gives it.
    pub learning_rate: f64,
    /// The instruction-set level that all arithmetic takes.
    pub isa: Isa,
    /// What [`Optimizer::constants`](super::Optimizer::constants) gave for this step.
    pub constants: [f64; 4],
}

impl StepNumbers {
    /// The numbers of step `step`, counted from 1.
    pub fn new(step: u64, learning_rate: f64, isa: Isa, constants: [f64; 4]) -> Self {
        Self { step, learning_rate, isa, constants }
    }
}

/// A range of a tensor, or all of it: parameters, their gradient, and what the optimizer keeps of them. All
/// slices but `scratch` are of one length.
#[derive(Debug)]
#[non_exhaustive]
pub struct Part<'a, T> {
    /// The tensor. The range of its description is its place among all parameters.
    pub tensor: &'a Tensor,
    /// The place of this part in the tensor.
    pub range: Range<usize>,
    /// The parameters, to update.
    pub weights: &'a mut [T],
    /// Their gradient: the sum over all shards, clipped if it is to be. It may be overwritten.
    pub gradient: &'a mut [T],
    /// Memory for intermediate results, of the length that
    /// [`Extent::Whole`](super::Extent::Whole) asked for. Its contents mean nothing before and after.
    pub scratch: &'a mut [T],
    slots: Slots<'a, T>,
}

/// Slices of the optimizer's slots. Those beyond the slots of a tensor are empty.
pub(crate) type Slots<'a, T> = [&'a mut [T]; MAX_SLOTS];

impl<'a, T> Part<'a, T> {
    /// A part of `tensor`: what a trainer makes of its memory, and a test of an optimizer of its own arrays.
    ///
    /// # Panics
    ///
    /// When there are more than [`MAX_SLOTS`] slots, or when a length is not that of `range`.
    pub fn new<const N: usize>(
        tensor: &'a Tensor,
        range: Range<usize>,
        weights: &'a mut [T],
        gradient: &'a mut [T],
        slots: [&'a mut [T]; N],
        scratch: &'a mut [T],
    ) -> Self {
        assert!(N <= MAX_SLOTS, "{N} slots, an optimizer has at most {MAX_SLOTS}");
        let len = range.len();
        let lens = [weights.len(), gradient.len()].into_iter().chain(slots.iter().map(|slot| slot.len()));
        for other in lens {
            assert_eq!(other, len, "{other} elements of the {len} of '{}' in {range:?}", tensor.name);
        }
        let mut all = Slots::default();
        for (place, slot) in all.iter_mut().zip(slots) {
            *place = slot;
        }
        Self::with_slots(tensor, range, weights, gradient, all, scratch)
    }

    pub(crate) fn with_slots(
        tensor: &'a Tensor,
        range: Range<usize>,
        weights: &'a mut [T],
        gradient: &'a mut [T],
        slots: Slots<'a, T>,
        scratch: &'a mut [T],
    ) -> Self {
        Self { tensor, range, weights, gradient, scratch, slots }
    }

    /// The first `N` of the slots that the optimizer keeps for the tensor, to update. Later calls find empty
    /// slices.
    ///
    /// # Panics
    ///
    /// When `N` is larger than [`MAX_SLOTS`].
    pub fn slots<const N: usize>(&mut self) -> [&'a mut [T]; N] {
        assert!(N <= MAX_SLOTS, "{N} slots, an optimizer has at most {MAX_SLOTS}");
        std::array::from_fn(|slot| std::mem::take(&mut self.slots[slot]))
    }
}
