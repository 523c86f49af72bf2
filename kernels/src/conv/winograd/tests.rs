//! What depends on the width of a level: groups of vectors, panels, and lanes with samples of several tiles.
//! No result depends on it, so a wide level has the bits of the portable one, on any machine.

use super::*;
use crate::bf16::{Bf16Kernel, Portable};
use crate::simd::{Kernel, Level};
use crate::{Size2, conv::Path};
use pulp::{Scalar128b, Scalar512b};

/// Numbers between -0.5 and 0.5.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5).collect()
}

/// Runs a kernel at a level.
fn at<S: Level, K: Kernel<Output = ()> + Bf16Kernel<Output = ()>>(s: S, precision: Precision, kernel: K) {
    match precision {
        Precision::Full => Kernel::run(kernel, s),
        Precision::Bfloat16 => Bf16Kernel::run(kernel, s, Portable),
    }
}

/// The results of all passes at a level: `y`, `dx` and `dw`. What a pass must not read is NaN, and each
/// has no more scratch memory than it asks for.
fn passes<S: Level>(s: S, shape: &Conv2dShape, path: Path, precision: Precision, n: usize) -> [Vec<f32>; 3] {
    let Conv2dShape { c, h, w: width, f, padding, .. } = *shape;
    let [oh, ow] = [h + 2 * padding.h - 2, width + 2 * padding.w - 2];
    let paths = Paths { precision, weight_gradient_precision: precision, ..Paths::all(path) };
    let plan = Winograd::new(shape, [oh, ow], &paths);
    let (x, w, dy) = (values(c * h * width * n), values(f * c * 9), values(f * oh * ow * n));
    let correlate = |plan: &Correlation, x: &[f32], strides, mirrored| {
        let mut u = vec![f32::NAN; plan.outputs * plan.weights_len()];
        let (inputs, outputs, m) = (plan.inputs, 0..plan.outputs, plan.m);
        at(s, precision, WinogradWeights { w: &w, strides, mirrored, inputs, outputs, m, u: &mut u });
        let mut y = vec![f32::NAN; plan.outputs * plan.target[0] * plan.target[1] * n];
        let (outputs, epilogue) = (0..plan.outputs, Epilogue::Store);
        let (u, bias, scratch) = (&u, None, &mut vec![f32::NAN; plan.scratch_len(n)]);
        at(s, precision, WinogradPass { plan, n, outputs, x, u, bias, epilogue, y: &mut y, scratch });
        y
    };
    let [forward, transposed] = [plan.forward.as_ref(), plan.input_gradient.as_ref()].map(Option::unwrap);
    let y = correlate(forward, &x, WeightStrides { output: c * 9, input: 9 }, false);
    let dx = correlate(transposed, &dy, WeightStrides { output: 9, input: c * 9 }, true);
    let mut dw = vec![f32::NAN; f * c * 9];
    let (plan, accum) = (plan.weight_gradient.as_ref().unwrap(), Accum::Replace);
    let scratch = &mut vec![f32::NAN; plan.scratch_len(n)];
    let (x, dy) = (&x, &dy);
    at(s, precision, WinogradWeightGradientPass { plan, filters: f, n, x, dy, accum, dw: &mut dw, scratch });
    [y, dx, dw]
}

#[test]
fn a_wide_level_has_the_bits_of_the_portable_one() {
    let one = Size2 { h: 1, w: 1 };
    let shapes = [
        ([3, 17], [9, 6]),
        ([13, 64], [8, 8]),
        ([50, 16], [4, 4]),
        ([7, 49], [1, 3]),
        // Several blocks of several tiles, which need all of their scratch memory.
        ([2, 48], [12, 13]),
    ];
    for ([c, f], [h, w]) in shapes {
        let shape =
            Conv2dShape { c, h, w, f, kh: 3, kw: 3, stride: one, padding: one, dilation: one, groups: 1 };
        for path in [Path::WinogradF2, Path::WinogradF4] {
            for precision in [Precision::Full, Precision::Bfloat16] {
                for n in [0, 1, 5, 8, 9, 13, 16, 31, 33, 64] {
                    let wide = passes(Scalar512b, &shape, path, precision, n);
                    let portable = passes(Scalar128b, &shape, path, precision, n);
                    for (wide, portable) in wide.iter().zip(&portable) {
                        assert!(wide == portable, "{shape}, {path:?}, {precision:?}, {n} samples");
                    }
                }
            }
        }
    }
}
