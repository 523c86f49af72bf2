//! Convolutions whose passes take different paths: each pass has the bits that it has where all passes take
//! its path.

mod common;

use common::conv::{Case, fitting, narrow, prepared};
use common::each_isa;
use isograd_kernels::conv::{Conv2d, Conv2dShape, ConvError, Path, Paths, Weights};
use isograd_kernels::{Accum, Activation, Isa, Pass};

/// The results of all passes of `conv` on the inputs of `case`, in scratch memory that begins as NaN.
fn run(conv: &Conv2d, isa: Isa, case: &Case) -> [Vec<f32>; 3] {
    let [x, w, dy, bias] = [&case.x, &case.w, &case.dy, &case.bias].map(|values| narrow::<f32>(values));
    let [forward, backward] = prepared(conv, isa, &w);
    let [forward, backward] = [&forward, &backward].map(|prepared| Weights { plain: &w, prepared });
    let (n, mut scratch) = (case.n, vec![f32::NAN; conv.scratch_len(case.n)]);
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    let pass = Pass { isa, n, scratch: &mut scratch };
    conv.forward(pass, &x, forward, Some(&bias), Activation::Relu, &mut y);
    let pass = Pass { isa, n, scratch: &mut scratch };
    conv.input_gradient(pass, &dy, backward, Some(&x), Accum::Add, &mut dx);
    conv.weight_gradient(Pass { isa, n, scratch: &mut scratch }, &x, &dy, Accum::Add, &mut dw);
    [y, dx, dw]
}

/// A shape for Winograd's algorithm, a product of matrices, one with strides, one of groups, a depthwise one.
fn shapes() -> [Conv2dShape; 5] {
    let grouped = fitting([6, 4], [5, 6], [3, 3], [1, 1], [1, 1], [1, 1]);
    let depthwise = fitting([5, 10], [6, 5], [3, 3], [1, 1], [1, 1], [1, 1]);
    [
        fitting([17, 18], [6, 5], [3, 3], [1, 1], [1, 1], [1, 1]),
        fitting([9, 8], [4, 5], [1, 1], [1, 1], [0, 0], [1, 1]),
        fitting([4, 5], [9, 8], [3, 2], [2, 1], [1, 1], [1, 1]),
        Conv2dShape { groups: 2, ..grouped },
        Conv2dShape { groups: 5, ..depthwise },
    ]
}

#[test]
fn each_pass_has_the_bits_of_its_path() {
    for (shape, n) in shapes().into_iter().flat_map(|shape| [1, 19].map(|n| (shape, n))) {
        let case = Case::new(shape, n);
        let paths: Vec<Path> = Path::ALL.into_iter().filter(|path| path.serves(&shape)).collect();
        each_isa(|isa| {
            let alone: Vec<_> = paths
                .iter()
                .map(|path| run(&Conv2d::with_path(shape, *path).expect("it serves"), isa, &case))
                .collect();
            let count = paths.len();
            for choice in 0..count.pow(3) {
                let of = [choice % count, choice / count % count, choice / count / count];
                let [forward, input_gradient, weight_gradient] = of.map(|index| paths[index]);
                let mixed = Paths { forward, input_gradient, weight_gradient, ..Paths::all(paths[0]) };
                let conv = Conv2d::with_paths(shape, mixed).expect("all serve");
                assert_eq!(conv.paths(), mixed);
                let results = run(&conv, isa, &case);
                for (pass, (result, index)) in results.iter().zip(of).enumerate() {
                    assert!(
                        result == &alone[index][pass],
                        "pass {pass} of {mixed:?} at {isa}, {shape:?}, {n}"
                    );
                }
            }
        });
    }
}

#[test]
fn passes_over_few_samples_are_direct() {
    let [shape, ..] = shapes();
    let paths = Paths { least_samples: 7, ..Paths::all(Path::WinogradF4) };
    let [few, direct, winograd] = [paths, Paths::all(Path::Direct), Paths::all(Path::WinogradF4)]
        .map(|paths| Conv2d::with_paths(shape, paths).expect("all serve"));
    for n in [6, 7] {
        let (case, expected) = (Case::new(shape, n), if n < 7 { &direct } else { &winograd });
        each_isa(|isa| assert!(run(&few, isa, &case) == run(expected, isa, &case), "{isa}, {n} samples"));
    }
}

#[test]
fn forward_passes_over_few_samples_can_be_products() {
    let strided = [[1, 1], [3, 3]].map(|kernel| fitting([9, 8], [4, 5], kernel, [2, 3], [0, 0], [1, 1]));
    for shape in shapes().into_iter().chain(strided) {
        let usual = Paths::by_shape(&shape).expect("a convolution");
        let paths = Paths { product_samples: 2, ..usual };
        let product = Paths { forward: Path::Im2col, product_samples: 0, ..usual };
        let [few, product, many] = [paths, product, Paths { product_samples: 0, ..usual }]
            .map(|paths| Conv2d::with_paths(shape, paths).expect("all serve"));
        for n in 0..4 {
            let (case, expected) = (Case::new(shape, n), if n < 3 { &product } else { &many });
            each_isa(|isa| {
                assert!(run(&few, isa, &case) == run(expected, isa, &case), "{shape:?}, {isa}, {n} samples");
            });
        }
    }
}

#[test]
fn large_convolutions_of_few_samples_are_products() {
    let large = fitting([32, 40], [6, 5], [3, 3], [1, 1], [1, 1], [1, 1]);
    let strided = fitting([32, 40], [6, 5], [3, 3], [2, 2], [1, 1], [1, 1]);
    let small = fitting([31, 40], [6, 5], [3, 3], [1, 1], [1, 1], [1, 1]);
    let short = fitting([32, 40], [6, 5], [2, 2], [1, 1], [1, 1], [1, 1]);
    let grouped = Conv2dShape { groups: 2, ..large };
    let [tiny, wide] = [[2, 4], [5, 13]].map(|[h, w]| Conv2dShape { h, w, ..large });
    let samples = [large, tiny, wide, strided, small, short, grouped]
        .map(|shape| Paths::by_shape(&shape).unwrap().product_samples);
    assert_eq!(samples, [1, 2, 0, 2, 0, 0, 0]);
}

#[test]
fn a_path_that_does_not_serve_a_pass_is_refused() {
    let [_, product, strided, ..] = shapes();
    for shape in [product, strided] {
        let by_shape = Paths::by_shape(&shape).expect("a convolution");
        assert_eq!(Conv2d::new(shape).expect("a convolution").paths(), by_shape);
        for paths in [
            Paths { forward: Path::WinogradF4, ..by_shape },
            Paths { input_gradient: Path::WinogradF2, ..by_shape },
            Paths { weight_gradient: Path::WinogradF4, ..by_shape },
        ] {
            let error = Conv2d::with_paths(shape, paths).unwrap_err();
            assert_eq!(error, ConvError::NoWinograd { shape: Box::new(shape) });
        }
    }
}
