//! Passes that compute some of the channels: all parts together have the bits of the whole pass, on every
//! path. Threads share a convolution by such parts, so the law of the same bits depends on it.

mod common;

use common::conv::{bf16, fitting, prepared};
use common::{data, each_isa};
use isograd_kernels::conv::{Conv2d, Conv2dShape, Path, Paths, Weights};
use isograd_kernels::{Accum, Activation, Element, Finish, Isa, Pass};
use std::ops::Range;

/// The cuts of `count` channels into parts: as many as possible, and two. No part of several channels has a
/// single one behind it.
fn cuts(count: usize, multiple: usize) -> [Vec<Range<usize>>; 2] {
    let is_cut = |at: &usize| *at == 0 || multiple == 1 || at + 1 != count;
    let cuts: Vec<usize> = (0..count).step_by(multiple).filter(is_cut).chain([count]).collect();
    let middle = cuts[cuts.len() / 2];
    let parts =
        |cuts: &[usize]| cuts.windows(2).map(|cut| cut[0]..cut[1]).filter(|part| !part.is_empty()).collect();
    [parts(&cuts), parts(&[0, middle, count])]
}

/// The part `channels` of a tensor `[count, ...]`.
fn part<'a, T>(values: &'a [T], count: usize, channels: &Range<usize>) -> &'a [T] {
    let len = values.len() / count;
    &values[channels.start * len..channels.end * len]
}

fn part_mut<'a, T>(values: &'a mut [T], count: usize, channels: &Range<usize>) -> &'a mut [T] {
    let len = values.len() / count;
    &mut values[channels.start * len..channels.end * len]
}

fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    values.iter().map(|value| value.to_f64().to_bits()).collect()
}

fn parts_have_the_bits_of_the_whole<T: Element>(paths: Paths, isa: Isa, shape: Conv2dShape, n: usize) {
    let Conv2dShape { c, f, .. } = shape;
    let conv = Conv2d::with_paths(shape, paths).expect("it serves");
    let lengths = [conv.input_len(n), conv.weight_len(), conv.output_len(n), f];
    let mut seed = 0;
    let [x, w, dy, bias] = lengths.map(|len| {
        seed += 1;
        data::<T>(len, seed)
    });
    let [of_forward, of_backward] = prepared(&conv, isa, &w);
    let [forward, backward] = [&of_forward, &of_backward].map(|prepared| Weights { plain: &w, prepared });
    // Scratch memory begins as NaN, so no part reads what another one has left.
    let scratch = || vec![T::from_f64(f64::NAN); conv.scratch_len(n)];
    let finish = Finish { addend: Some(&dy[..]), activation: Activation::Relu };

    let (mut y, mut dx, mut dw) = (vec![T::ZERO; dy.len()], x.clone(), w.clone());
    let pass = Pass { isa, n, scratch: &mut scratch() };
    conv.forward(pass, &x, forward, Some(&bias), finish, &mut y);
    let pass = Pass { isa, n, scratch: &mut scratch() };
    conv.input_gradient(pass, &dy, backward, Some(&x), Accum::Add, &mut dx);
    conv.weight_gradient(Pass { isa, n, scratch: &mut scratch() }, &x, &dy, Accum::Add, &mut dw);

    let what = format!("{} at {isa}, {shape:?}, n = {n}, {paths:?}", T::NAME);
    for filters in cuts(f, conv.filters_of_part()) {
        let (mut y_of_parts, mut dw_of_parts) = (vec![T::ZERO; y.len()], w.clone());
        for filters in &filters {
            let pass = Pass { isa, n, scratch: &mut scratch() };
            let finish = Finish { addend: Some(part(&dy, f, filters)), ..finish };
            let y = part_mut(&mut y_of_parts, f, filters);
            conv.forward_filters(pass, filters.clone(), &x, forward, Some(&bias), finish, y);
            let (pass, dw) =
                (Pass { isa, n, scratch: &mut scratch() }, part_mut(&mut dw_of_parts, f, filters));
            conv.weight_gradient_filters(pass, filters.clone(), &x, &dy, Accum::Add, dw);
        }
        assert!(bits(&y_of_parts) == bits(&y), "forward of {filters:?}: {what}");
        assert!(bits(&dw_of_parts) == bits(&dw), "weight gradient of {filters:?}: {what}");
    }
    for channels in cuts(c, conv.channels_of_part()) {
        let mut dx_of_parts = x.clone();
        for channels in &channels {
            let pass = Pass { isa, n, scratch: &mut scratch() };
            let (relu_output, dx) = (part(&x, c, channels), part_mut(&mut dx_of_parts, c, channels));
            let channels = channels.clone();
            conv.input_gradient_channels(pass, channels, &dy, backward, Some(relu_output), Accum::Add, dx);
        }
        assert!(bits(&dx_of_parts) == bits(&dx), "input gradient of {channels:?}: {what}");
    }
}

/// Kernels of 3x3, of one element, with strides, wide ones; numbers of channels that are no multiple of any
/// tile, among them one more than a multiple of eight.
fn shapes() -> Vec<Conv2dShape> {
    let mut shapes = Vec::new();
    for channels in [[17, 24], [40, 19], [9, 41], [3, 18], [1, 1]] {
        shapes.push(fitting(channels, [6, 5], [3, 3], [1, 1], [1, 1], [1, 1]));
        shapes.push(fitting(channels, [5, 4], [1, 1], [1, 1], [0, 0], [1, 1]));
        shapes.push(fitting(channels, [7, 6], [1, 1], [2, 2], [0, 0], [1, 1]));
        shapes.push(fitting(channels, [9, 8], [3, 3], [2, 1], [1, 1], [1, 2]));
        shapes.push(fitting(channels, [8, 7], [5, 4], [1, 2], [2, 0], [1, 1]));
    }
    // The planes have an odd number of pixels: no cut of a tensor by the channels of another one fits.
    let of_groups = |channels, groups| Conv2dShape {
        groups,
        ..fitting(channels, [5, 7], [3, 3], [1, 1], [1, 1], [1, 1])
    };
    shapes.extend([of_groups([12, 6], 3), of_groups([4, 10], 2), of_groups([2, 4], 2)]);
    shapes.extend([of_groups([7, 7], 7), of_groups([5, 10], 5), of_groups([3, 9], 3)]);
    shapes
}

#[test]
fn parts_of_a_pass_have_the_bits_of_the_whole() {
    for (shape, n) in shapes().into_iter().flat_map(|shape| [1, 3, 16].map(|n| (shape, n))) {
        for path in Path::ALL.into_iter().filter(|path| path.serves(&shape)) {
            each_isa(|isa| {
                parts_have_the_bits_of_the_whole::<f32>(Paths::all(path), isa, shape, n);
                parts_have_the_bits_of_the_whole::<f64>(Paths::all(path), isa, shape, n);
                if path != Path::Direct {
                    parts_have_the_bits_of_the_whole::<f32>(bf16(path), isa, shape, n);
                }
            });
        }
    }
}

/// Products long enough that a matrix product is cut along its sums.
#[test]
fn parts_of_large_products_have_the_bits_of_the_whole() {
    // The last one's parts are among the smallest products, of sums longer than other loops cut.
    for (channels, image) in [([264, 24], [12, 8]), ([16, 264], [12, 8]), ([2, 18], [13, 9])] {
        let shape = fitting(channels, image, [1, 1], [1, 1], [0, 0], [1, 1]);
        let n = 8;
        for paths in [Paths::all(Path::Im2col), bf16(Path::Im2col)] {
            each_isa(|isa| parts_have_the_bits_of_the_whole::<f32>(paths, isa, shape, n));
        }
    }
}

/// All filters together have so many sums that blocks are larger than those of parts.
#[test]
fn parts_of_large_weight_gradients_have_the_bits_of_the_whole() {
    let shape = fitting([168, 160], [8, 8], [3, 3], [1, 1], [1, 1], [1, 1]);
    let (conv, isa) = (Conv2d::with_path(shape, Path::WinogradF4).expect("it serves"), Isa::best());
    // The second number of samples has two blocks of its four tiles.
    for n in [24, 80] {
        let (x, dy) = (data::<f32>(conv.input_len(n), 1), data::<f32>(conv.output_len(n), 2));
        let scratch = || vec![f32::NAN; conv.scratch_len(n)];
        let (mut whole, mut parts) = (vec![0.0; conv.weight_len()], vec![0.0; conv.weight_len()]);
        let pass = Pass { isa, n, scratch: &mut scratch() };
        conv.weight_gradient(pass, &x, &dy, Accum::Replace, &mut whole);
        for filters in [0..56, 56..160] {
            let (pass, dw) = (Pass { isa, n, scratch: &mut scratch() }, part_mut(&mut parts, 160, &filters));
            conv.weight_gradient_filters(pass, filters, &x, &dy, Accum::Replace, dw);
        }
        assert!(bits(&parts) == bits(&whole), "{n} samples");
    }
}

#[test]
fn what_is_no_part_is_refused() {
    let shape = fitting([17, 24], [4, 4], [3, 3], [1, 1], [1, 1], [1, 1]);
    let conv = Conv2d::new(shape).expect("a shape");
    let (x, dy) = (data::<f32>(conv.input_len(1), 1), data::<f32>(conv.output_len(1), 2));
    let refusal = |filters: Range<usize>, len: usize| {
        let (mut scratch, mut dw) = (vec![0.0; conv.scratch_len(1)], vec![0.0; len]);
        let pass = Pass { isa: Isa::portable(), n: 1, scratch: &mut scratch };
        let run = std::panic::AssertUnwindSafe(|| {
            conv.weight_gradient_filters(pass, filters, &x, &dy, Accum::Replace, &mut dw);
        });
        let panic = std::panic::catch_unwind(run).expect_err("no part");
        panic.downcast_ref::<String>().expect("a text").clone()
    };
    let of_filter = 17 * 9;
    for filters in [0..4, 4..24, 8..8, 16..25] {
        let text = refusal(filters.clone(), filters.len() * of_filter);
        let expected = format!("channels {filters:?} of 24 are no part: parts have a multiple of 8");
        assert_eq!(text, expected);
    }
    let text = refusal(0..8, 24 * of_filter);
    assert!(text.contains("channels 0..8 of 24 have 3672 elements, but 1224 are needed"), "{text}");
}
