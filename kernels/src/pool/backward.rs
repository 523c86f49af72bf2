//! The backward pass that max and average pooling share.
//!
//! A row of input gradients collects its parts row by row of the windows that hold it, and element by element of those
//! rows, while it stays in the first-level cache:
//!
//! ```text
//! for each row of dx:
//!     for each row i of a window that lies on it:
//!         for each j: dx[o * stride + j * dilation - padding] += part(dy[o]) for all o
//! ```
//!
//! Where windows tile the image, there is one part for each element, and it is written instead of added.

use super::geometry::Axis;
use super::{Pool2d, blocks, blocks_mut, from_index, load, reciprocal, store, vectors};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::ops::Range;

/// With `MAX`, `dy` goes to the window element that `argmax` names; without, `dy` is divided among the window's elements
/// inside the image, and `argmax` is empty.
pub(super) struct Backward<'a, T, const MAX: bool> {
    pub(super) shape: &'a Pool2d,
    pub(super) n: usize,
    pub(super) argmax: &'a [T],
    pub(super) dy: &'a [T],
    pub(super) dx: &'a mut [T],
}

impl<T: Element, const MAX: bool> Kernel for Backward<'_, T, MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        match (self.shape.halves(), vectors::<S, T>(self.n)) {
            (true, 1) => self.halves::<S, 1>(s),
            (true, 2) => self.halves::<S, 2>(s),
            (true, 4) => self.halves::<S, 4>(s),
            (true, 8) => self.halves::<S, 8>(s),
            _ => self.rows(s),
        }
    }
}

impl<T: Element, const MAX: bool> Backward<'_, T, MAX> {
    /// For 2x2 windows side by side and samples of `B` vectors, with almost no index arithmetic.
    #[inline(always)]
    fn halves<S: Level, const B: usize>(self, s: S) {
        let Self { shape, argmax, dy, dx, .. } = self;
        let dy = blocks::<S, T, B>(dy);
        let argmax = if MAX { blocks::<S, T, B>(argmax) } else { dy };
        let dx = blocks_mut::<S, T, B>(dx);
        let (oh, ow) = (shape.oh(), shape.ow());
        let share = T::splat(s, reciprocal(4));
        let nothing = [T::zero(s); B];
        for c in 0..shape.c {
            let image = &mut dx[c * shape.h * shape.w..][..shape.h * shape.w];
            image[2 * oh * shape.w..].fill(nothing);
            for p in 0..oh {
                let from = (c * oh + p) * ow;
                let (argmax, dy) = (&argmax[from..][..ow], &dy[from..][..ow]);
                for i in 0..2 {
                    let (row, uncovered) = image[(2 * p + i) * shape.w..][..shape.w].split_at_mut(2 * ow);
                    uncovered.fill(nothing);
                    let row = &mut row.as_chunks_mut::<2>().0[..ow];
                    let left = T::splat(s, from_index(2 * i));
                    let right = T::splat(s, from_index(2 * i + 1));
                    for o in 0..ow {
                        for b in 0..B {
                            row[o][0][b] = part::<S, T, MAX>(s, left, share, argmax[o][b], dy[o][b]);
                            row[o][1][b] = part::<S, T, MAX>(s, right, share, argmax[o][b], dy[o][b]);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn rows<S: Level>(self, s: S) {
        let Self { shape, n, argmax, dy, dx } = self;
        let (vertical, horizontal) = (shape.vertical(), shape.horizontal());
        let tiles = vertical.tiles() && horizontal.tiles();
        let len = horizontal.outputs * n;
        for channel in 0..shape.c {
            for h in 0..shape.h {
                let dx = &mut dx[(channel * shape.h + h) * shape.w * n..][..shape.w * n];
                let mut holders = Holders::new(&vertical, h);
                if !tiles || h >= vertical.outputs * vertical.window {
                    dx.fill(T::ZERO);
                } else {
                    dx[len * horizontal.window..].fill(T::ZERO);
                }
                while let Some((p, i)) = holders.next(&vertical) {
                    let from = (channel * vertical.outputs + p) * len;
                    let row = Row {
                        axis: &horizontal,
                        n,
                        first: i * shape.kw,
                        rows: vertical.taps(p).len(),
                        argmax: if MAX { &argmax[from..][..len] } else { &[] },
                        dy: &dy[from..][..len],
                    };
                    if tiles {
                        row.tile::<S, MAX>(s, dx);
                    } else {
                        row.add::<S, MAX>(s, dx);
                    }
                }
            }
        }
    }
}

/// The windows that hold a row of input elements, from the last to the first.
struct Holders {
    /// The next window, and the distance from its start to the row.
    window: usize,
    distance: usize,
}

impl Holders {
    #[inline(always)]
    fn new(axis: &Axis, row: usize) -> Self {
        let from_start = row + axis.padding;
        let window = (from_start / axis.stride).min(axis.outputs - 1);
        Self { window, distance: from_start - window * axis.stride }
    }

    /// A window, and which of its rows this is.
    #[inline(always)]
    fn next(&mut self, axis: &Axis) -> Option<(usize, usize)> {
        while self.distance < axis.span {
            let (window, distance) = (self.window, self.distance);
            self.distance = if window == 0 { axis.span } else { distance + axis.stride };
            self.window = window.wrapping_sub(1);
            if distance.is_multiple_of(axis.dilation) {
                return Some((window, distance / axis.dilation));
            }
        }
        None
    }
}

/// A row of output gradients, and the row of their windows that lies on the row of input gradients in question.
struct Row<'a, T> {
    axis: &'a Axis,
    n: usize,
    /// The index of the window row's first element.
    first: usize,
    /// Window rows inside the image.
    rows: usize,
    argmax: &'a [T],
    dy: &'a [T],
}

impl<T: Element> Row<'_, T> {
    /// `dx = part of dy`, where windows lie side by side.
    #[inline(always)]
    fn tile<S: Level, const MAX: bool>(&self, s: S, dx: &mut [T]) {
        match vectors::<S, T>(self.n) {
            0 => self.tile_any::<S, MAX>(s, dx),
            v if v % 2 == 0 => self.tile_blocks::<S, 2, MAX>(s, dx),
            _ => self.tile_blocks::<S, 1, MAX>(s, dx),
        }
    }

    #[inline(always)]
    fn tile_blocks<S: Level, const B: usize, const MAX: bool>(&self, s: S, dx: &mut [T]) {
        let window = self.axis.window;
        let (argmax, dy) = (blocks::<S, T, B>(self.argmax), blocks::<S, T, B>(self.dy));
        let dx = blocks_mut::<S, T, B>(dx);
        let len = self.n / (B * T::lanes::<S>());
        let share = T::splat(s, reciprocal(self.rows * window));
        for o in 0..self.axis.outputs {
            for at in 0..len {
                let dy = dy[o * len + at];
                let argmax = if MAX { argmax[o * len + at] } else { dy };
                for j in 0..window {
                    let k = T::splat(s, from_index(self.first + j));
                    let dx = &mut dx[(o * window + j) * len + at];
                    for b in 0..B {
                        dx[b] = part::<S, T, MAX>(s, k, share, argmax[b], dy[b]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn tile_any<S: Level, const MAX: bool>(&self, s: S, dx: &mut [T]) {
        let Self { n, .. } = *self;
        let share = T::splat(s, reciprocal(self.rows * self.axis.window));
        for o in 0..self.axis.outputs {
            for at in (0..n).step_by(T::lanes::<S>()) {
                let width = T::lanes::<S>().min(n - at);
                let dy = load(s, &self.dy[o * n + at..][..width]);
                let argmax = if MAX { load(s, &self.argmax[o * n + at..][..width]) } else { dy };
                for j in 0..self.axis.window {
                    let k = T::splat(s, from_index(self.first + j));
                    let dx = &mut dx[(o * self.axis.window + j) * n + at..][..width];
                    store(s, dx, part::<S, T, MAX>(s, k, share, argmax, dy));
                }
            }
        }
    }

    /// `dx += part of dy`, element by element of the window row.
    #[inline(always)]
    fn add<S: Level, const MAX: bool>(&self, s: S, dx: &mut [T]) {
        let Self { axis, rows, .. } = *self;
        let share = reciprocal(rows * axis.window);
        let interior = axis.interior();
        for j in 0..axis.window {
            let outputs = axis.outputs_with(j);
            if MAX {
                self.add_element::<S, MAX>(s, j, outputs, share, dx);
                continue;
            }
            // Windows that reach into the padding divide by less.
            let start = interior.start.clamp(outputs.start, outputs.end);
            let end = interior.end.clamp(start, outputs.end);
            self.add_element::<S, MAX>(s, j, start..end, share, dx);
            for o in (outputs.start..start).chain(end..outputs.end) {
                self.add_element::<S, MAX>(s, j, o..o + 1, reciprocal(rows * axis.taps(o).len()), dx);
            }
        }
    }

    #[inline(always)]
    fn add_element<S: Level, const MAX: bool>(
        &self,
        s: S,
        j: usize,
        outputs: Range<usize>,
        share: T,
        dx: &mut [T],
    ) {
        let Self { axis, n, first, argmax, dy, .. } = *self;
        if outputs.is_empty() {
            return;
        }
        let (k, share) = (T::splat(s, from_index(first + j)), T::splat(s, share));
        // At stride 1 neighbouring windows are neighbours in memory too.
        let (count, len) = if axis.stride == 1 { (1, outputs.len() * n) } else { (outputs.len(), n) };
        let dy = &dy[outputs.start * n..][..count * len];
        let argmax = if MAX { &argmax[outputs.start * n..][..count * len] } else { dy };
        let dx = &mut dx[axis.position(outputs.start, j) * n..];
        let step = axis.stride * n;
        match vectors::<S, T>(n) {
            0 => add_any::<S, T, MAX>(s, k, share, [count, len, step], argmax, dy, dx),
            v if v % 2 == 0 => add_blocks::<S, T, 2, MAX>(s, k, share, [count, len, step], argmax, dy, dx),
            _ => add_blocks::<S, T, 1, MAX>(s, k, share, [count, len, step], argmax, dy, dx),
        }
    }
}

/// Adds parts of `count` stretches of `len` elements of `dy` to stretches of `dx` that start `step` apart.
#[inline(always)]
fn add_blocks<S: Level, T: Element, const B: usize, const MAX: bool>(
    s: S,
    k: T::V<S>,
    share: T::V<S>,
    [count, len, step]: [usize; 3],
    argmax: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    let unit = B * T::lanes::<S>();
    let (len, step) = (len / unit, step / unit);
    let (argmax, dy) = (blocks::<S, T, B>(argmax), blocks::<S, T, B>(dy));
    let dx = blocks_mut::<S, T, B>(dx);
    for o in 0..count {
        for at in 0..len {
            let (dy, argmax) = (dy[o * len + at], argmax[o * len + at]);
            let dx = &mut dx[o * step + at];
            for b in 0..B {
                dx[b] = T::vadd(s, dx[b], part::<S, T, MAX>(s, k, share, argmax[b], dy[b]));
            }
        }
    }
}

/// [`add_blocks`] for stretches that are no whole blocks.
#[inline(always)]
fn add_any<S: Level, T: Element, const MAX: bool>(
    s: S,
    k: T::V<S>,
    share: T::V<S>,
    [count, len, step]: [usize; 3],
    argmax: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    for o in 0..count {
        for at in (0..len).step_by(T::lanes::<S>()) {
            let width = T::lanes::<S>().min(len - at);
            let dy = load(s, &dy[o * len + at..][..width]);
            let argmax = load(s, &argmax[o * len + at..][..width]);
            let dx = &mut dx[o * step + at..][..width];
            store(s, dx, T::vadd(s, load(s, dx), part::<S, T, MAX>(s, k, share, argmax, dy)));
        }
    }
}

/// The part of `dy` that goes to window element `k`.
#[inline(always)]
fn part<S: Level, T: Element, const MAX: bool>(
    s: S,
    k: T::V<S>,
    share: T::V<S>,
    argmax: T::V<S>,
    dy: T::V<S>,
) -> T::V<S> {
    if MAX { T::select(s, T::equal(s, argmax, k), dy, T::zero(s)) } else { T::vmul(s, dy, share) }
}
