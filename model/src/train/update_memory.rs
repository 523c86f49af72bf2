//! The memory of the update: what the optimizer keeps, the gradients of tensors that it updates in whole, and
//! averages of the parameters.

use crate::error::Error;
use crate::layer::Tensor;
use crate::memory::{self, Aligned};
use crate::network::{Network, State};
use crate::optimizer::{Extent, MAX_SLOTS, Optimizer, Slots};
use isograd_kernels::Element;
use std::ops::Range;

/// Memory that lasts from step to step. It is all there before the first step, so that steps allocate
/// nothing.
#[derive(Debug)]
pub(super) struct UpdateMemory<T> {
    /// Each slot of all parameters; the system gives those that no tensor uses no memory.
    pub(super) slots: Vec<Aligned<T>>,
    /// Gradients of tensors that are updated in whole; empty if there is none.
    gradient: Aligned<T>,
    scratch: Aligned<T>,
    /// By tensor.
    pub(super) plans: Vec<TensorPlan>,
    pub(super) average: Option<Average<T>>,
    /// Sums of squares of parts of the gradient, if it is to be clipped.
    pub(super) squares: Vec<f64>,
}

/// How a tensor is updated.
#[derive(Debug, Clone)]
pub(super) struct TensorPlan {
    pub(super) is_whole: bool,
    pub(super) slots: usize,
    /// Its scratch memory among that of all tensors.
    pub(super) scratch: Range<usize>,
}

/// Exponential moving averages of parameters and running statistics.
#[derive(Debug)]
pub(super) struct Average<T> {
    pub(super) state: State<T>,
    /// Steps that are in the averages. Before the first, their contents mean nothing.
    pub(super) steps: u64,
}

impl<T: Element> UpdateMemory<T> {
    /// The memory that `optimizer` needs for `network`, with averages if `is_averaged`.
    pub(super) fn new(
        network: &Network<T>,
        optimizer: &dyn Optimizer<T>,
        is_averaged: bool,
    ) -> Result<Self, Error> {
        let mut end = 0u128;
        let mut plans = Vec::with_capacity(network.parameters().len());
        for tensor in network.parameters() {
            let (is_whole, scratch) = match optimizer.extent(tensor) {
                Extent::Range => (false, 0),
                Extent::Whole { scratch } => (true, scratch),
            };
            let start = end;
            end += scratch as u128;
            // Where this is more than can be addressed, the check below fails.
            let scratch = start as usize..end as usize;
            plans.push(TensorPlan { is_whole, slots: slots(optimizer, tensor)?, scratch });
        }
        let slots = plans.iter().map(|plan| plan.slots).max().unwrap_or(0);
        let is_any_whole = plans.iter().any(|plan| plan.is_whole);
        let len = network.parameter_count();
        let elements = (slots + usize::from(is_any_whole)) as u128 * len as u128 + end;
        memory::check(|| "what the optimizer keeps".to_string(), elements * size_of::<T>() as u128)?;
        let average = match is_averaged {
            true => Some(Average { state: State::zeroed(network)?, steps: 0 }),
            false => None,
        };
        Ok(Self {
            slots: (0..slots).map(|_| Aligned::zeroed(len)).collect(),
            gradient: Aligned::zeroed(if is_any_whole { len } else { 0 }),
            scratch: Aligned::zeroed(end as usize),
            plans,
            average,
            squares: Vec::new(),
        })
    }

    /// What an update of the parameters `weights` writes, the plans of all tensors, and their scratch memory.
    pub(super) fn parts<'a>(
        &'a mut self,
        weights: &'a mut [T],
    ) -> (Columns<'a, T>, &'a [TensorPlan], &'a mut [T]) {
        let mut slots = Slots::default();
        for (slot, memory) in slots.iter_mut().zip(&mut self.slots) {
            *slot = memory;
        }
        let average = match &mut self.average {
            Some(average) => &mut *average.state.params,
            None => &mut [],
        };
        let columns = Columns { weights, gradient: &mut self.gradient, average, slots };
        (columns, &self.plans, &mut self.scratch)
    }

    /// Whether a tensor is updated in whole.
    pub(super) fn is_any_whole(&self) -> bool {
        !self.gradient.is_empty()
    }

    /// The averages, if there are any and a step is in them.
    pub(super) fn averaged(&self) -> Option<&State<T>> {
        self.average.as_ref().filter(|average| average.steps > 0).map(|average| &average.state)
    }

    /// Lets the averages begin with the parameters after the next step.
    pub(super) fn restart_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.steps = 0;
        }
    }
}

/// The number of slots that `optimizer` wants for `tensor`.
fn slots<T>(optimizer: &dyn Optimizer<T>, tensor: &Tensor) -> Result<usize, Error> {
    match optimizer.slots(tensor) {
        slots if slots <= MAX_SLOTS => Ok(slots),
        slots => {
            let name = "the number of slots that the optimizer keeps for a parameter";
            Err(Error::OutOfRange { name, expected: "at most 4", value: slots.to_string() })
        }
    }
}

/// Equal ranges of all that an update writes. Those that this update does not have are empty.
#[derive(Debug, Default)]
pub(super) struct Columns<'a, T> {
    pub(super) weights: &'a mut [T],
    pub(super) gradient: &'a mut [T],
    pub(super) average: &'a mut [T],
    pub(super) slots: Slots<'a, T>,
}

impl<T: Element> Columns<'_, T> {
    /// The first `middle` elements of each column, and the others.
    pub(super) fn split_at(self, middle: usize) -> (Self, Self) {
        let (mut left, mut right) = (Self::default(), Self::default());
        let split = |column: &mut [T]| column.len().min(middle);
        let at = split(self.weights);
        (left.weights, right.weights) = self.weights.split_at_mut(at);
        let at = split(self.gradient);
        (left.gradient, right.gradient) = self.gradient.split_at_mut(at);
        let at = split(self.average);
        (left.average, right.average) = self.average.split_at_mut(at);
        for (slot, column) in self.slots.into_iter().enumerate() {
            let at = split(column);
            (left.slots[slot], right.slots[slot]) = column.split_at_mut(at);
        }
        (left, right)
    }

    /// The same columns, to write them in one pass of several.
    pub(super) fn reborrow(&mut self) -> Columns<'_, T> {
        let mut slots = Slots::default();
        for (slot, column) in slots.iter_mut().zip(&mut self.slots) {
            *slot = column;
        }
        Columns { weights: self.weights, gradient: self.gradient, average: self.average, slots }
    }

    /// Takes the first `len` elements of each column away.
    pub(super) fn take(&mut self, len: usize) -> Self {
        let (first, rest) = std::mem::take(self).split_at(len);
        *self = rest;
        first
    }
}
