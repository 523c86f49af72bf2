//! Local response normalisation: each element is divided by a power of the energy around it, over
//! neighbouring channels.
//!
//! The channels of `[C, H, W, N]` are rows of `pixels * n` elements. A sum over neighbouring channels is a
//! sum of rows, so every loop runs along contiguous memory. The kernels work on blocks of columns that are
//! narrow enough for the rows of one sum to stay in the cache. Blocks change no result: a column sees only
//! itself.

use crate::Pass;
use crate::element::Element;
use crate::elementwise::{Lanewise, lanewise, update_lanes};
use crate::simd::{Kernel, Level};
use std::ops::Range;

/// Local response normalisation of images of `c` channels of `pixels` pixels:
///
/// ```text
/// d[i] = k + alpha / size * sum over the channels j around i of x[j]^2
/// y[i] = x[i] / d[i]^beta
/// ```
///
/// The channels around `i` are those from `i - size / 2` to `i + (size - 1) / 2` (quotients rounded down)
/// that exist. So at the first and the last channels, the sum has fewer terms, but `alpha` is divided by
/// `size` all the same.
///
/// # Numerics
///
/// All terms of `d` are positive, and its relative error is at most `(size + 2) EPSILON`. Powers of 1/2, 3/4
/// and 1 are square roots and divisions. Any other power is `e^(-beta ln d)`, whose relative error is at most
/// `(3 + 4 beta |ln d|) EPSILON` beyond that of `d`. A square that overflows makes `d` infinite and `y` 0.
/// NaN makes all elements around it NaN.
///
/// # Source
///
/// Krizhevsky, Sutskever, Hinton: "ImageNet classification with deep convolutional neural networks", NIPS
/// 2012, section 3.3, where `alpha` is not divided by `size`. The division is that of Caffe and PyTorch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalResponse {
    /// Channels.
    pub c: usize,
    /// Pixels of an image, height times width.
    pub pixels: usize,
    /// The number of channels in a sum, at least 1.
    pub size: usize,
    /// The factor of the mean square, at least 0.
    pub alpha: f64,
    /// The power, at least 0.
    pub beta: f64,
    /// The number that is added, above 0.
    pub k: f64,
}

/// The most columns of a block: the backward pass works on about fifteen rows at a time, 30 kB in f32. It is
/// a whole number of vectors at every level.
const BLOCK: usize = 512;

impl LocalResponse {
    /// Computes `y` from `x`, both `[C, H, W, N]`; overwrites `y`. Needs no scratch memory.
    ///
    /// # Panics
    ///
    /// When a length does not fit, or a parameter is outside its range.
    pub fn forward<T: Element>(&self, pass: Pass<'_, T>, x: &[T], y: &mut [T]) {
        self.forward_channels(pass, 0..self.c, x, y);
    }

    /// The part of [`forward`](Self::forward) that computes the channels `channels`: `y` is
    /// `[channels, H, W, N]`, `x` is that of all channels. Each channel has the bits of `forward`.
    ///
    /// # Panics
    ///
    /// When `channels` are not channels of the image, and as `forward`.
    pub fn forward_channels<T: Element>(
        &self,
        pass: Pass<'_, T>,
        channels: Range<usize>,
        x: &[T],
        y: &mut [T],
    ) {
        self.check(pass.n, &channels, &[("x", x.len())], &[("y", y.len())]);
        pass.isa.run(Forward { rows: Rows::new(self, pass.n), channels, x, y });
    }

    /// Computes the gradient by the input from the input and the gradient by the output:
    ///
    /// ```text
    /// dx[i] = dy[i] / d[i]^beta - 2 alpha beta / size * x[i] * sum over j of dy[j] x[j] / d[j]^(beta + 1)
    /// ```
    ///
    /// where `j` goes over the channels whose sums contain channel `i`. `x`, `dy` and `dx` are
    /// `[C, H, W, N]`; overwrites `dx`. `d` is computed again: it would take as much memory as the output.
    ///
    /// # Panics
    ///
    /// When a length does not fit, the scratch memory is too short, or a parameter is outside its range.
    pub fn backward<T: Element>(&self, pass: Pass<'_, T>, x: &[T], dy: &[T], dx: &mut [T]) {
        self.backward_channels(pass, 0..self.c, x, dy, dx);
    }

    /// The part of [`backward`](Self::backward) that computes the channels `channels`: `dx` is
    /// `[channels, H, W, N]`, `x` and `dy` are those of all channels. Each channel has the bits of
    /// `backward`.
    ///
    /// # Panics
    ///
    /// When `channels` are not channels of the image, and as `backward`.
    pub fn backward_channels<T: Element>(
        &self,
        pass: Pass<'_, T>,
        channels: Range<usize>,
        x: &[T],
        dy: &[T],
        dx: &mut [T],
    ) {
        self.check(pass.n, &channels, &[("x", x.len()), ("dy", dy.len())], &[("dx", dx.len())]);
        let (len, needed) = (pass.scratch.len(), self.scratch_len(pass.n));
        assert!(
            len >= needed,
            "local response: the scratch memory has {len} elements, but {needed} are needed"
        );
        let scratch = &mut pass.scratch[..needed];
        pass.isa.run(Backward { rows: Rows::new(self, pass.n), channels, x, dy, dx, scratch });
    }

    /// The number of scratch elements that [`backward`](Self::backward) needs for `n` samples.
    pub fn scratch_len(&self, n: usize) -> usize {
        (self.size.min(self.c) + 1) * self.block(n)
    }

    /// The number of columns in a block.
    fn block(&self, n: usize) -> usize {
        BLOCK.min(self.pixels * n)
    }

    /// Checks the parameters, and the lengths of tensors that have all channels or only `channels`.
    fn check(&self, n: usize, channels: &Range<usize>, whole: &[(&str, usize)], part: &[(&str, usize)]) {
        let Self { c, pixels, size, alpha, beta, k } = *self;
        let valid = size > 0 && alpha >= 0.0 && beta >= 0.0 && k > 0.0 && (alpha + beta + k).is_finite();
        assert!(valid, "local response: size {size}, alpha {alpha}, beta {beta}, k {k}");
        assert!(
            channels.start <= channels.end && channels.end <= c,
            "local response: channels {channels:?} of {c}"
        );
        for (c, tensors) in [(c, whole), (channels.len(), part)] {
            let needed = c.checked_mul(pixels).and_then(|len| len.checked_mul(n));
            for (name, len) in tensors {
                assert!(
                    needed == Some(*len),
                    "local response: {name} has {len} elements, but {c} channels of {pixels} pixels of {n} \
                     samples need {}",
                    c.saturating_mul(pixels).saturating_mul(n)
                );
            }
        }
    }

    /// The channels whose squares are in the sum of channel `i`.
    fn around(&self, i: usize) -> Range<usize> {
        i.saturating_sub(self.size / 2)..i.saturating_add(self.size.div_ceil(2)).min(self.c)
    }

    /// The channels whose sums contain the square of channel `i`.
    fn holders(&self, i: usize) -> Range<usize> {
        i.saturating_sub((self.size - 1) / 2)..i.saturating_add(self.size / 2 + 1).min(self.c)
    }
}

/// `d^-beta`.
#[derive(Clone, Copy)]
enum Power<T> {
    Half,
    ThreeQuarters,
    One,
    /// Minus beta.
    Any(T),
}

impl<T: Element> Power<T> {
    fn new(beta: f64) -> Self {
        match beta {
            0.5 => Self::Half,
            0.75 => Self::ThreeQuarters,
            1.0 => Self::One,
            beta => Self::Any(T::from_f64(-beta)),
        }
    }

    #[inline(always)]
    fn of<S: Level>(self, s: S, d: T::V<S>) -> T::V<S> {
        let one = T::splat(s, T::ONE);
        match self {
            Self::Half => T::vdiv(s, one, T::sqrt(s, d)),
            Self::ThreeQuarters => {
                let root = T::sqrt(s, d);
                T::vdiv(s, one, T::vmul(s, root, T::sqrt(s, root)))
            }
            Self::One => T::vdiv(s, one, d),
            Self::Any(minus_beta) => T::exp(s, T::vmul(s, T::splat(s, minus_beta), T::ln(s, d))),
        }
    }
}

/// The parameters as elements, and the rows of the blocks.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    shape: &'a LocalResponse,
    /// The number of elements in a channel.
    row: usize,
    block: usize,
    k: T,
    /// `alpha / size`.
    factor: T,
    power: Power<T>,
}

impl<'a, T: Element> Rows<'a, T> {
    fn new(shape: &'a LocalResponse, n: usize) -> Self {
        Self {
            shape,
            row: shape.pixels * n,
            block: shape.block(n),
            k: T::from_f64(shape.k),
            factor: T::from_f64(shape.alpha / shape.size as f64),
            power: Power::new(shape.beta),
        }
    }

    /// The columns from `first` on that are one block, in row `i`.
    #[inline(always)]
    fn columns(&self, i: usize, first: usize) -> Range<usize> {
        let start = i * self.row + first;
        start..start + self.block.min(self.row - first)
    }

    /// The number of channels that one sum of the backward pass needs.
    #[inline(always)]
    fn ring(&self) -> usize {
        self.shape.size.min(self.shape.c)
    }

    /// The place of channel `j` in the scratch memory of the backward pass, for `len` columns. The channel
    /// [`ring`](Self::ring) further takes it over.
    #[inline(always)]
    fn slot(&self, j: usize, len: usize) -> Range<usize> {
        let start = j % self.ring() * self.block;
        start..start + len
    }

    /// `d` of channel `i` for the block that begins at column `first`.
    #[inline(always)]
    fn denominators<S: Level>(&self, s: S, i: usize, first: usize, x: &[T], d: &mut [T]) {
        let around = self.shape.around(i);
        update_lanes(
            s,
            FirstSquare { k: self.k, factor: self.factor },
            [&mut *d],
            [&x[self.columns(around.start, first)]],
        );
        for j in around.start + 1..around.end {
            update_lanes(s, NextSquare(self.factor), [&mut *d], [&x[self.columns(j, first)]]);
        }
    }
}

/// `d = k + factor x^2`.
#[derive(Clone, Copy)]
struct FirstSquare<T> {
    k: T,
    factor: T,
}

impl<T: Element> Lanewise<T, 1, 1> for FirstSquare<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        let scaled = T::vmul(s, T::splat(s, self.factor), x);
        [T::mul_add(s, scaled, x, T::splat(s, self.k))]
    }
}

/// `d += factor x^2`.
#[derive(Clone, Copy)]
struct NextSquare<T>(T);

impl<T: Element> Lanewise<T, 1, 1> for NextSquare<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [d]: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::mul_add(s, T::vmul(s, T::splat(s, self.0), x), x, d)]
    }
}

/// `y = x / y^beta`, where `y` was `d`.
#[derive(Clone, Copy)]
struct Normalise<T>(Power<T>);

impl<T: Element> Lanewise<T, 1, 1> for Normalise<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [d]: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::vmul(s, x, self.0.of(s, d))]
    }
}

struct Forward<'a, T> {
    rows: Rows<'a, T>,
    /// Those of `y`.
    channels: Range<usize>,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { rows, channels, x, y } = self;
        for first in (0..rows.row).step_by(rows.block.max(1)) {
            for i in channels.clone() {
                let y = &mut y[rows.columns(i - channels.start, first)];
                rows.denominators(s, i, first, x, y);
                update_lanes(s, Normalise(rows.power), [y], [&x[rows.columns(i, first)]]);
            }
        }
    }
}

/// `dx = dy / d^beta`, and `dx x / d` in the place of `d`.
#[derive(Clone, Copy)]
struct Direct<T>(Power<T>);

impl<T: Element> Lanewise<T, 2, 2> for Direct<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [_, d]: [T::V<S>; 2], [x, dy]: [T::V<S>; 2]) -> [T::V<S>; 2] {
        let dx = T::vmul(s, dy, self.0.of(s, d));
        [dx, T::vmul(s, dx, T::vdiv(s, x, d))]
    }
}

lanewise!(Assign<1, 1>, _, [_], [x] => [x]);
lanewise!(Sum<1, 1>, s, [y], [x] => [T::vadd(s, y, x)]);

/// `dx += factor x sum`.
#[derive(Clone, Copy)]
struct Indirect<T>(T);

impl<T: Element> Lanewise<T, 1, 2> for Indirect<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [dx]: [T::V<S>; 1], [x, sum]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        [T::mul_add(s, T::vmul(s, T::splat(s, self.0), x), sum, dx)]
    }
}

struct Backward<'a, T> {
    rows: Rows<'a, T>,
    /// Those of `dx`.
    channels: Range<usize>,
    x: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
    /// The rows of the channels that one sum needs, and a row for a sum, or for what is not needed.
    scratch: &'a mut [T],
}

impl<T: Element> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) {
        let LocalResponse { c, size, .. } = *self.rows.shape;
        let Range { start, end } = self.channels;
        if start == end {
            return;
        }
        // The gradient of a channel needs the rows of so many channels behind it.
        let ahead = c.min(size / 2);
        let needed = self.rows.shape.holders(start).start..end + ahead;
        for first in (0..self.rows.row).step_by(self.rows.block.max(1)) {
            for j in needed.clone() {
                if j < c {
                    self.direct(s, j, first);
                }
                if j >= start + ahead {
                    self.indirect(s, j - ahead, first);
                }
            }
        }
    }
}

impl<T: Element> Backward<'_, T> {
    /// The part of `dx` that comes from `dy` of the same channel, and the row for the others.
    #[inline(always)]
    fn direct<S: Level>(&mut self, s: S, j: usize, first: usize) {
        let rows = self.rows;
        let columns = rows.columns(j, first);
        let (ratios, spare) = self.scratch.split_at_mut(rows.ring() * rows.block);
        let ratio = &mut ratios[rows.slot(j, columns.len())];
        rows.denominators(s, j, first, self.x, ratio);
        let dx = if self.channels.contains(&j) {
            &mut self.dx[rows.columns(j - self.channels.start, first)]
        } else {
            &mut spare[..columns.len()]
        };
        let inputs = [&self.x[columns.clone()], &self.dy[columns]];
        update_lanes(s, Direct(rows.power), [dx, ratio], inputs);
    }

    /// Adds the part of `dx` that comes from the channels around.
    #[inline(always)]
    fn indirect<S: Level>(&mut self, s: S, i: usize, first: usize) {
        let rows = self.rows;
        let (columns, holders) = (rows.columns(i, first), rows.shape.holders(i));
        let (ratios, sum) = self.scratch.split_at_mut(rows.ring() * rows.block);
        let sum = &mut sum[..columns.len()];
        update_lanes(s, Assign, [&mut *sum], [&ratios[rows.slot(holders.start, columns.len())]]);
        for j in holders.start + 1..holders.end {
            update_lanes(s, Sum, [&mut *sum], [&ratios[rows.slot(j, columns.len())]]);
        }
        let LocalResponse { size, alpha, beta, .. } = *rows.shape;
        let factor = Indirect(T::from_f64(-2.0 * alpha * beta / size as f64));
        let dx = &mut self.dx[rows.columns(i - self.channels.start, first)];
        update_lanes(s, factor, [dx], [&self.x[columns], &*sum]);
    }
}
