//! Both paths of every convolution pass, at every level, against the naive f64 reference.

mod common;

use common::conv::{Case, fitting, narrow, prepared};
use common::{assert_close, data, each_isa};
use isograd_kernels::conv::{Conv2d, Conv2dShape, ConvError, Path, Weights};
use isograd_kernels::reference::conv as reference;
use isograd_kernels::{Accum, Activation, Finish, Isa, Pass, elementwise};
use proptest::prelude::*;

const CHANNELS: [usize; 9] = [1, 2, 3, 4, 5, 8, 9, 12, 17];
const SAMPLES: [usize; 10] = [1, 2, 3, 7, 15, 16, 17, 31, 32, 33];
const KERNELS: [[usize; 2]; 5] = [[1, 1], [3, 3], [5, 3], [2, 2], [7, 1]];
const STRIDES: [[usize; 2]; 5] = [[1, 1], [2, 2], [1, 3], [3, 2], [1, 1]];
const DILATIONS: [[usize; 2]; 4] = [[1, 1], [2, 1], [1, 2], [2, 2]];

#[test]
fn every_channel_count_with_every_sample_count() {
    for (i, n) in SAMPLES.into_iter().enumerate() {
        for (j, f) in CHANNELS.into_iter().enumerate() {
            let at = i * CHANNELS.len() + j;
            let kernel = KERNELS[at % 5];
            let padding = [at % (kernel[0] + 1), at / 2 % (kernel[1] + 1)];
            let channels = [CHANNELS[(4 * i + 2 * j) % 9], f];
            let image = [3 + at % 4, 4 + at % 3];
            Case::new(fitting(channels, image, kernel, STRIDES[at / 5 % 5], padding, DILATIONS[at % 4]), n)
                .check();
        }
    }
}

/// Runs of columns of every length, in vectors, that a tile can have.
#[test]
fn every_row_length() {
    for width in 1..=34 {
        for channels in [[2, 3], [5, 12]] {
            Case::new(fitting(channels, [2, width], [2, 3], [1, 1], [1, 1], [1, 1]), 4).check();
        }
    }
}

/// The shapes of the layers that matter most, cut down in height.
#[test]
fn layers_of_real_networks() {
    for (channels, image, padding, stride, n) in [
        ([1, 4], [5, 28], [0, 0], [1, 1], 32),
        ([4, 8], [5, 26], [0, 0], [1, 1], 32),
        ([3, 16], [3, 32], [1, 1], [1, 1], 32),
        ([16, 32], [4, 16], [1, 1], [2, 2], 32),
        ([24, 16], [2, 2], [1, 1], [1, 1], 32),
    ] {
        Case::new(fitting(channels, image, [3, 3], stride, padding, [1, 1]), n).check();
    }
}

/// Rows whose weight gradient takes several blocks, filters that take several groups of packed weights, and
/// an image whose columns take several blocks.
#[test]
fn several_blocks() {
    Case::new(fitting([5, 6], [9, 40], [3, 3], [1, 1], [1, 1], [1, 1]), 33).check();
    Case::new(fitting([2, 5], [70, 7], [3, 2], [1, 2], [1, 0], [1, 1]), 17).check();
    Case::new(fitting([130, 61], [2, 2], [3, 3], [1, 1], [1, 1], [1, 1]), 2).check();
    Case::new(fitting([1, 1], [47, 46], [8, 8], [1, 1], [3, 4], [1, 1]), 33).check();
    Case::new(fitting([3, 7], [25, 31], [1, 1], [1, 1], [0, 0], [1, 1]), 3).check();
}

/// Columns with a stride, whose pixels are copied: of one vector, two, four, three, and of no whole number of
/// them.
#[test]
fn strided_columns() {
    for n in [4, 8, 16, 32, 64, 48, 21] {
        for (kernel, stride, padding) in [
            ([1, 1], [2, 2], [0, 0]),
            ([1, 1], [1, 3], [0, 0]),
            ([3, 3], [2, 2], [1, 1]),
            ([2, 5], [3, 3], [1, 2]),
        ] {
            Case::new(fitting([6, 5], [5, 8], kernel, stride, padding, [1, 1]), n).check();
        }
    }
}

/// Kernels of one element with strides, whose passes copy blocks and write zeros beside the products: one
/// block in all, panels of every width, rows and columns that no output reads, few channels between many
/// zeros, and blocks that end with half a tile.
#[test]
fn subsampling() {
    for (channels, image, stride) in [
        ([1, 1], [1, 1], [2, 2]),
        ([8, 1], [3, 7], [2, 3]),
        ([15, 2], [5, 4], [2, 1]),
        ([7, 9], [4, 6], [1, 2]),
        ([19, 33], [6, 5], [3, 2]),
        ([3, 4], [9, 9], [5, 4]),
        ([35, 66], [3, 7], [2, 3]),
        ([20, 12], [9, 5], [2, 2]),
    ] {
        for n in [8, 16, 32, 64, 96] {
            Case::new(fitting(channels, image, [1, 1], stride, [0, 0], [1, 1]), n).check();
        }
    }
}

/// Many channels that are a power of two apart: both images have 512 values in each channel, or the input
/// has.
#[test]
fn channels_that_compete_for_the_cache() {
    for (image, kernel, stride, padding, dilation, n) in [
        ([8, 4], [3, 3], [1, 1], [1, 1], [1, 1], 16),
        ([16, 2], [3, 1], [2, 1], [1, 0], [1, 1], 32),
        ([32, 2], [4, 2], [2, 2], [1, 0], [1, 1], 8),
        ([16, 4], [3, 3], [1, 2], [2, 1], [2, 1], 8),
        ([32, 1], [5, 1], [3, 1], [0, 0], [2, 1], 16),
        ([4, 4], [2, 2], [4, 1], [0, 0], [1, 1], 32),
        ([64, 1], [3, 1], [4, 1], [3, 0], [2, 1], 32),
    ] {
        Case::new(fitting([17, 16], image, kernel, stride, padding, dilation), n).check();
    }
}

#[test]
fn no_samples() {
    for channels in [[3, 5], [17, 16]] {
        Case::new(fitting(channels, [4, 4], [3, 3], [1, 1], [1, 1], [1, 1]), 0).check();
    }
}

/// The last shard of a batch may be smaller. Memory that was allocated for a full shard must be enough for
/// it.
#[test]
fn scratch_memory_for_many_samples_does_for_fewer() {
    for shape in [
        fitting([17, 16], [8, 4], [3, 3], [1, 1], [1, 1], [1, 1]),
        fitting([40, 3], [64, 64], [7, 7], [1, 1], [3, 3], [1, 1]),
    ] {
        for path in [Path::Direct, Path::Im2col] {
            let conv = Conv2d::with_path(shape, path).unwrap();
            for n in 1..40 {
                assert!(conv.scratch_len(n - 1) <= conv.scratch_len(n), "{path:?}, n = {n}, {shape:?}");
            }
        }
    }
}

#[test]
fn the_chosen_path_is_one_of_both() {
    for shape in [
        fitting([4, 8], [12, 12], [3, 3], [1, 1], [1, 1], [1, 1]),
        fitting([64, 64], [2, 2], [3, 3], [1, 1], [1, 1], [1, 1]),
    ] {
        let n = 5;
        let case = Case::new(shape, n);
        let (x, dy) = (narrow::<f32>(&case.x), narrow::<f32>(&case.dy));
        each_isa(|isa| {
            let weight_gradient = |conv: &Conv2d| {
                let (mut dw, mut scratch) = (vec![0.0f32; conv.weight_len()], vec![0.0; conv.scratch_len(n)]);
                conv.weight_gradient(
                    Pass { isa, n, scratch: &mut scratch },
                    &x,
                    &dy,
                    Accum::Replace,
                    &mut dw,
                );
                dw
            };
            let chosen = Conv2d::new(shape).unwrap();
            let forced = Conv2d::with_path(shape, chosen.paths().weight_gradient).unwrap();
            assert!(weight_gradient(&chosen) == weight_gradient(&forced), "{isa}, {shape:?}");
        });
    }
}

/// `<conv(x, w), dy> = <x, dx> = <w, dw>`.
#[test]
fn gradients_are_adjoint() {
    let shape = fitting([5, 9], [7, 6], [3, 2], [2, 1], [1, 1], [1, 2]);
    let n = 17;
    let case = Case::new(shape, n);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    each_isa(|isa| {
        for path in [Path::Direct, Path::Im2col] {
            let conv = Conv2d::with_path(shape, path).unwrap();
            let mut scratch = vec![0.0; conv.scratch_len(n)];
            let (mut y, mut dx, mut dw) =
                (vec![0.0; case.dy.len()], vec![0.0; case.x.len()], vec![0.0; case.w.len()]);
            conv.forward(
                Pass { isa, n, scratch: &mut scratch },
                &case.x,
                &case.w,
                None,
                Activation::Identity,
                &mut y,
            );
            conv.input_gradient(
                Pass { isa, n, scratch: &mut scratch },
                &case.dy,
                &case.w,
                None,
                Accum::Replace,
                &mut dx,
            );
            conv.weight_gradient(
                Pass { isa, n, scratch: &mut scratch },
                &case.x,
                &case.dy,
                Accum::Replace,
                &mut dw,
            );
            let products = [dot(&y, &case.dy), dot(&case.x, &dx), dot(&case.w, &dw)];

            let absolute_dy: Vec<f64> = case.dy.iter().map(|dy| dy.abs()).collect();
            let terms = case.y.terms + case.y.value.len().max(case.dw.terms + case.w.len());
            let bound = 2.0 * terms as f64 * f64::EPSILON * dot(&case.y_without_bias.magnitude, &absolute_dy);
            for product in products {
                assert!(
                    (product - products[0]).abs() <= bound,
                    "{isa}, {path:?}: {products:?}, bound {bound:e}"
                );
            }
        }
    });
}

#[test]
fn the_same_bits_at_any_alignment() {
    let shape = fitting([5, 9], [6, 5], [3, 3], [1, 2], [1, 1], [1, 1]);
    let n = 19;
    let case = Case::new(shape, n);
    each_isa(|isa| {
        for path in [Path::Direct, Path::Im2col] {
            let conv = Conv2d::with_path(shape, path).unwrap();
            let run = |shift: usize| {
                let shifted = |x: &[f64]| [vec![0.0f32; shift], narrow(x)].concat();
                let (x, w, dy) = (shifted(&case.x), shifted(&case.w), shifted(&case.dy));
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                let mut scratch = vec![0.0; conv.scratch_len(n) + shift];
                let scratch = &mut scratch[shift..];
                conv.forward(
                    Pass { isa, n, scratch },
                    &x[shift..],
                    &w[shift..],
                    None,
                    Activation::Relu,
                    &mut y[shift..],
                );
                conv.input_gradient(
                    Pass { isa, n, scratch },
                    &dy[shift..],
                    &w[shift..],
                    None,
                    Accum::Add,
                    &mut dx[shift..],
                );
                conv.weight_gradient(
                    Pass { isa, n, scratch },
                    &x[shift..],
                    &dy[shift..],
                    Accum::Add,
                    &mut dw[shift..],
                );
                [y, dx, dw].map(|v| v[shift..].iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            };
            let first = run(0);
            assert!((1..16).all(|shift| run(shift) == first), "{isa}, {path:?}");
        }
    });
}

/// A NaN reaches the outputs that read it and no other; ReLU keeps it, and so does a ReLU's gradient.
#[test]
fn nan_propagates() {
    let shape = fitting([2, 5], [4, 5], [2, 2], [1, 1], [0, 0], [1, 1]);
    let n = 3;
    each_isa(|isa| {
        for path in [Path::Direct, Path::Im2col] {
            let conv = Conv2d::with_path(shape, path).unwrap();
            let w = vec![1.0f32; conv.weight_len()];
            let mut x = vec![1.0; conv.input_len(n)];
            x[2] = f32::NAN; // channel 0, top left, last sample
            let mut y = vec![0.0; conv.output_len(n)];
            let mut scratch = vec![0.0; conv.scratch_len(n)];
            conv.forward(Pass { isa, n, scratch: &mut scratch }, &x, &w, None, Activation::Relu, &mut y);
            let plane = conv.oh() * conv.ow() * n;
            for (i, y) in y.iter().enumerate() {
                assert_eq!(y.is_nan(), i % plane == 2, "{isa}, {path:?}: element {i} is {y}");
            }
            let (dy, mut dx) = (vec![1.0; y.len()], vec![0.0; x.len()]);
            for accum in [Accum::Replace, Accum::Add] {
                let pass = Pass { isa, n, scratch: &mut scratch };
                conv.input_gradient(pass, &dy, &w, Some(&x), accum, &mut dx);
                assert!(dx.iter().all(|dx| *dx > 0.0), "{isa}, {path:?}, {accum:?}: {dx:?}");
            }
        }
    });
}

/// Convolution is linear in each argument, so a central difference with any step has no error but rounding.
#[test]
fn reference_gradients_are_central_differences() {
    for (stride, padding, dilation) in
        [([1, 1], [0, 0], [1, 1]), ([2, 1], [1, 2], [1, 2]), ([3, 2], [2, 0], [2, 1])]
    {
        let shape = fitting([2, 3], [5, 4], [3, 2], stride, padding, dilation);
        let n = 2;
        let case = Case::new(shape, n);
        let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
            reference::forward(&shape, n, x, w, b).iter().zip(&case.dy).map(|(y, dy)| y * dy).sum()
        };
        let difference = |v: &[f64], i: usize, f: &dyn Fn(&[f64]) -> f64| {
            let (mut above, mut below) = (v.to_vec(), v.to_vec());
            above[i] += 0.5;
            below[i] -= 0.5;
            f(&above) - f(&below)
        };
        let size = case.y.magnitude.iter().sum::<f64>() + 1.0;
        let bound = |_| 1e3 * f64::EPSILON * size;
        let dx: Vec<f64> =
            (0..case.x.len()).map(|i| difference(&case.x, i, &|x| loss(x, &case.w, &case.bias))).collect();
        assert_close("dx", &case.dx.value, &dx, bound);
        let dw: Vec<f64> =
            (0..case.w.len()).map(|i| difference(&case.w, i, &|w| loss(&case.x, w, &case.bias))).collect();
        assert_close("dw", &case.dw.value, &dw, bound);
        let db: Vec<f64> =
            (0..shape.f).map(|i| difference(&case.bias, i, &|b| loss(&case.x, &case.w, b))).collect();
        assert_close("db", &case.db.value, &db, bound);
    }
}

#[test]
fn impossible_shapes_are_errors() {
    let good = fitting([1, 1], [5, 5], [3, 3], [1, 1], [0, 0], [1, 1]);
    let zero = |shape| matches!(Conv2d::new(shape), Err(ConvError::Zero { .. }));
    assert!(
        zero(Conv2dShape { c: 0, ..good })
            && zero(Conv2dShape { h: 0, ..good })
            && zero(Conv2dShape { w: 0, ..good })
    );
    assert!(
        zero(Conv2dShape { f: 0, ..good })
            && zero(Conv2dShape { kh: 0, ..good })
            && zero(Conv2dShape { kw: 0, ..good })
    );
    assert!(
        zero(Conv2dShape { stride: [1, 0].into(), ..good })
            && zero(Conv2dShape { dilation: [0, 1].into(), ..good })
            && zero(Conv2dShape { groups: 0, ..good })
    );

    let error =
        Conv2d::new(Conv2dShape { dilation: [1, 4].into(), padding: [0, 1].into(), ..good }).unwrap_err();
    assert_eq!(error, ConvError::KernelTooLarge { kernel: 3, dilation: 4, image: 5, padding: 1 });
    assert_eq!(
        error.to_string(),
        "convolution: a kernel of 3 (dilation 4) does not fit in an image of 5 with padding 1"
    );

    let huge = usize::MAX / 2;
    assert_eq!(
        Conv2d::new(Conv2dShape { padding: [huge, huge + 1].into(), ..good }).unwrap_err(),
        ConvError::TooLarge
    );
    assert_eq!(Conv2d::new(Conv2dShape { c: huge, ..good }).unwrap_err(), ConvError::TooLarge);
    assert_eq!(
        Conv2d::new(Conv2dShape { dilation: [usize::MAX, 1].into(), ..good }).unwrap_err(),
        ConvError::TooLarge
    );
}

#[test]
#[should_panic(expected = "the input or its gradient has 49 elements, but 2 samples of")]
fn an_input_of_another_length() {
    let conv = Conv2d::new(fitting([1, 1], [5, 5], [3, 3], [1, 1], [0, 0], [1, 1])).unwrap();
    let mut scratch = vec![0.0; conv.scratch_len(2)];
    conv.forward(
        Pass { isa: Isa::best(), n: 2, scratch: &mut scratch },
        &[0.0f32; 49],
        &[0.0; 9],
        None,
        Activation::Identity,
        &mut [0.0; 18],
    );
}

/// The roundings of equal terms go in the same direction. With one chain of additions for each lane, through
/// all 64 rows, the error would be five times the bound.
#[test]
fn long_weight_gradients() {
    let (n, rows) = (32, 64);
    let conv = Conv2d::new(fitting([4, 4], [rows + 2, 66], [3, 3], [1, 1], [0, 0], [1, 1])).unwrap();
    let (x, dy) = (vec![1.0f32; conv.input_len(n)], vec![0.1f32; conv.output_len(n)]);
    let terms = rows * 64 * n;
    let expected = vec![terms as f64 * f64::from(0.1f32); conv.weight_len()];
    each_isa(|isa| {
        let (mut dw, mut scratch) = (vec![f32::NAN; conv.weight_len()], vec![0.0; conv.scratch_len(n)]);
        conv.weight_gradient(Pass { isa, n, scratch: &mut scratch }, &x, &dy, Accum::Replace, &mut dw);
        // One row fills a block. The additions are those of the products in a row, of the rows, and of the
        // lanes.
        let lanes = isa.vector_bytes() / size_of::<f32>();
        let roundings = 64 * n / lanes + 1 + rows + lanes;
        let bound = roundings as f64 / 2.0 * f64::from(f32::EPSILON) * expected[0];
        assert_close(&format!("dw at {isa}"), &dw, &expected, |_| bound);
    });
}

#[test]
#[should_panic(expected = "the scratch memory has 3 elements, but n = 1 needs")]
fn scratch_memory_that_is_too_short() {
    let conv = Conv2d::new(fitting([1, 1], [5, 5], [3, 3], [1, 1], [0, 0], [1, 1])).unwrap();
    conv.forward(
        Pass { isa: Isa::best(), n: 1, scratch: &mut [0.0; 3] },
        &[0.0f32; 25],
        &[0.0; 9],
        None,
        Activation::Identity,
        &mut [0.0; 9],
    );
}

fn spatial() -> impl Strategy<Value = ([usize; 4], usize)> {
    let kernel_and_padding = (1usize..=7).prop_flat_map(|k| (Just(k), 0..=k));
    (kernel_and_padding, 1usize..=3, 1usize..=2, 1usize..=12)
        .prop_map(|((kernel, padding), stride, dilation, image)| ([kernel, stride, padding, dilation], image))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn random_geometry(
        channels in [1usize..=17, 1usize..=17],
        (rows, h) in spatial(),
        (columns, w) in spatial(),
        n in 1usize..=35,
    ) {
        let pair = |i: usize| [rows[i], columns[i]];
        // Short runs: the more the other sizes grow, the fewer samples.
        let n = n.min(1 + 100_000 / (channels[0] * channels[1] * rows[0] * columns[0] * h * w));
        Case::new(fitting(channels, [h, w], pair(0), pair(1), pair(2), pair(3)), n).check();
    }
}

/// On every path, an addend gives the bits of a pass without a function, followed by an addition.
#[test]
fn an_addend_gives_the_bits_of_an_addition() {
    let shapes = [([3, 5], 1), ([16, 18], 1), ([4, 8], 2), ([6, 6], 6)];
    for ((channels, groups), n) in shapes.into_iter().flat_map(|shape| [1, 5, 33].map(|n| (shape, n))) {
        for kernel in [[1, 1], [3, 3]] {
            let shape = fitting(channels, [7, 9], kernel, [1, 1], [1, 1], [1, 1]);
            let shape = Conv2dShape { groups, ..shape };
            for path in [Path::Direct, Path::Im2col, Path::WinogradF2, Path::WinogradF4] {
                let Ok(conv) = Conv2d::with_path(shape, path) else { continue };
                let (x, w): (Vec<f32>, Vec<f32>) = (data(conv.input_len(n), 1), data(conv.weight_len(), 2));
                let (bias, addend): (Vec<f32>, Vec<f32>) = (data(shape.f, 3), data(conv.output_len(n), 4));
                each_isa(|isa| {
                    let [prepared, _] = prepared(&conv, isa, &w);
                    let weights = Weights { plain: &w, prepared: &prepared };
                    let mut scratch = vec![0.0; conv.scratch_len(n)];
                    let [mut sum, mut y] = [(); 2].map(|()| vec![f32::NAN; conv.output_len(n)]);
                    let pass = Pass { isa, n, scratch: &mut scratch };
                    conv.forward(pass, &x, weights, Some(&bias), Activation::Identity, &mut sum);
                    elementwise::add_assign(isa, &addend, Activation::Relu, &mut sum);
                    let (pass, activation) = (Pass { isa, n, scratch: &mut scratch }, Activation::Relu);
                    let finish = Finish { addend: Some(&addend[..]), activation };
                    conv.forward(pass, &x, weights, Some(&bias), finish, &mut y);
                    assert_eq!(y, sum, "{isa}, {path:?}, {n} samples of {shape:?}");
                });
            }
        }
    }
}
