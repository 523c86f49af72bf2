//! The data of a pass: values, and the steps that make them.
//!
//! A value is the output of a step for a whole shard. It lies in a buffer of its own, or in a range of
//! another value: a path of a concatenation is a range of channels of the joined value, since channels are
//! outermost. The gradient by a value lies likewise in a buffer of its own or in that of another value.

use crate::shape::Shape;
use isograd_kernels::{Accum, Activation};
use std::ops::Range;

/// A value's place inside of another one, in elements of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) value: usize,
    pub(super) offset: usize,
}

/// The output of a step, or the network's input.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// Elements of one sample.
    pub(super) elements: usize,
    /// Where it lies, if not in a buffer of its own.
    pub(super) data: Option<Inside>,
    /// Where the gradient by it lies, if not in a buffer of its own.
    pub(super) gradient: Option<Inside>,
    /// Whether it depends on a trained parameter, so that a gradient by it is needed.
    pub(super) needs_gradient: bool,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Runs the layer with this number.
    Layer(usize),
    /// Adds up what it reads; copies it, if that is a single value.
    Add {
        /// The function of the sum, from the layer behind the addition.
        activation: Activation,
    },
}

/// What the backward pass of a step does with the gradient by a value that the step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GradientWrite {
    /// Nothing: no gradient by this value is needed.
    Unneeded,
    /// Nothing: the gradient by the step's output lies in the same place.
    Shared,
    /// Writes it where it belongs.
    Direct(Accum),
    /// Writes it to a spare buffer, from which it is added.
    Spare,
}

/// The work of an addition behind a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addend {
    /// The other term of the sum.
    pub(super) value: usize,
    /// The function of the sum.
    pub(super) activation: Activation,
}

/// A step of the two passes.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) op: Op,
    /// The values that it reads: one for a layer.
    pub(super) reads: Vec<usize>,
    pub(super) writes: usize,
    /// What a layer adds to its output in the forward pass.
    pub(super) addend: Option<Addend>,
    /// Shape of a layer's input.
    pub(super) input: Shape,
    /// A neighbour does the work of this pass, or the result is not needed.
    pub(super) skip_forward: bool,
    pub(super) skip_backward: bool,
    /// For each value that it reads.
    pub(super) gradients: Vec<GradientWrite>,
    /// Ranges of gradients that the backward pass sets to 0 before it adds to them: the value, and its
    /// elements of one sample.
    pub(super) zeros: Vec<(usize, Range<usize>)>,
}

/// All values and steps, in the order of the forward pass.
#[derive(Debug, Default, Clone)]
pub(super) struct Graph {
    pub(super) values: Vec<Value>,
    pub(super) steps: Vec<Step>,
}

impl Graph {
    /// A new value in a buffer of its own.
    pub(super) fn value(&mut self, elements: usize) -> usize {
        self.values.push(Value { elements, data: None, gradient: None, needs_gradient: false });
        self.values.len() - 1
    }

    /// A new step that writes a new value of `elements` elements.
    pub(super) fn step(&mut self, op: Op, reads: Vec<usize>, input: Shape, elements: usize) -> usize {
        let writes = self.value(elements);
        self.steps.push(Step {
            op,
            reads,
            writes,
            addend: None,
            input,
            skip_forward: false,
            skip_backward: false,
            gradients: Vec::new(),
            zeros: Vec::new(),
        });
        writes
    }

    /// The buffer that a value lies in, as the value that owns the buffer, and where it begins.
    pub(super) fn data(&self, value: usize) -> Inside {
        self.resolve(value, |value| value.data)
    }

    /// The buffer that the gradient by a value lies in.
    pub(super) fn gradient(&self, value: usize) -> Inside {
        self.resolve(value, |value| value.gradient)
    }

    fn resolve(&self, mut value: usize, inside: impl Fn(&Value) -> Option<Inside>) -> Inside {
        let mut offset = 0;
        while let Some(outer) = inside(&self.values[value]) {
            (value, offset) = (outer.value, offset + outer.offset);
        }
        Inside { value, offset }
    }

    /// The steps that read each value, in order.
    pub(super) fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.values.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for value in &step.reads {
                readers[*value].push(index);
            }
        }
        readers
    }

    /// The step that writes each value, if one does.
    pub(super) fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, step) in self.steps.iter().enumerate() {
            producers[step.writes] = Some(index);
        }
        producers
    }
}
