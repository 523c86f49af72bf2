//! The transform of the weights: `U = G w G^T` for each pair of channels, packed as the products read them.

use super::super::direct::{WeightStrides, panel_width};
use super::transform;
use crate::element::Element;
use crate::simd::{Kernel, Level};
use std::ops::Range;

/// Weights that are transformed together: at least a vector of any level and element type.
const GROUP: usize = 16;

/// Any range of output channels that begins at a multiple of this begins with a panel, at every level.
pub(in super::super) const PANELS: usize = 24;

/// Writes the transformed weights of some output channels, `[panel][point][input][output channel of the
/// panel]`.
pub struct WinogradWeights<'a, T> {
    /// The weights, with nine elements for each pair of channels.
    pub(in super::super) w: &'a [T],
    pub(in super::super) strides: WeightStrides,
    /// Whether the kernels are mirrored along both axes, as the input gradient needs them.
    pub(in super::super) mirrored: bool,
    pub(in super::super) inputs: usize,
    /// The output channels to write: from a multiple of [`PANELS`] on, to another one or the last channel.
    pub(in super::super) outputs: Range<usize>,
    /// The number of outputs of a tile along each axis: 2 or 4.
    pub(in super::super) m: usize,
    /// The transformed weights of `outputs`.
    pub(in super::super) u: &'a mut [T],
}

impl<T: Element> Kernel for WinogradWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(mut self, s: S) {
        let points = (self.m + 2) * (self.m + 2);
        let mut rest = std::mem::take(&mut self.u);
        let mut first = self.outputs.start;
        while first < self.outputs.end {
            let width = panel_width::<S>(self.outputs.end - first);
            let (panel, tail) = rest.split_at_mut(width * points * self.inputs);
            match self.m {
                2 => self.panel::<S, 4>(s, first, width, panel),
                _ => self.panel::<S, 6>(s, first, width, panel),
            }
            (first, rest) = (first + width, tail);
        }
    }
}

impl<T: Element> WinogradWeights<'_, T> {
    /// The panel of the `width` output channels from `first` on. Its weights for one point are contiguous, so
    /// vectors are full whatever its width.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "a lane is a column of the array")]
    fn panel<S: Level, const A: usize>(&self, s: S, first: usize, width: usize, panel: &mut [T]) {
        let (len, lanes) = (self.inputs * width, T::lanes::<S>());
        let (mut input, mut output) = (0, 0);
        for start in (0..len).step_by(GROUP) {
            let count = GROUP.min(len - start);
            let mut kernels = [[T::ZERO; GROUP]; 9];
            for lane in 0..count {
                let at = (first + output) * self.strides.output + input * self.strides.input;
                let kernel = &self.w[at..][..9];
                for k in 0..9 {
                    kernels[k][lane] = kernel[if self.mirrored { 8 - k } else { k }];
                }
                output += 1;
                if output == width {
                    (input, output) = (input + 1, 0);
                }
            }
            for vector in (0..count).step_by(lanes) {
                let part = lanes.min(count - vector);
                self.vector::<S, A>(s, &kernels, vector, part, len, &mut panel[start + vector..]);
            }
        }
    }

    /// Transforms the kernels from number `vector` on, and stores `count` of them.
    #[inline(always)]
    fn vector<S: Level, const A: usize>(
        &self,
        s: S,
        kernels: &[[T; GROUP]; 9],
        vector: usize,
        count: usize,
        point_len: usize,
        u: &mut [T],
    ) {
        let lanes = T::lanes::<S>();
        let mut rows = [[T::zero(s); 3]; A];
        for j in 0..3 {
            let mut w = [T::zero(s); 3];
            for i in 0..3 {
                w[i] = T::split::<S>(&kernels[i * 3 + j][vector..][..lanes]).0[0];
            }
            let w = transform::weights::<T, S, A>(s, w);
            for i in 0..A {
                rows[i][j] = w[i];
            }
        }
        for i in 0..A {
            let row = transform::weights::<T, S, A>(s, rows[i]);
            for j in 0..A {
                let u = &mut u[(i * A + j) * point_len..][..count];
                if count == lanes {
                    T::split_mut::<S>(u).0[0] = row[j];
                } else {
                    T::store_partial(s, u, row[j]);
                }
            }
        }
    }
}
