//! Convolutions in groups, and depthwise ones, which have kernels of their own.

mod common;

use common::conv::{Case, fitting, narrow};
use common::{assert_close, each_isa};
use isograd_kernels::conv::{Conv2d, Conv2dShape, ConvError, Path};
use isograd_kernels::{Accum, Activation, Pass};
use proptest::prelude::*;

const SAMPLES: [usize; 10] = [1, 3, 8, 15, 16, 17, 31, 32, 33, 48];
/// Kernels of one window and of several.
const KERNELS: [[usize; 2]; 8] = [[3, 3], [1, 1], [2, 3], [3, 1], [5, 5], [1, 4], [7, 2], [4, 7]];
const STRIDES: [[usize; 2]; 5] = [[1, 1], [2, 2], [1, 3], [3, 2], [2, 1]];
const DILATIONS: [[usize; 2]; 3] = [[1, 1], [2, 1], [2, 3]];

fn depthwise(c: usize, multiplier: usize, shape: Conv2dShape) -> Conv2dShape {
    Conv2dShape { c, f: c * multiplier, groups: c, ..shape }
}

#[test]
fn groups() {
    for (i, (channels, groups)) in
        [([4, 6], 2), ([6, 3], 3), ([16, 32], 4), ([34, 18], 2), ([12, 4], 4)].into_iter().enumerate()
    {
        for n in [3, 16, 33] {
            let (kernel, stride) = (KERNELS[(i + n) % 5], STRIDES[(i + n) % 3]);
            let shape = fitting(channels, [5, 6], kernel, stride, [1, 1], DILATIONS[i % 2]);
            Case::new(Conv2dShape { groups, ..shape }, n).check();
        }
    }
}

/// A group is an ordinary convolution, to the bit.
#[test]
fn a_group_is_a_convolution() {
    let (groups, n) = (3, 21);
    let part = fitting([4, 5], [6, 5], [3, 3], [1, 2], [1, 1], [1, 1]);
    let whole = Conv2dShape { c: groups * part.c, f: groups * part.f, groups, ..part };
    let case = Case::new(whole, n);
    let [x, w, dy, bias] = [&case.x, &case.w, &case.dy, &case.bias].map(|values| narrow::<f32>(values));
    each_isa(|isa| {
        for path in [Path::Direct, Path::Im2col] {
            let run = |shape: Conv2dShape, g: usize| {
                let conv = Conv2d::with_path(shape, path).unwrap();
                let slice = |values: &[f32], len: usize| values[g * len..][..len].to_vec();
                let (x, dy) = (slice(&x, conv.input_len(n)), slice(&dy, conv.output_len(n)));
                let (w, bias) = (slice(&w, conv.weight_len()), slice(&bias, shape.f));
                let mut scratch = vec![f32::NAN; conv.scratch_len(n)];
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
                let pass = Pass { isa, n, scratch: &mut scratch };
                conv.forward(pass, &x, &w, Some(&bias), Activation::Relu, &mut y);
                let pass = Pass { isa, n, scratch: &mut scratch };
                conv.input_gradient(pass, &dy, &w, Some(&x), Accum::Add, &mut dx);
                let pass = Pass { isa, n, scratch: &mut scratch };
                conv.weight_gradient(pass, &x, &dy, Accum::Add, &mut dw);
                [y, dx, dw]
            };
            let all = run(whole, 0);
            for g in 0..groups {
                for (all, part) in all.iter().zip(run(part, g)) {
                    assert!(all[g * part.len()..][..part.len()] == part, "group {g} at {isa}, {path:?}");
                }
            }
        }
    });
}

#[test]
fn depthwise_with_every_kernel() {
    for (i, kernel) in KERNELS.into_iter().enumerate() {
        for (j, n) in SAMPLES.into_iter().enumerate() {
            let padding = [(i + j) % (kernel[0] + 1), (i + 2 * j) % (kernel[1] + 1)];
            let image = [3 + (i + j) % 5, 2 + (2 * i + j) % 7];
            let shape = fitting([1, 1], image, kernel, STRIDES[j % 5], padding, DILATIONS[(i + j) % 3]);
            Case::new(depthwise(2 + j % 3, 1 + (i + j) % 3, shape), n).check();
        }
    }
}

/// The layers of MobileNet for small images, with fewer channels, and rows of every length.
#[test]
fn depthwise_layers_of_real_networks() {
    for (image, stride) in [(32, 1), (16, 2), (8, 1), (4, 2), (4, 1), (2, 1), (2, 2), (1, 1)] {
        let shape = fitting([1, 1], [image.min(8), image], [3, 3], [stride; 2], [1, 1], [1, 1]);
        Case::new(depthwise(3, 1, shape), 32).check();
    }
    for width in 3..=19 {
        let shape = fitting([1, 1], [4, width], [3, 3], [1, 1], [1, 1], [1, 1]);
        Case::new(depthwise(2, 1, shape), 4).check();
    }
}

/// Outputs that read nothing but padding, and inputs that no output reads.
#[test]
fn depthwise_without_products() {
    for (image, kernel, stride, padding) in [
        ([4, 5], [1, 1], [3, 2], [0, 0]),
        ([4, 5], [1, 1], [1, 1], [2, 1]),
        ([2, 3], [3, 3], [1, 2], [3, 4]),
        ([9, 7], [2, 1], [5, 4], [0, 3]),
    ] {
        for n in [5, 32] {
            let shape = fitting([1, 1], image, kernel, stride, padding, [1, 1]);
            Case::new(depthwise(3, 2, shape), n).check();
        }
    }
}

#[test]
fn depthwise_without_samples() {
    Case::new(depthwise(3, 1, fitting([1, 1], [4, 4], [3, 3], [1, 1], [1, 1], [1, 1])), 0).check();
}

#[test]
fn depthwise_passes_are_direct() {
    let conv = Conv2d::new(depthwise(4, 1, fitting([1, 1], [2, 2], [3, 3], [1, 1], [1, 1], [1, 1]))).unwrap();
    assert_eq!(conv.paths().weight_gradient, Path::Direct);
}

#[test]
fn the_same_bits_at_any_alignment() {
    let n = 19;
    let case = Case::new(depthwise(5, 2, fitting([1, 1], [6, 5], [5, 3], [1, 2], [1, 1], [1, 1])), n);
    let conv = Conv2d::new(case.shape).unwrap();
    each_isa(|isa| {
        let run = |shift: usize| {
            let shifted = |x: &[f64]| [vec![0.0f32; shift], narrow(x)].concat();
            let (x, w, dy) = (shifted(&case.x), shifted(&case.w), shifted(&case.dy));
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            let (x, w, dy) = (&x[shift..], &w[shift..], &dy[shift..]);
            let mut scratch = vec![f32::NAN; conv.scratch_len(n) + shift];
            let scratch = &mut scratch[shift..];
            conv.forward(Pass { isa, n, scratch }, x, w, None, Activation::Relu, &mut y[shift..]);
            conv.input_gradient(Pass { isa, n, scratch }, dy, w, None, Accum::Add, &mut dx[shift..]);
            conv.weight_gradient(Pass { isa, n, scratch }, x, dy, Accum::Add, &mut dw[shift..]);
            [y, dx, dw].map(|v| v[shift..].iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let first = run(0);
        assert!((1..16).all(|shift| run(shift) == first), "{isa}");
    });
}

/// A NaN reaches the outputs of its channel that read it, and no other; ReLU keeps it.
#[test]
fn nan_stays_in_its_channel() {
    let shape = depthwise(2, 2, fitting([1, 1], [4, 5], [3, 3], [1, 1], [0, 0], [1, 1]));
    let (conv, n) = (Conv2d::new(shape).unwrap(), 3);
    each_isa(|isa| {
        let w = vec![1.0f32; conv.weight_len()];
        let mut x = vec![1.0; conv.input_len(n)];
        x[2] = f32::NAN; // channel 0, top left, last sample
        let mut y = vec![0.0; conv.output_len(n)];
        let mut scratch = vec![0.0; conv.scratch_len(n)];
        conv.forward(Pass { isa, n, scratch: &mut scratch }, &x, &w, None, Activation::Relu, &mut y);
        let plane = conv.oh() * conv.ow() * n;
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i < 2 * plane && i % plane == 2, "{isa}: element {i} is {y}");
        }
    });
}

/// The roundings of equal terms go in the same direction. With one chain of additions for each lane, through
/// all 64 rows, the error would be five times the bound.
#[test]
fn long_weight_gradients() {
    let (n, rows) = (32, 64);
    let shape = fitting([1, 1], [rows + 2, 66], [3, 3], [1, 1], [0, 0], [1, 1]);
    let conv = Conv2d::new(depthwise(2, 1, shape)).unwrap();
    let (x, dy) = (vec![1.0f32; conv.input_len(n)], vec![0.1f32; conv.output_len(n)]);
    let expected = vec![(rows * 64 * n) as f64 * f64::from(0.1f32); conv.weight_len()];
    each_isa(|isa| {
        let (mut dw, mut scratch) = (vec![f32::NAN; conv.weight_len()], vec![0.0; conv.scratch_len(n)]);
        conv.weight_gradient(Pass { isa, n, scratch: &mut scratch }, &x, &dy, Accum::Replace, &mut dw);
        // A strip has two rows. The additions are those of the products in a strip, of the strips, and of the
        // lanes.
        let lanes = isa.vector_bytes() / size_of::<f32>();
        let roundings = 2 * 64 * n / lanes + 1 + rows / 2 + lanes;
        let bound = roundings as f64 / 2.0 * f64::from(f32::EPSILON) * expected[0];
        assert_close(&format!("dw at {isa}"), &dw, &expected, |_| bound);
    });
}

#[test]
fn impossible_groups_are_errors() {
    let shape = fitting([6, 4], [5, 5], [3, 3], [1, 1], [0, 0], [1, 1]);
    for groups in [3, 4, 5] {
        let error = Conv2d::new(Conv2dShape { groups, ..shape }).unwrap_err();
        assert_eq!(error, ConvError::UnequalGroups { groups, c: 6, f: 4 });
    }
    assert_eq!(
        ConvError::UnequalGroups { groups: 4, c: 6, f: 4 }.to_string(),
        "convolution: 6 channels and 4 filters cannot be cut into 4 equal groups"
    );
}

fn spatial() -> impl Strategy<Value = ([usize; 4], usize)> {
    let kernel_and_padding = (1usize..=7).prop_flat_map(|k| (Just(k), 0..=k));
    (kernel_and_padding, 1usize..=3, 1usize..=3, 1usize..=12)
        .prop_map(|((kernel, padding), stride, dilation, image)| ([kernel, stride, padding, dilation], image))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn random_geometry(
        [group_channels, group_filters, groups] in [1usize..=3, 1usize..=3, 1usize..=5],
        (rows, h) in spatial(),
        (columns, w) in spatial(),
        n in 1usize..=35,
    ) {
        let pair = |i: usize| [rows[i], columns[i]];
        let channels = [group_channels * groups, group_filters * groups];
        let shape = fitting(channels, [h, w], pair(0), pair(1), pair(2), pair(3));
        Case::new(Conv2dShape { groups, ..shape }, n).check();
    }
}
