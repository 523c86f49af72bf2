//! The network as its layers say, for other programs: steps over values, none of which does another's work.

use super::Network;
use super::graph::Op;
use crate::layer::{Layer, Tensor};
use crate::place::Place;
use crate::shape::Shape;
use isograd_kernels::Element;

/// A step as the layers say.
pub(crate) enum PlainStep<'n, T> {
    /// A layer that is no block.
    Layer(PlainLayer<'n, T>),
    /// The sum of values.
    Sum {
        /// The values, one or more.
        reads: &'n [usize],
        /// The value that it makes.
        writes: usize,
    },
}

/// A layer with what it reads and writes.
pub(crate) struct PlainLayer<'n, T> {
    pub(crate) layer: &'n dyn Layer<T>,
    pub(crate) place: &'n Place,
    pub(crate) parameters: &'n [Tensor],
    pub(crate) statistics: &'n [Tensor],
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
}

impl<T: Element> Network<T> {
    /// All steps, in order. The network's input is value 0.
    pub(crate) fn plain_steps(&self) -> impl DoubleEndedIterator<Item = PlainStep<'_, T>> {
        self.plain.steps.iter().map(|step| match step.op {
            Op::Add { .. } => PlainStep::Sum { reads: &step.reads, writes: step.writes },
            Op::Layer(index) => {
                let info = &self.infos[index];
                PlainStep::Layer(PlainLayer {
                    layer: &*self.layers[index],
                    place: &info.place,
                    parameters: &self.parameters[info.parameters.clone()],
                    statistics: &self.statistics[info.statistics.clone()],
                    input: step.input,
                    output: info.shape,
                    reads: step.reads[0],
                    writes: step.writes,
                })
            }
        })
    }

    /// The values that `value` is joined from along the channels, in order; none if it is not joined.
    pub(crate) fn plain_parts(&self, value: usize) -> Vec<usize> {
        let inside = |part: &usize| self.plain.values[*part].data.filter(|inside| inside.value == value);
        let mut parts: Vec<usize> =
            (0..self.plain.values.len()).filter(|part| inside(part).is_some()).collect();
        parts.sort_by_key(|part| inside(part).map(|inside| inside.offset));
        parts
    }

    /// The value that is the output.
    pub(crate) fn plain_output(&self) -> usize {
        self.output
    }
}
