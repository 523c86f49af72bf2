//! The backward pass that max and average pooling share.
//!
//! A row of `dx` is the sum of the gradients of all windows that contain it. The kernel adds them up row by
//! row of the windows, and element by element of a window's row, while the row of `dx` stays in the
//! first-level cache:
//!
//! ```text
//! for each row of dx:
//!     for each row i of a window that lies on it:
//!         for each j: dx[o * stride + j * dilation - padding] += part(dy[o]) for all o
//! ```
//!
//! Where windows lie side by side, each element of `dx` has only one such part, and the kernel writes it
//! instead of adding it.

use super::geometry::{Axis, Holders};
use super::{Pool2d, blocks, blocks_mut, from_index, load, reciprocal, store, vectors};
use crate::element::Element;
use crate::elementwise::{Lanewise, update_lanes};
use crate::simd::{Kernel, Level};
use std::ops::Range;
use std::slice::from_ref;

/// With `MAX`, `dy` goes to the window element whose index is `argmax`. Without it, `dy` is divided equally
/// among the window's elements that count ([`Divisor`](super::Divisor)), and `argmax` is empty.
pub struct PoolBackward<'a, T, const MAX: bool> {
    pub(super) shape: &'a Pool2d,
    pub(super) n: usize,
    pub(super) argmax: &'a [T],
    pub(super) dy: &'a [T],
    pub(super) dx: &'a mut [T],
}

impl<T: Element, const MAX: bool> Kernel for PoolBackward<'_, T, MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) {
        match (self.shape.halves(), vectors::<S, T>(self.n)) {
            (true, 1) => self.halves::<S, 1, 8>(s),
            (true, 2) => self.halves::<S, 2, 4>(s),
            (true, 4) => self.halves::<S, 4, 2>(s),
            (true, 8) => self.halves::<S, 8, 1>(s),
            (false, 1) if !MAX && self.shape.is_whole() => self.spread::<S, 1>(s),
            (false, 2) if !MAX && self.shape.is_whole() => self.spread::<S, 2>(s),
            (false, _) if !MAX && self.shape.is_whole() && self.n > 0 => self.spread_any(s),
            (false, 1..) if !self.shape.tiles() && self.overlapping(s) => {}
            _ => self.rows(s),
        }
    }
}

impl<T: Element, const MAX: bool> PoolBackward<'_, T, MAX> {
    /// The gradient for 2x2 windows side by side and samples of `B` vectors, with `Q` windows in a burst.
    #[inline(always)]
    fn halves<S: Level, const B: usize, const Q: usize>(self, s: S) {
        let Self { shape, argmax, dy, dx, .. } = self;
        let dy = blocks::<S, T, B>(dy);
        let argmax = if MAX { blocks::<S, T, B>(argmax) } else { dy };
        let dx = blocks_mut::<S, T, B>(dx);
        let mut weights = [T::splat(s, reciprocal(4)); 4];
        if MAX {
            for (k, weight) in weights.iter_mut().enumerate() {
                *weight = T::splat(s, from_index(k));
            }
        }
        let [a, b, c, d] = weights;
        if shape.is_column_of_halves() {
            for ((dx, argmax), dy) in dx.as_chunks_mut::<4>().0.iter_mut().zip(argmax).zip(dy) {
                let (top, bottom) = dx.split_at_mut(2);
                halve_row::<S, T, B, 1, MAX>(s, [a, b], from_ref(argmax), from_ref(dy), top);
                halve_row::<S, T, B, 1, MAX>(s, [c, d], from_ref(argmax), from_ref(dy), bottom);
            }
            return;
        }
        let (oh, ow) = (shape.oh(), shape.ow());
        let (pixels, w) = (shape.pixels(), shape.horizontal.size);
        let nothing = [T::zero(s); B];
        for channel in 0..shape.c {
            let image = &mut dx[channel * pixels..][..pixels];
            image[2 * oh * w..].fill(nothing);
            for p in 0..oh {
                let from = (channel * oh + p) * ow;
                let (argmax, dy) = (&argmax[from..][..ow], &dy[from..][..ow]);
                let (top, bottom) = image[2 * p * w..][..2 * w].split_at_mut(w);
                top[2 * ow..].fill(nothing);
                bottom[2 * ow..].fill(nothing);
                let mut o = 0;
                while o + Q <= ow {
                    let (argmax, dy) = (&argmax[o..], &dy[o..]);
                    halve_row::<S, T, B, Q, MAX>(s, [a, b], argmax, dy, &mut top[2 * o..]);
                    halve_row::<S, T, B, Q, MAX>(s, [c, d], argmax, dy, &mut bottom[2 * o..]);
                    o += Q;
                }
                while o < ow {
                    let (argmax, dy) = (&argmax[o..], &dy[o..]);
                    halve_row::<S, T, B, 1, MAX>(s, [a, b], argmax, dy, &mut top[2 * o..]);
                    halve_row::<S, T, B, 1, MAX>(s, [c, d], argmax, dy, &mut bottom[2 * o..]);
                    o += 1;
                }
            }
        }
    }

    /// The gradient for one window that is the whole image and samples of `B` vectors: every pixel has the
    /// same gradient.
    #[inline(always)]
    fn spread<S: Level, const B: usize>(self, s: S) {
        let pixels = self.shape.pixels();
        let share = T::splat(s, reciprocal(pixels));
        let images = blocks_mut::<S, T, B>(self.dx).chunks_exact_mut(pixels);
        for (image, dy) in images.zip(blocks::<S, T, B>(self.dy)) {
            let mut pixel = *dy;
            for b in 0..B {
                pixel[b] = T::vmul(s, dy[b], share);
            }
            image.fill(pixel);
        }
    }

    /// [`spread`](Self::spread) for any number of samples.
    #[inline(always)]
    fn spread_any<S: Level>(self, s: S) {
        let share = Share(reciprocal(self.shape.pixels()));
        let images = self.dx.chunks_exact_mut(self.shape.pixels() * self.n);
        for (image, dy) in images.zip(self.dy.chunks_exact(self.n)) {
            update_lanes(s, share, [&mut image[..self.n]], [dy]);
            let mut done = self.n;
            while done < image.len() {
                let len = done.min(image.len() - done);
                image.copy_within(..len, done);
                done += len;
            }
        }
    }

    #[inline(always)]
    fn rows<S: Level>(self, s: S) {
        let Self { shape, n, argmax, dy, dx } = self;
        let (vertical, horizontal) = (shape.vertical, shape.horizontal);
        let tiles = shape.tiles();
        let len = horizontal.outputs * n;
        for channel in 0..shape.c {
            for h in 0..vertical.size {
                let dx =
                    &mut dx[(channel * vertical.size + h) * horizontal.size * n..][..horizontal.size * n];
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
                        first: i * horizontal.window,
                        rows: vertical.counted(p),
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

/// The gradient of a pixel: that of the average times the pixel's share.
#[derive(Clone, Copy)]
struct Share<T>(T);

impl<T: Element> Lanewise<T, 1, 1> for Share<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [dy]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::vmul(s, dy, T::splat(s, self.0))]
    }
}

/// One row of `Q` windows in [`PoolBackward::halves`].
#[inline(always)]
fn halve_row<S: Level, T: Element, const B: usize, const Q: usize, const MAX: bool>(
    s: S,
    [left, right]: [T::V<S>; 2],
    argmax: &[[T::V<S>; B]],
    dy: &[[T::V<S>; B]],
    dx: &mut [[T::V<S>; B]],
) {
    let (argmax, dy, dx) = (&argmax[..Q], &dy[..Q], &mut dx[..2 * Q]);
    for q in 0..Q {
        for b in 0..B {
            dx[2 * q][b] = part::<S, T, MAX>(s, left, argmax[q][b], dy[q][b]);
            dx[2 * q + 1][b] = part::<S, T, MAX>(s, right, argmax[q][b], dy[q][b]);
        }
    }
}

/// A row of `dy`, and one row of its windows, which lies on the row of `dx` that is being computed.
struct Row<'a, T> {
    axis: &'a Axis,
    n: usize,
    /// The index of the window row's first element.
    first: usize,
    /// The number of window rows that count in an average.
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
                        dx[b] = part::<S, T, MAX>(s, if MAX { k } else { share }, argmax[b], dy[b]);
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
                    store(s, dx, part::<S, T, MAX>(s, if MAX { k } else { share }, argmax, dy));
                }
            }
        }
    }

    /// `dx += part of dy`, one element of the window row after the other.
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
            // A window that reaches into the padding may have fewer elements, and larger shares then.
            let start = interior.start.clamp(outputs.start, outputs.end);
            let end = interior.end.clamp(start, outputs.end);
            self.add_element::<S, MAX>(s, j, start..end, share, dx);
            for o in (outputs.start..start).chain(end..outputs.end) {
                self.add_element::<S, MAX>(s, j, o..o + 1, reciprocal(rows * axis.counted(o)), dx);
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
        // At stride 1, neighbouring windows are neighbours in memory too, so they form one piece.
        let (count, len) = if axis.stride == 1 { (1, outputs.len() * n) } else { (outputs.len(), n) };
        let dy = &dy[outputs.start * n..][..count * len];
        let argmax = if MAX { &argmax[outputs.start * n..][..count * len] } else { dy };
        let dx = &mut dx[axis.position(outputs.start, j) * n..];
        let step = axis.stride * n;
        let weight = if MAX { k } else { share };
        match vectors::<S, T>(n) {
            0 => add_any::<S, T, MAX>(s, weight, [count, len, step], argmax, dy, dx),
            v if v % 2 == 0 => add_blocks::<S, T, 2, MAX>(s, weight, [count, len, step], argmax, dy, dx),
            _ => add_blocks::<S, T, 1, MAX>(s, weight, [count, len, step], argmax, dy, dx),
        }
    }
}

/// Adds the part of one output's gradient `dy` to one element `dx` of its window, for all samples. `weight`
/// is that of [`part`].
#[inline(always)]
pub(super) fn add_to_element<S: Level, T: Element, const MAX: bool>(
    s: S,
    weight: T,
    argmax: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    let (weight, n) = (T::splat(s, weight), dy.len());
    match vectors::<S, T>(n) {
        0 => add_any::<S, T, MAX>(s, weight, [1, n, n], argmax, dy, dx),
        _ => add_blocks::<S, T, 1, MAX>(s, weight, [1, n, n], argmax, dy, dx),
    }
}

/// Adds parts of `dy`, which has `count` pieces of `len` elements, to pieces of `dx` that are `step` apart.
#[inline(always)]
fn add_blocks<S: Level, T: Element, const B: usize, const MAX: bool>(
    s: S,
    weight: T::V<S>,
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
                dx[b] = T::vadd(s, dx[b], part::<S, T, MAX>(s, weight, argmax[b], dy[b]));
            }
        }
    }
}

/// [`add_blocks`] for pieces that are no whole number of blocks.
#[inline(always)]
fn add_any<S: Level, T: Element, const MAX: bool>(
    s: S,
    weight: T::V<S>,
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
            store(s, dx, T::vadd(s, load(s, dx), part::<S, T, MAX>(s, weight, argmax, dy)));
        }
    }
}

/// The part of `dy` that goes to a window element. `weight` is the index of the element with `MAX`, and its
/// share without.
#[inline(always)]
pub(super) fn part<S: Level, T: Element, const MAX: bool>(
    s: S,
    weight: T::V<S>,
    argmax: T::V<S>,
    dy: T::V<S>,
) -> T::V<S> {
    if MAX { T::select(s, T::equal(s, argmax, weight), dy, T::zero(s)) } else { T::vmul(s, dy, weight) }
}
