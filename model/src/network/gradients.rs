//! Where the backward pass puts the gradients by values, and who overwrites and who adds.
//!
//! A value that several steps read gets the sum of their gradients, in one buffer. Seen from the end of the
//! network, the first of them overwrites the buffer and the others add to it, in the order of the steps; so
//! the order of additions is a property of the network.
//!
//! The gradient by each term of a sum is that by the sum. So the terms share its buffer, without a copy,
//! where that is safe: a term that has other readers, as the input of a residual block, gets their gradients
//! added in place, which must not happen before the other terms' steps have read the gradient of the sum.

use super::graph::{GradientWrite, Graph, Inside, Op};
use super::lower::LayerInfo;
use crate::layer::Layer;
use isograd_kernels::{Accum, Element};
use std::ops::Range;

/// Plans the gradients by all values, after fusion.
pub(super) fn plan<T: Element>(
    graph: &mut Graph,
    layers: &[Box<dyn Layer<T>>],
    infos: &[LayerInfo],
    output: usize,
) {
    mark_needed(graph, infos);
    let shared = Sharing::run(graph);
    let mut written = vec![Vec::new(); graph.values.len()];
    cover(&mut written, graph.gradient(output), graph.values[output].elements);
    for index in (0..graph.steps.len()).rev() {
        if graph.steps[index].skip_backward {
            continue;
        }
        let (mut writes, mut zeros) = (Vec::new(), Vec::new());
        for (place, value) in graph.steps[index].reads.iter().enumerate() {
            if !graph.values[*value].needs_gradient {
                writes.push(GradientWrite::Unneeded);
                continue;
            }
            if shared.contains(&(index, place)) {
                writes.push(GradientWrite::Shared);
                continue;
            }
            let inside = graph.gradient(*value);
            let gaps = cover(&mut written, inside, graph.values[*value].elements);
            let is_new = gaps.iter().map(Range::len).sum::<usize>() == graph.values[*value].elements;
            let accum = if is_new { Accum::Replace } else { Accum::Add };
            if !is_new {
                zeros.extend(gaps.into_iter().map(|gap| (inside.value, gap)));
            }
            let adds = match graph.steps[index].op {
                Op::Layer(layer) => layers[layer].can_add_to_dx(),
                Op::Add { .. } => true,
            };
            let is_direct = adds || accum == Accum::Replace;
            writes.push(if is_direct { GradientWrite::Direct(accum) } else { GradientWrite::Spare });
        }
        (graph.steps[index].gradients, graph.steps[index].zeros) = (writes, zeros);
    }
}

/// Marks the values that depend on a trained parameter, and the steps that need no backward pass.
fn mark_needed(graph: &mut Graph, infos: &[LayerInfo]) {
    for index in 0..graph.steps.len() {
        let step = &graph.steps[index];
        let is_trained = match step.op {
            Op::Layer(layer) => !infos[layer].frozen && !infos[layer].parameters.is_empty(),
            Op::Add { .. } => false,
        };
        let is_needed = is_trained || step.reads.iter().any(|value| graph.values[*value].needs_gradient);
        graph.steps[index].skip_backward |= !is_needed;
        let mut value = Some(graph.steps[index].writes);
        while let Some(inner) = value.filter(|_| is_needed) {
            // A joined value depends on what its parts depend on.
            graph.values[inner].needs_gradient = true;
            value = graph.values[inner].data.map(|outer| outer.value);
        }
    }
}

/// Adds a value's range to what has been written of a buffer; returns the parts of it that had not been.
fn cover(written: &mut [Vec<Range<usize>>], inside: Inside, elements: usize) -> Vec<Range<usize>> {
    let range = inside.offset..inside.offset + elements;
    let ranges = &mut written[inside.value];
    let mut gaps = Vec::new();
    let mut start = range.start;
    for known in ranges.iter() {
        if known.end <= start || known.start >= range.end {
            continue;
        }
        if known.start > start {
            gaps.push(start..known.start);
        }
        start = known.end;
    }
    if start < range.end {
        gaps.push(start..range.end);
    }
    ranges.extend(gaps.iter().cloned());
    ranges.sort_unstable_by_key(|range| range.start);
    gaps
}

/// Lets the terms of additions share the gradient of the sum.
struct Sharing<'g> {
    graph: &'g mut Graph,
    readers: Vec<Vec<usize>>,
    producers: Vec<Option<usize>>,
    /// The values whose gradients lie inside of that by each value.
    inner: Vec<Vec<usize>>,
}

impl<'g> Sharing<'g> {
    /// Returns the shared terms, by step and place among what the step reads.
    fn run(graph: &'g mut Graph) -> Vec<(usize, usize)> {
        let mut inner = vec![Vec::new(); graph.values.len()];
        for (value, outer) in graph.values.iter().enumerate() {
            if let Some(outer) = outer.gradient {
                inner[outer.value].push(value);
            }
        }
        let mut sharing = Self { readers: graph.readers(), producers: graph.producers(), graph, inner };
        let mut shared = Vec::new();
        for index in 0..sharing.graph.steps.len() {
            let step = &sharing.graph.steps[index];
            if step.skip_backward || !matches!(step.op, Op::Add { .. }) {
                continue;
            }
            for place in 0..step.reads.len() {
                if sharing.share(index, place) {
                    shared.push((index, place));
                }
            }
        }
        shared
    }

    /// Lets the term at `place` of addition `index` share the gradient of the sum, if that is safe.
    fn share(&mut self, index: usize, place: usize) -> bool {
        let (reads, sum) = (&self.graph.steps[index].reads, self.graph.steps[index].writes);
        let term = reads[place];
        let value = &self.graph.values[term];
        let is_repeated = reads.iter().filter(|read| **read == term).count() > 1;
        if is_repeated || value.gradient.is_some() || !value.needs_gradient {
            return false;
        }
        let (own, others) = (self.region(term), self.region(sum));
        let is_safe = match self.writers(&own, index) {
            // Gradients are added to this term: only after all other terms have been read.
            Some(last) => last < index && self.producers_of(&others).all(|producer| producer > last),
            None => true,
        } && match self.writers(&others, index) {
            // The sum's own readers come behind it and write before anything is read.
            Some(last) if last < index => self.producers_of(&own).all(|producer| producer > last),
            _ => true,
        };
        if is_safe {
            self.graph.values[term].gradient = Some(Inside { value: sum, offset: 0 });
            self.inner[sum].push(term);
        }
        is_safe
    }

    /// `value` and all values whose gradients lie inside of that by it.
    fn region(&self, value: usize) -> Vec<usize> {
        let mut region = vec![value];
        let mut next = 0;
        while next < region.len() {
            region.extend_from_slice(&self.inner[region[next]]);
            next += 1;
        }
        region
    }

    /// The last step, other than `addition` and those behind it where `region` is that of a sum, that writes
    /// a gradient into `region`.
    fn writers(&self, region: &[usize], addition: usize) -> Option<usize> {
        let sum = self.graph.steps[addition].writes;
        region
            .iter()
            .filter(|value| **value != sum)
            .flat_map(|value| &self.readers[*value])
            .copied()
            .filter(|reader| *reader != addition && !self.graph.steps[*reader].skip_backward)
            .max()
    }

    fn producers_of<'r>(&'r self, region: &'r [usize]) -> impl Iterator<Item = usize> + 'r {
        region.iter().filter_map(|value| self.producers[*value])
    }
}
