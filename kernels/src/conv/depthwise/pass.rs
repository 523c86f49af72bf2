//! The forward pass and the input gradient.
//!
//! ```text
//! for each filter, each band of rows, each strip of it, each block, each window of the kernel elements
//!   the window's weights go to registers
//!   for each pixel of the strip
//!     sums = bias; sums += weight * vectors of the source, for each element of the window
//!     store, with the epilogue
//! ```
//!
//! The input gradient is the same loop over the transposed axes. The gradients of all filters of a channel
//! are added to each other in the target.

use super::plan::{Block, Plan};
use crate::conv::direct::{Epilogue, GradientEpilogue, activate, relu_gradient};
use crate::element::Element;
use crate::simd::{Kernel, Level};
use crate::{Accum, Activation};
use std::ops::Range;

pub struct DepthwisePass<'a, T> {
    pub(super) plan: &'a Plan,
    /// The number of filters for each plane of the source, and for each plane of the target. One of them
    /// is 1.
    pub(super) filters: [usize; 2],
    pub(super) n: usize,
    pub(super) x: &'a [T],
    pub(super) w: &'a [T],
    pub(super) bias: Option<&'a [T]>,
    pub(super) epilogue: Epilogue<'a, T>,
    pub(super) y: &'a mut [T],
}

/// How sums start, and the operation on them before they are stored.
#[derive(Clone, Copy)]
struct Ends<'a, T> {
    start: T,
    /// Whether the old values of the target are added.
    adds: bool,
    /// The function of the sums.
    activation: Activation,
    /// The output of a ReLU whose gradient follows. It has the target's shape.
    relu_output: Option<&'a [T]>,
}

/// The source, the weights and the target of one filter.
struct Planes<'a, T> {
    x: &'a [T],
    w: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for DepthwisePass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        let Self { plan, filters, n, x, w, bias, epilogue, y } = self;
        let [source_len, target_len] = [plan.source_pixels * n, plan.target_pixels * n];
        let (adds, activation, relu_output) = match epilogue {
            Epilogue::Gradient(GradientEpilogue { accum, relu_output }) => {
                (accum == Accum::Add, Activation::Identity, relu_output)
            }
            Epilogue::Store => (false, Activation::Identity, None),
            Epilogue::Activation(activation) => (false, activation, None),
            Epilogue::Addition(_) => unreachable!("a depthwise pass is followed by additions of its own"),
        };
        for (f, w) in w.chunks_exact(plan.kernel_len).enumerate() {
            let target = f / filters[1] * target_len..(f / filters[1] + 1) * target_len;
            let adds = adds || !f.is_multiple_of(filters[1]);
            let mut ends = Ends { start: T::ZERO, adds, activation, relu_output: None };
            if let Some(bias) = bias {
                ends.start = bias[f];
            }
            if let Some(x) = relu_output
                && (f + 1).is_multiple_of(filters[1])
            {
                ends.relu_output = Some(&x[target.clone()]);
            }
            let x = &x[f / filters[0] * source_len..][..source_len];
            plane(s, plan, n, &mut Planes { x, w, y: &mut y[target] }, ends);
        }
    }
}

/// All pixels of one filter.
#[inline(always)]
fn plane<T: Element, S: Level>(s: S, plan: &Plan, n: usize, planes: &mut Planes<'_, T>, ends: Ends<'_, T>) {
    let strip = plan.strip_rows(n * size_of::<T>());
    for band in &plan.bands {
        for first in (0..band.rows).step_by(strip) {
            let rows = first..(first + strip).min(band.rows);
            for block in &band.blocks {
                let ends = ends.of_window(block);
                let rows = rows.clone();
                match (block.window[0], block.window[1]) {
                    (3, 3) => window::<T, S, 3, 3>(s, block, rows, n, planes, ends),
                    (3, 2) => window::<T, S, 3, 2>(s, block, rows, n, planes, ends),
                    (3, 1) => window::<T, S, 3, 1>(s, block, rows, n, planes, ends),
                    (2, 3) => window::<T, S, 2, 3>(s, block, rows, n, planes, ends),
                    (2, 2) => window::<T, S, 2, 2>(s, block, rows, n, planes, ends),
                    (2, 1) => window::<T, S, 2, 1>(s, block, rows, n, planes, ends),
                    (1, 3) => window::<T, S, 1, 3>(s, block, rows, n, planes, ends),
                    (1, 2) => window::<T, S, 1, 2>(s, block, rows, n, planes, ends),
                    (1, 1) => window::<T, S, 1, 1>(s, block, rows, n, planes, ends),
                    _ => window::<T, S, 0, 0>(s, block, rows, n, planes, ends),
                }
            }
        }
    }
}

impl<T: Element> Ends<'_, T> {
    /// The ends of one of the windows of a block: only the first one starts from the bias, and only behind
    /// the last one are there further operations.
    #[inline(always)]
    fn of_window(self, block: &Block) -> Self {
        Self {
            start: if block.is_first { self.start } else { T::ZERO },
            adds: self.adds || !block.is_first,
            activation: if block.is_last { self.activation } else { Activation::Identity },
            relu_output: if block.is_last { self.relu_output } else { None },
        }
    }

    /// The operation on `V` vectors of sums, whose old values are `y`. `relu_output` has the output of the
    /// ReLU for them, if there is one.
    #[inline(always)]
    fn apply<S: Level, const V: usize>(
        &self,
        s: S,
        y: &[T::V<S>; V],
        relu_output: Option<&[T::V<S>; V]>,
        sums: &mut [T::V<S>; V],
    ) {
        if self.adds {
            for v in 0..V {
                sums[v] = T::vadd(s, y[v], sums[v]);
            }
        }
        activate::<T, S, 1, V>(s, self.activation, std::array::from_mut(sums));
        if let Some(x) = relu_output {
            for v in 0..V {
                sums[v] = relu_gradient::<T, S>(s, sums[v], x[v]);
            }
        }
    }
}

/// A window of `R` by `C` kernel elements over some rows of a block.
#[inline(always)]
fn window<T: Element, S: Level, const R: usize, const C: usize>(
    s: S,
    block: &Block,
    rows: Range<usize>,
    n: usize,
    planes: &mut Planes<'_, T>,
    ends: Ends<'_, T>,
) {
    let mut w = [[T::zero(s); C]; R];
    for (r, w) in w.iter_mut().enumerate() {
        for (c, w) in w.iter_mut().enumerate() {
            *w = T::splat(s, planes.w[block.element(r, c)]);
        }
    }
    match block.pixel_vectors(n, T::lanes::<S>()) {
        2 => pixels::<T, S, R, C, 2>(s, block, rows, &w, planes, ends),
        4 => pixels::<T, S, R, C, 4>(s, block, rows, &w, planes, ends),
        _ => pieces(s, block, rows, n, &w, planes, ends),
    }
}

/// [`window`] for pixels of `V` vectors and a window whose columns are neighbours.
#[inline(always)]
fn pixels<T: Element, S: Level, const R: usize, const C: usize, const V: usize>(
    s: S,
    block: &Block,
    rows: Range<usize>,
    w: &[[T::V<S>; C]; R],
    planes: &mut Planes<'_, T>,
    ends: Ends<'_, T>,
) {
    let x = T::split::<S>(planes.x).0.as_chunks::<V>().0;
    let y = T::split_mut::<S>(planes.y).0.as_chunks_mut::<V>().0;
    let mut relu_output: &[[T::V<S>; V]] = &[];
    if let Some(x) = ends.relu_output {
        relu_output = T::split::<S>(x).0.as_chunks::<V>().0;
    }
    for row in rows {
        let mut images: [&[[T::V<S>; V]]; R] = [&[]; R];
        for (r, image) in images.iter_mut().enumerate() {
            let first = block.source + row * block.source_steps[0] + r * block.window_steps[0];
            *image = &x[first..][..block.source_span()];
        }
        let first = block.target + row * block.target_steps[0];
        for q in 0..block.columns {
            let mut sums = [T::splat(s, ends.start); V];
            for r in 0..R {
                let image = &images[r][q * block.source_steps[1]..][..C];
                for c in 0..C {
                    for v in 0..V {
                        sums[v] = T::mul_add(s, w[r][c], image[c][v], sums[v]);
                    }
                }
            }
            let target = first + q * block.target_steps[1];
            let y = &mut y[target];
            ends.apply(s, y, relu_output.get(target), &mut sums);
            *y = sums;
        }
    }
}

/// [`window`] for any number of samples and any dilation.
#[inline(always)]
fn pieces<T: Element, S: Level, const R: usize, const C: usize>(
    s: S,
    block: &Block,
    rows: Range<usize>,
    n: usize,
    w: &[[T::V<S>; C]; R],
    planes: &mut Planes<'_, T>,
    ends: Ends<'_, T>,
) {
    let [pieces, piece_pixels] = block.pieces();
    let len = piece_pixels * n;
    for row in rows {
        for q in 0..pieces {
            let source = block.source + row * block.source_steps[0] + q * block.source_steps[1];
            let target = (block.target + row * block.target_steps[0] + q * block.target_steps[1]) * n;
            let mut x: [[&[T]; C]; R] = [[&[]; C]; R];
            for (r, x) in x.iter_mut().enumerate() {
                for (c, x) in x.iter_mut().enumerate() {
                    let first = source + r * block.window_steps[0] + c * block.window_steps[1];
                    *x = &planes.x[first * n..][..len];
                }
            }
            let mut ends = ends;
            if let Some(x) = ends.relu_output {
                ends.relu_output = Some(&x[target..][..len]);
            }
            piece(s, w, &x, ends, &mut planes.y[target..][..len]);
        }
    }
}

/// A window over one piece, which is contiguous in the source and in the target.
#[inline(always)]
fn piece<T: Element, S: Level, const R: usize, const C: usize>(
    s: S,
    w: &[[T::V<S>; C]; R],
    x: &[[&[T]; C]; R],
    ends: Ends<'_, T>,
    y: &mut [T],
) {
    let (y, y_tail) = T::split_mut::<S>(y);
    let mut vectors: [[&[T::V<S>]; C]; R] = [[&[]; C]; R];
    let mut tails: [[&[T]; C]; R] = [[&[]; C]; R];
    for r in 0..R {
        for c in 0..C {
            let (whole, tail) = T::split::<S>(x[r][c]);
            // The compiler sees here that all slices have one length.
            (vectors[r][c], tails[r][c]) = (&whole[..y.len()], tail);
        }
    }
    let (relu_output, relu_output_tail) = T::split::<S>(ends.relu_output.unwrap_or_default());
    let relu_output = relu_output.as_chunks::<1>().0;
    for (i, y) in y.as_chunks_mut::<1>().0.iter_mut().enumerate() {
        let mut sum = [T::splat(s, ends.start)];
        for r in 0..R {
            for c in 0..C {
                sum[0] = T::mul_add(s, w[r][c], vectors[r][c][i], sum[0]);
            }
        }
        ends.apply(s, y, relu_output.get(i), &mut sum);
        *y = sum;
    }
    if y_tail.is_empty() {
        return;
    }
    let mut sum = [T::splat(s, ends.start)];
    for r in 0..R {
        for c in 0..C {
            sum[0] = T::mul_add(s, w[r][c], T::load_partial(s, tails[r][c]), sum[0]);
        }
    }
    let relu_output = [T::load_partial(s, relu_output_tail)];
    let relu_output = if ends.relu_output.is_some() { Some(&relu_output) } else { None };
    ends.apply(s, &[T::load_partial(s, y_tail)], relu_output, &mut sum);
    T::store_partial(s, y_tail, sum[0]);
}
