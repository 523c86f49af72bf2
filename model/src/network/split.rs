//! Passes in use on several threads, which share the layers of one shard.
//!
//! A layer is cut into parts of its channels or elements. A part is computed as it is in the whole, so the
//! bits are those of one thread.

use super::memory::{disjoint, disjoint_from_reads};
use super::{Network, ShardMemory};
use crate::layer::{Context, Memory, Split};
use crate::memory::round_up;
use isograd_kernels::Element;

/// Parts of a layer have a multiple of so many channels: the tiles of most kernels have no more.
const LEAST_CHANNELS: usize = 8;

/// A part reads or writes at least so many elements, or does the work of so many: another thread wakes in the
/// time of a few thousand.
const LEAST_ELEMENTS: usize = 1 << 13;

/// The multiply-adds that take about as long as reading and writing an element.
const PRODUCTS_OF_ELEMENT: usize = 16;

impl<T: Element> Network<T> {
    /// Runs step `index` of a pass in use on several threads. Returns false, and does nothing, if its layer
    /// cannot be split, or has too little work.
    pub(super) fn forward_split(
        &self,
        cx: &Context<'_, T>,
        memory: &mut ShardMemory<T>,
        index: usize,
        layer: usize,
    ) -> bool {
        let (step, shape) = (&self.in_use.steps[index], self.infos[layer].shape);
        let reads = [self.data_region(memory, step.reads[0]), self.addend_region(memory, step)];
        let (reads, y) =
            (reads.map(|region| region.elements()), self.data_region(memory, step.writes).elements());
        let of_layer = &self.layers[layer];
        let products = usize::try_from(of_layer.multiply_adds()).unwrap_or(usize::MAX).saturating_mul(cx.n);
        let elements = reads[0].len().max(y.len()).max(products / PRODUCTS_OF_ELEMENT);
        let parts = memory.threads().min(elements / LEAST_ELEMENTS);
        match of_layer.split() {
            Split::Elements if step.addend.is_none() => {
                let cx = self.context_of(cx, step, layer, &[]);
                let [x, y] = disjoint(&mut memory.arena, [reads[0].clone(), y]);
                in_parts(parts, y, [x], |y, [x]| of_layer.forward(&cx, x, y, Memory::scratch(&mut [])));
                true
            }
            Split::Channels => {
                let parts = parts.min(shape.c / LEAST_CHANNELS);
                if parts < 2 {
                    return false;
                }
                let ([x, addend], [mut y, _]) = disjoint_from_reads(&mut memory.arena, reads, [y, 0..0]);
                let (cx, plane) = (self.context_of(cx, step, layer, addend), y.len() / shape.c);
                let scratch = std::iter::once(&mut memory.scratch).chain(&mut memory.lanes);
                let first =
                    |part: usize| (part * shape.c / parts).next_multiple_of(LEAST_CHANNELS).min(shape.c);
                rayon::scope(|scope| {
                    for (part, scratch) in scratch.enumerate().take(parts) {
                        let channels = first(part)..first(part + 1);
                        let (own, rest) = std::mem::take(&mut y).split_at_mut(channels.len() * plane);
                        y = rest;
                        let elements = channels.start * plane..channels.end * plane;
                        let addition = cx.addition.map(|finish| finish.part(elements));
                        let cx = Context { addition, ..cx };
                        scope.spawn(move |_| {
                            of_layer.forward_channels(&cx, channels, x, own, Memory::scratch(scratch));
                        });
                    }
                });
                true
            }
            Split::Elements | Split::Whole => false,
        }
    }
}

/// Computes `y` from equally long `xs` element by element, in parts on at most `threads` threads.
pub(super) fn in_parts<T: Element, const COUNT: usize>(
    threads: usize,
    y: &mut [T],
    xs: [&mut [T]; COUNT],
    compute: impl Fn(&mut [T], [&[T]; COUNT]) + Sync,
) {
    let xs = xs.map(|x| &*x);
    let parts = threads.min(y.len() / LEAST_ELEMENTS);
    if parts < 2 {
        return compute(y, xs);
    }
    // Whole pairs of cache lines: no two threads write to one line.
    let len = round_up::<T>(y.len().div_ceil(parts));
    rayon::scope(|scope| {
        for (part, y) in y.chunks_mut(len).enumerate() {
            let (xs, compute) = (xs.map(|x| &x[part * len..][..y.len()]), &compute);
            scope.spawn(move |_| compute(y, xs));
        }
    });
}
