//! The inner loop of the direct weight gradient: dot products of every row of one operand with every row of the other.

use crate::element::Element;
use crate::simd::Level;

/// Rows `row` elements apart, each made of segments `segment` elements apart.
pub(super) struct Operand<'a, T> {
    pub(super) data: &'a [T],
    pub(super) row: usize,
    pub(super) segment: usize,
}

impl<T: Element> Operand<'_, T> {
    /// The vectors of row `i` that `segments` segments of `len` elements span.
    #[inline(always)]
    fn vectors<S: Level>(&self, i: usize, segments: usize, len: usize) -> &[T::V<S>] {
        let span = (segments - 1) * self.segment + len;
        T::split::<S>(&self.data[i * self.row..][..span]).0
    }
}

/// `acc[f][b] += dy[f] * x[b]`, lane by lane, over `segments` segments of `len` elements of rows `f` and `b`. Only a single
/// segment may have a length that is no multiple of the lanes.
#[inline(always)]
pub(super) fn dot<T: Element, S: Level, const F: usize, const B: usize>(
    s: S,
    dy: &Operand<'_, T>,
    x: &Operand<'_, T>,
    segments: usize,
    len: usize,
    acc: &mut [[T::V<S>; B]; F],
) {
    let lanes = T::lanes::<S>();
    let (vectors, tail) = (len / lanes, len % lanes);
    debug_assert!(tail == 0 || segments == 1);
    let mut dy_rows: [&[T::V<S>]; F] = [&[]; F];
    let mut x_rows: [&[T::V<S>]; B] = [&[]; B];
    for (f, row) in dy_rows.iter_mut().enumerate() {
        *row = dy.vectors::<S>(f, segments, len);
    }
    for (b, row) in x_rows.iter_mut().enumerate() {
        *row = x.vectors::<S>(b, segments, len);
    }
    match vectors {
        // Pixels of a strided row, where the loop over a pixel would be shorter than what goes around it.
        1 if segments > 1 => pixels::<T, S, F, B, 1>(s, dy_rows, x_rows, segments, x.segment / len, acc),
        2 if segments > 1 => pixels::<T, S, F, B, 2>(s, dy_rows, x_rows, segments, x.segment / len, acc),
        4 if segments > 1 => pixels::<T, S, F, B, 4>(s, dy_rows, x_rows, segments, x.segment / len, acc),
        _ => {
            let mut sums = *acc;
            for segment in 0..segments {
                let (dy_start, x_start) = (segment * dy.segment / lanes, segment * x.segment / lanes);
                let mut dy_segment: [&[T::V<S>]; F] = [&[]; F];
                let mut x_segment: [&[T::V<S>]; B] = [&[]; B];
                for f in 0..F {
                    dy_segment[f] = &dy_rows[f][dy_start..][..vectors];
                }
                for b in 0..B {
                    x_segment[b] = &x_rows[b][x_start..][..vectors];
                }
                for v in 0..vectors {
                    let mut column = [T::zero(s); B];
                    for b in 0..B {
                        column[b] = x_segment[b][v];
                    }
                    for f in 0..F {
                        let dy = dy_segment[f][v];
                        for b in 0..B {
                            sums[f][b] = T::mul_add(s, dy, column[b], sums[f][b]);
                        }
                    }
                }
            }
            *acc = sums;
        }
    }
    if tail > 0 {
        for (f, acc) in acc.iter_mut().enumerate() {
            let dy = T::load_partial(s, &dy.data[f * dy.row..][len - tail..len]);
            for (b, acc) in acc.iter_mut().enumerate() {
                let x = T::load_partial(s, &x.data[b * x.row..][len - tail..len]);
                *acc = T::mul_add(s, dy, x, *acc);
            }
        }
    }
}

/// [`dot`] over pixels of exactly `W` vectors, next to each other in `dy` and `stride` apart in `x`.
#[inline(always)]
fn pixels<T: Element, S: Level, const F: usize, const B: usize, const W: usize>(
    s: S,
    dy_rows: [&[T::V<S>]; F],
    x_rows: [&[T::V<S>]; B],
    pixels: usize,
    stride: usize,
    acc: &mut [[T::V<S>; B]; F],
) {
    let mut dy: [&[[T::V<S>; W]]; F] = [&[]; F];
    let mut x: [&[[T::V<S>; W]]; B] = [&[]; B];
    for f in 0..F {
        dy[f] = &dy_rows[f].as_chunks::<W>().0[..pixels];
    }
    for b in 0..B {
        x[b] = &x_rows[b].as_chunks::<W>().0[..(pixels - 1) * stride + 1];
    }
    let mut sums = *acc;
    for pixel in 0..pixels {
        for w in 0..W {
            let mut column = [T::zero(s); B];
            for b in 0..B {
                column[b] = x[b][pixel * stride][w];
            }
            for f in 0..F {
                let dy = dy[f][pixel][w];
                for b in 0..B {
                    sums[f][b] = T::mul_add(s, dy, column[b], sums[f][b]);
                }
            }
        }
    }
    *acc = sums;
}
