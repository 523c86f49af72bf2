//! Copies of image rows for convolutions with a stride: columns that are a stride apart lie next to each
//! other.
//!
//! ```text
//! stride 2: 0 1 2 3 4 5 6  ->  0 2 4 6 | 1 3 5
//! ```
//!
//! In such a copy, the pixels that a kernel element reads for successive outputs are contiguous, as they are
//! at stride 1.

use super::axis::Axis;
use crate::element::Element;
use crate::simd::Level;

/// The number of f32 elements in a cache line. Copied channels have an offset of one line, so that they do
/// not compete for the same places of the first-level cache.
pub(super) const CACHE_LINE: usize = 16;

/// The order of the columns in a copied row. A phase is the set of columns with one remainder modulo the
/// stride. The phases lie one after the other; phases that no kernel element reads are left out.
#[derive(Debug, Clone)]
pub(super) struct StridedRows {
    pub(super) stride: usize,
    phases: Vec<Phase>,
    /// The number of pixels in a copied row.
    pub(super) pixels: usize,
}

/// `len` columns `first`, `first + stride`, … of the image. In the copy they begin at `start`.
#[derive(Debug, Clone)]
struct Phase {
    first: usize,
    start: usize,
    len: usize,
}

impl StridedRows {
    /// The order for the stride and the kernel of `columns`.
    pub(super) fn new(columns: &Axis) -> Self {
        let stride = columns.stride.min(columns.inputs);
        let is_read = |first: &usize| {
            let mut reads = (0..columns.kernel).filter_map(|k| columns.input(columns.outputs_of(k).start, k));
            reads.any(|column| column % stride == *first)
        };
        let (mut phases, mut start) = (Vec::new(), 0);
        for first in (0..stride).filter(is_read) {
            let len = (columns.inputs - first).div_ceil(stride);
            phases.push(Phase { first, start, len });
            start += len;
        }
        Self { stride, phases, pixels: start }
    }

    /// The order of the image itself, for rows of `columns` columns.
    pub(super) fn none(columns: usize) -> Self {
        Self { stride: 1, phases: vec![Phase { first: 0, start: 0, len: columns }], pixels: columns }
    }

    /// The place of image column `column` in a copied row. Its phase must be one that a kernel element reads.
    pub(super) fn place(&self, column: usize) -> usize {
        let phase = self.phases.iter().find(|phase| phase.first == column % self.stride);
        let phase = phase.unwrap_or_else(|| panic!("no kernel element reads the phase of column {column}"));
        phase.start + column / self.stride
    }

    /// Copies a row of `n` samples.
    #[inline(always)]
    pub(super) fn copy_row<T: Element, S: Level>(&self, n: usize, x: &[T], copy: &mut [T]) {
        if n == 0 {
            return;
        }
        for phase in &self.phases {
            let (x, copy) = (&x[phase.first * n..], &mut copy[phase.start * n..][..phase.len * n]);
            match (self.stride, n / T::lanes::<S>(), n % T::lanes::<S>()) {
                (1, _, _) => copy.copy_from_slice(&x[..phase.len * n]),
                (_, 1, 0) => copy_pixels::<T, S, 1>(self.stride, x, copy),
                (_, 2, 0) => copy_pixels::<T, S, 2>(self.stride, x, copy),
                (_, 4, 0) => copy_pixels::<T, S, 4>(self.stride, x, copy),
                _ => copy_strided(n, self.stride, x, copy),
            }
        }
    }
}

/// Copies pixels of `n` samples, at least one, which are `stride` apart in `x`.
pub(super) fn copy_strided<T: Element>(n: usize, stride: usize, x: &[T], copy: &mut [T]) {
    match n {
        1 => copy_short::<T, 1>(stride, x, copy),
        2 => copy_short::<T, 2>(stride, x, copy),
        _ => {
            for (copy, x) in copy.chunks_exact_mut(n).zip(x.chunks(stride * n)) {
                copy.copy_from_slice(&x[..n]);
            }
        }
    }
}

/// Copies pixels of `N` samples, which are `stride` apart in `x`, without calling `memcpy` for each.
fn copy_short<T: Element, const N: usize>(stride: usize, x: &[T], copy: &mut [T]) {
    let pixels = x.as_chunks::<N>().0.iter().step_by(stride);
    for (copy, x) in copy.as_chunks_mut::<N>().0.iter_mut().zip(pixels) {
        *copy = *x;
    }
}

/// Copies pixels of `W` vectors, which are `stride` apart in `x`. The pixels are so short that calling
/// `memcpy` for each would take longer than copying.
#[inline(always)]
fn copy_pixels<T: Element, S: Level, const W: usize>(stride: usize, x: &[T], copy: &mut [T]) {
    let (x, copy) = (T::split::<S>(x).0, T::split_mut::<S>(copy).0);
    let pixels = x.as_chunks::<W>().0.chunks(stride);
    for (copy, pixels) in copy.as_chunks_mut::<W>().0.iter_mut().zip(pixels) {
        *copy = pixels[0];
    }
}
