//! The Winograd paths beyond what the tests of all paths check: which bits depend on nothing, what infinities
//! do, and which shapes take which path.

mod common;

use common::conv::{Case, bf16, fitting, narrow, prepared};
use common::{data, each_isa};
use isograd_kernels::conv::{Conv2d, Conv2dShape, ConvError, Path, Paths, Precision, Weights};
use isograd_kernels::{Accum, Activation, Element, Isa, Pass};
use proptest::prelude::*;

const PATHS: [Path; 2] = [Path::WinogradF2, Path::WinogradF4];

/// The Winograd paths for all passes, in full and in bfloat16.
fn all_paths() -> [Paths; 4] {
    let [two, four] = PATHS;
    [Paths::all(two), Paths::all(four), bf16(two), bf16(four)]
}

fn shape(channels: [usize; 2], image: [usize; 2], padding: [usize; 2]) -> Conv2dShape {
    fitting(channels, image, [3, 3], [1, 1], padding, [1, 1])
}

/// Runs all passes.
fn run<T: Element>(conv: &Conv2d, isa: Isa, n: usize, x: &[T], w: &[T], dy: &[T]) -> [Vec<T>; 3] {
    let [forward, backward] = prepared(conv, isa, w);
    let mut scratch = vec![T::from_f64(f64::NAN); conv.scratch_len(n)];
    let (mut y, mut dx, mut dw) = (dy.to_vec(), x.to_vec(), w.to_vec());
    let forward = Weights { plain: w, prepared: &forward };
    let backward = Weights { plain: w, prepared: &backward };
    conv.forward(Pass { isa, n, scratch: &mut scratch }, x, forward, None, Activation::Identity, &mut y);
    let pass = Pass { isa, n, scratch: &mut scratch };
    conv.input_gradient(pass, dy, backward, None, Accum::Replace, &mut dx);
    conv.weight_gradient(Pass { isa, n, scratch: &mut scratch }, x, dy, Accum::Replace, &mut dw);
    [y, dx, dw]
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The samples `samples` of `n` of a `[.., n]` tensor.
fn some_samples(all: &[f32], n: usize, samples: std::ops::Range<usize>) -> Vec<f32> {
    all.chunks_exact(n).flat_map(|row| row[samples.clone()].to_vec()).collect()
}

/// Blocks have other tiles with other numbers of samples.
#[test]
fn a_sample_has_the_same_bits_whatever_the_blocks() {
    let n = 37;
    let shape = shape([19, 26], [13, 10], [1, 1]);
    for path in all_paths() {
        let conv = Conv2d::with_paths(shape, path).unwrap();
        let (x, w, dy) =
            (data(conv.input_len(n), 1), data(conv.weight_len(), 2), data(conv.output_len(n), 3));
        each_isa(|isa| {
            let [y, dx, _] = run(&conv, isa, n, &x, &w, &dy);
            for samples in [0..1, 3..12, 20..37] {
                let part = |all: &[f32]| some_samples(all, n, samples.clone());
                let [part_y, part_dx, _] = run(&conv, isa, samples.len(), &part(&x), &w, &part(&dy));
                assert_eq!(bits(&part_y), bits(&part(&y)), "{isa}, {path:?}, y of {samples:?}");
                assert_eq!(bits(&part_dx), bits(&part(&dx)), "{isa}, {path:?}, dx of {samples:?}");
            }
        });
    }
}

/// Samples of zeros change the blocks of a weight gradient and add nothing to it.
#[test]
fn a_weight_gradient_has_the_same_bits_whatever_the_blocks() {
    let shape = shape([9, 26], [13, 10], [1, 1]);
    for path in all_paths() {
        let conv = Conv2d::with_paths(shape, path).unwrap();
        let (x, w, dy) =
            (data(conv.input_len(5), 1), data(conv.weight_len(), 2), data(conv.output_len(5), 3));
        let widened = |all: &[f32], n: usize| -> Vec<f32> {
            all.chunks_exact(5).flat_map(|row| [row, &vec![0.0; n - 5]].concat()).collect()
        };
        each_isa(|isa| {
            let [_, _, expected] = run(&conv, isa, 5, &x, &w, &dy);
            for n in [6, 31, 200] {
                let [_, _, dw] = run(&conv, isa, n, &widened(&x, n), &w, &widened(&dy, n));
                assert_eq!(bits(&dw), bits(&expected), "{isa}, {path:?}, {n} samples");
            }
        });
    }
}

/// Parts that begin and end with panels, and parts that cut them at every level.
#[test]
fn parts_of_the_filters_give_the_bits_of_all() {
    for (channels, kernel, n) in [
        ([19, 40], 3, 1),
        ([19, 40], 3, 9),
        ([35, 40], 3, 1),
        ([9, 40], 3, 5),
        ([19, 40], 1, 1),
        ([19, 40], 1, 3),
    ] {
        let shape = fitting(channels, [6, 5], [kernel; 2], [1, 1], [kernel / 2; 2], [1, 1]);
        let (case, f) = (Case::new(shape, n), channels[1]);
        let (x, w, bias) = (narrow::<f32>(&case.x), narrow::<f32>(&case.w), vec![0.25f32; f]);
        let by_shape = Paths::by_shape(&shape).unwrap();
        let rounded = Paths { precision: Precision::Bfloat16, ..by_shape };
        for paths in [by_shape, rounded] {
            each_isa(|isa| {
                let conv = Conv2d::with_paths(shape, paths).unwrap();
                let [forward, _] = prepared(&conv, isa, &w);
                let w = Weights { plain: &w, prepared: &forward };
                let mut scratch = vec![0.0; conv.scratch_len(n)];
                let mut y = vec![0.0f32; conv.output_len(n)];
                let pass = Pass { isa, n, scratch: &mut scratch };
                conv.forward(pass, &x, w, Some(&bias), Activation::Relu, &mut y);
                let plane = y.len() / f;
                for filters in [0..8, 8..16, 16..40] {
                    let mut part = vec![f32::NAN; filters.len() * plane];
                    let pass = Pass { isa, n, scratch: &mut scratch };
                    conv.forward_filters(
                        pass,
                        filters.clone(),
                        &x,
                        w,
                        Some(&bias),
                        Activation::Relu,
                        &mut part,
                    );
                    let expected = &y[filters.start * plane..filters.end * plane];
                    assert_eq!(part, expected, "{isa}, filters {filters:?} of {shape:?}, n = {n}, {paths:?}");
                }
            });
        }
    }
}

/// A NaN or an infinity in a patch reaches all outputs of the tile, of that sample alone, and no other tile.
#[test]
fn what_is_not_finite_stays_in_its_tiles() {
    let shape = shape([2, 3], [12, 12], [1, 1]);
    let n = 3;
    for (path, m) in [(Path::WinogradF2, 2), (Path::WinogradF4, 4)] {
        let conv = Conv2d::with_path(shape, path).unwrap();
        let (w, dy) = (data::<f32>(conv.weight_len(), 2), data::<f32>(conv.output_len(n), 3));
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = data::<f32>(conv.input_len(n), 1);
            // The first pixel, which lies in the patch of the first tile alone, of the second sample.
            x[1] = bad;
            each_isa(|isa| {
                let [y, _, _] = run(&conv, isa, n, &x, &w, &dy);
                for (i, y) in y.iter().enumerate() {
                    let (sample, column, row) = (i % n, i / n % 12, i / n / 12 % 12);
                    let is_reached = sample == 1 && row < m && column < m;
                    let must_be = row < 2 && column < 2;
                    assert!(y.is_finite() || is_reached, "{isa}, {path:?}: element {i} is {y}");
                    assert!(!(y.is_finite() && is_reached && must_be), "{isa}, {path:?}: element {i} is {y}");
                }
            });
        }
    }
}

#[test]
fn the_path_follows_from_the_shape() {
    let paths = |shape: Conv2dShape| {
        let conv = Conv2d::new(shape).unwrap();
        [conv.paths().forward, conv.paths().input_gradient, conv.paths().weight_gradient]
    };
    assert_eq!(paths(shape([12, 16], [8, 8], [1, 1])), [Path::WinogradF4; 3]);
    assert_eq!(paths(shape([11, 16], [8, 8], [1, 1])), [Path::Direct; 3]);
    assert_eq!(paths(shape([4, 8], [26, 26], [0, 0])), [Path::Direct; 3]);
    let [four, two] = [Path::WinogradF4, Path::WinogradF2];
    assert_eq!(paths(shape([512, 512], [4, 4], [1, 1])), [four, four, two]);
    assert_eq!(paths(shape([512, 512], [2, 2], [1, 1])), [two, two, Path::Im2col]);
    let strided = |channels, image| fitting([channels; 2], [image; 2], [3, 3], [2, 2], [1, 1], [1, 1]);
    assert_eq!(paths(strided(64, 8)), [Path::Direct; 3]);
    assert_eq!(paths(strided(128, 16)), [Path::Im2col, Path::Im2col, Path::Direct]);
    assert_eq!(paths(strided(128, 8)), [Path::Im2col; 3]);
}

/// With few channels, few samples are direct, and the memory is enough for both.
#[test]
fn few_samples_of_few_channels_are_direct() {
    let shape = shape([16, 17], [7, 9], [1, 1]);
    let [chosen, direct, four] = [
        Conv2d::new(shape).unwrap(),
        Conv2d::with_path(shape, Path::Direct).unwrap(),
        Conv2d::with_path(shape, Path::WinogradF4).unwrap(),
    ];
    for n in [1, 7, 8, 9] {
        let (x, w) = (data::<f32>(chosen.input_len(n), 1), data::<f32>(chosen.weight_len(), 2));
        let dy = data::<f32>(chosen.output_len(n), 3);
        let expected = run(if n < 8 { &direct } else { &four }, Isa::best(), n, &x, &w, &dy);
        let mut scratch = vec![0.0; chosen.scratch_len(9)];
        let [forward, _] = prepared(&chosen, Isa::best(), &w);
        let mut y = dy.clone();
        let weights = Weights { plain: &w, prepared: &forward };
        let pass = Pass { isa: Isa::best(), n, scratch: &mut scratch };
        chosen.forward(pass, &x, weights, None, Activation::Identity, &mut y);
        assert_eq!(bits(&y), bits(&expected[0]), "n = {n}");
        assert!(run(&chosen, Isa::best(), n, &x, &w, &dy) == expected, "n = {n}");
    }
}

/// In bfloat16, an odd number of samples has a column more in each tile.
#[test]
fn scratch_memory_is_enough_for_odd_numbers_of_samples() {
    for (channels, image) in [([64, 48], [36, 36]), ([9, 17], [24, 24]), ([126, 125], [40, 40])] {
        for paths in all_paths() {
            let conv = Conv2d::with_paths(shape(channels, image, [1, 1]), paths).unwrap();
            for n in [1, 3] {
                let (x, w) = (vec![0.5; conv.input_len(n)], vec![0.5; conv.weight_len()]);
                let dy: Vec<f32> = vec![0.5; conv.output_len(n)];
                let [_, _, dw] = run(&conv, Isa::best(), n, &x, &w, &dy);
                assert!(dw.iter().all(|dw| dw.is_finite()), "{channels:?}, {paths:?}, n = {n}");
            }
        }
    }
}

#[test]
fn scratch_memory_for_many_samples_does_for_fewer() {
    for (channels, image) in [([16, 20], [8, 4]), ([40, 33], [16, 16]), ([3, 70], [2, 2])] {
        let shape = shape(channels, image, [1, 1]);
        for conv in all_paths().map(|paths| Conv2d::with_paths(shape, paths).unwrap()) {
            for n in 1..80 {
                assert!(conv.scratch_len(n - 1) <= conv.scratch_len(n), "n = {n}, {shape:?}");
            }
        }
    }
}

#[test]
fn other_shapes_are_errors() {
    for shape in [
        fitting([16, 16], [8, 8], [3, 3], [2, 2], [1, 1], [1, 1]),
        fitting([16, 16], [8, 8], [3, 3], [1, 1], [1, 1], [2, 2]),
        fitting([16, 16], [8, 8], [5, 5], [1, 1], [1, 1], [1, 1]),
        fitting([16, 16], [8, 8], [3, 3], [1, 1], [3, 3], [1, 1]),
        Conv2dShape { groups: 2, ..shape([16, 16], [8, 8], [1, 1]) },
    ] {
        let error = Conv2d::with_path(shape, Path::WinogradF4).unwrap_err();
        assert_eq!(error, ConvError::NoWinograd { shape: Box::new(shape) });
    }
}

#[test]
#[should_panic(expected = "the prepared weights have 0 elements, but 9216 are needed")]
fn weights_that_are_not_prepared() {
    let conv = Conv2d::with_path(shape([16, 16], [4, 4], [1, 1]), Path::WinogradF4).unwrap();
    let (x, w) = (vec![0.0f32; 256], vec![0.0f32; 2304]);
    let (mut y, mut scratch) = (vec![0.0f32; 256], vec![0.0; conv.scratch_len(1)]);
    let pass = Pass { isa: Isa::best(), n: 1, scratch: &mut scratch };
    conv.forward(pass, &x, &w, None, Activation::Identity, &mut y);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn random_shapes(
        channels in [1usize..=30, 1usize..=30],
        image in [1usize..=11, 1usize..=11],
        padding in [0usize..=2, 0usize..=2],
        n in 1usize..=35,
    ) {
        let n = n.min(1 + 20_000 / (channels[0] * channels[1] * image[0] * image[1]));
        let case = Case::new(shape(channels, image, padding), n);
        case.check_winograd(Path::WinogradF2, 2);
        case.check_winograd(Path::WinogradF4, 4);
    }
}
