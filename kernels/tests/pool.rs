//! Pooling against the f64 reference: every level, both types, geometries with overlap, padding, dilation,
//! gaps and windows that do not fit, sample counts around the vector length.

mod common;

use common::{Guarded, assert_close, data, each_isa, widen};
use isograd_kernels::pool::{
    Divisor, Pool2d, Pool2dShape, PoolError, Rounding, average_pool, average_pool_backward, max_pool,
    max_pool_backward, max_pool_eval,
};
use isograd_kernels::reference::pool::Maxima;
use isograd_kernels::{Element, Isa, reference};
use proptest::prelude::*;

const SAMPLES: [usize; 10] = [0, 1, 3, 8, 16, 17, 20, 32, 48, 64];

/// Pairs are the window, then stride, padding and dilation.
fn shape(
    c: usize,
    [h, w]: [usize; 2],
    [[kh, kw], stride, padding, dilation]: [[usize; 2]; 4],
) -> Pool2dShape {
    let [stride, padding, dilation] = [stride, padding, dilation].map(Into::into);
    let (rounding, divisor) = (Rounding::Down, Divisor::Inside);
    Pool2dShape { c, h, w, kh, kw, stride, padding, dilation, rounding, divisor }
}

/// `shape` with a last window that need not fit.
fn rounded_up(shape: Pool2dShape) -> Pool2dShape {
    Pool2dShape { rounding: Rounding::Up, ..shape }
}

/// `shape` with averages that count the padding.
fn counting_padding(shape: Pool2dShape) -> Pool2dShape {
    Pool2dShape { divisor: Divisor::Padded, ..shape }
}

fn shapes() -> Vec<Pool2dShape> {
    vec![
        shape(2, [6, 8], [[2, 2], [2, 2], [0, 0], [1, 1]]),
        // An uncovered row and column.
        shape(2, [5, 7], [[2, 2], [2, 2], [0, 0], [1, 1]]),
        // Images one window wide, and images that are wide enough for bursts of windows and more.
        shape(3, [4, 2], [[2, 2], [2, 2], [0, 0], [1, 1]]),
        shape(1, [2, 19], [[2, 2], [2, 2], [0, 0], [1, 1]]),
        shape(1, [7, 9], [[3, 3], [3, 3], [0, 0], [1, 1]]),
        shape(2, [7, 6], [[3, 3], [2, 2], [1, 1], [1, 1]]),
        shape(1, [6, 5], [[3, 3], [1, 1], [1, 1], [1, 1]]),
        shape(1, [5, 6], [[2, 2], [1, 1], [0, 0], [1, 1]]),
        // Up to three windows of five over an element, and five of them.
        shape(1, [9, 8], [[5, 5], [2, 2], [2, 2], [1, 1]]),
        shape(1, [5, 6], [[5, 5], [1, 1], [2, 2], [1, 1]]),
        // Gaps between windows.
        shape(1, [7, 8], [[2, 2], [3, 3], [0, 0], [1, 1]]),
        shape(2, [4, 3], [[0, 0], [1, 1], [0, 0], [1, 1]]),
        shape(1, [4, 6], [[0, 2], [1, 2], [0, 0], [1, 1]]),
        shape(1, [8, 7], [[2, 3], [2, 1], [1, 2], [2, 2]]),
        shape(1, [1, 9], [[1, 4], [1, 2], [0, 1], [1, 2]]),
        shape(3, [3, 3], [[1, 1], [1, 1], [0, 0], [1, 1]]),
        // Whole images of one, few and many pixels.
        shape(2, [1, 1], [[0, 0], [1, 1], [0, 0], [1, 1]]),
        shape(3, [7, 7], [[0, 0], [1, 1], [0, 0], [1, 1]]),
        // GoogLeNet's: the last windows have a part of their elements. Then a window larger than the image.
        rounded_up(shape(2, [6, 8], [[3, 3], [2, 2], [0, 0], [1, 1]])),
        rounded_up(shape(1, [5, 7], [[2, 2], [2, 2], [0, 0], [1, 1]])),
        rounded_up(shape(2, [2, 2], [[3, 3], [2, 2], [0, 0], [1, 1]])),
        rounded_up(shape(1, [6, 9], [[2, 3], [3, 4], [1, 1], [2, 1]])),
        counting_padding(shape(1, [6, 5], [[3, 3], [1, 1], [1, 1], [1, 1]])),
        counting_padding(shape(2, [7, 8], [[3, 2], [2, 2], [1, 1], [1, 1]])),
        rounded_up(counting_padding(shape(1, [6, 7], [[3, 5], [2, 3], [1, 2], [1, 1]]))),
    ]
}

fn input_len(shape: &Pool2dShape, n: usize) -> usize {
    shape.c * shape.h * shape.w * n
}

/// Compares `y` and `argmax` of the kernel with the reference. Nothing is rounded, so they must be equal.
fn check_max<T: Element>(isa: Isa, shape: &Pool2dShape, n: usize, x: &[T]) {
    let pool = &Pool2d::new(*shape).expect("a possible shape");
    for relu in [false, true] {
        let Maxima { y: y_ref, argmax: argmax_ref } = reference::pool::max_pool(shape, n, relu, &widen(x));
        let (mut x, mut y) = (Guarded::new(x), Guarded::nan(y_ref.len()));
        let mut argmax = Guarded::nan(y_ref.len());
        max_pool(isa, pool, n, relu, x.slice(), y.slice(), argmax.slice());
        let what = format!("{isa} {} n={n} relu={relu} {shape:?}", T::NAME);
        assert_close(&format!("max of {what}"), y.check(), &y_ref, |_| 0.0);
        assert_close(&format!("argmax of {what}"), argmax.check(), &argmax_ref, |_| 0.0);

        let mut eval = Guarded::nan(y_ref.len());
        max_pool_eval(isa, pool, n, relu, x.slice(), eval.slice());
        assert_close(&format!("max without argmax of {what}"), eval.check(), &y_ref, |_| 0.0);

        let mut dy = Guarded::new(&data::<T>(y_ref.len(), 3));
        let dx_ref = reference::pool::max_pool_backward(shape, n, &argmax_ref, &widen(dy.slice()));
        let mut dx = Guarded::nan(input_len(shape, n));
        max_pool_backward(isa, pool, n, argmax.slice(), dy.slice(), dx.slice());
        // |dy| < 1, and each window element (tap) contributes to an input element at most once.
        let bound = taps(pool).powi(2) * T::EPSILON.to_f64();
        assert_close(&format!("dx of {what}"), dx.check(), &dx_ref, |_| bound);
    }
}

fn taps(pool: &Pool2d) -> f64 {
    let Pool2dShape { kh, kw, .. } = pool.shape();
    (kh * kw) as f64
}

fn check_average<T: Element>(isa: Isa, shape: &Pool2dShape, n: usize) {
    let pool = &Pool2d::new(*shape).expect("a possible shape");
    let mut x = Guarded::new(&data::<T>(input_len(shape, n), 1));
    let y_ref = reference::pool::average_pool(shape, n, &widen(x.slice()));
    let mut y = Guarded::nan(y_ref.len());
    average_pool(isa, pool, n, x.slice(), y.slice());
    let what = format!("{isa} {} n={n} {shape:?}", T::NAME);
    // k additions of terms below 1, the reciprocal and the product make k + 2 roundings of a mean below 1.
    let taps = taps(pool);
    assert_close(&format!("average of {what}"), y.check(), &y_ref, |_| (taps + 2.0) * T::EPSILON.to_f64());

    let mut dy = Guarded::new(&data::<T>(y_ref.len(), 2));
    let dx_ref = reference::pool::average_pool_backward(shape, n, &widen(dy.slice()));
    let mut dx = Guarded::nan(input_len(shape, n));
    average_pool_backward(isa, pool, n, dy.slice(), dx.slice());
    assert_close(&format!("dx of {what}"), dx.check(), &dx_ref, |_| {
        taps * (taps + 2.0) * T::EPSILON.to_f64()
    });
}

fn check_all<T: Element>() {
    each_isa(|isa| {
        for shape in shapes() {
            for n in SAMPLES {
                check_max(isa, &shape, n, &data::<T>(input_len(&shape, n), 7));
                check_average::<T>(isa, &shape, n);
            }
        }
    });
}

#[test]
fn matches_reference_f32() {
    check_all::<f32>();
}

#[test]
fn matches_reference_f64() {
    check_all::<f64>();
}

/// Ties, infinities of either sign, denormals, zeros of either sign, and NaN in every place of a window.
#[test]
fn special_values() {
    let values = [
        f32::NAN,
        1.0,
        1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        0.0,
        1e-40,
        -1e-40,
        -2.0,
        f32::NEG_INFINITY,
    ];
    each_isa(|isa| {
        for shape in shapes() {
            for n in [1, 16, 32, 33] {
                let x: Vec<f32> = data::<f32>(input_len(&shape, n), 11)
                    .iter()
                    .map(|v| values[((v + 1.0) * 0.5 * values.len() as f32) as usize])
                    .collect();
                check_max(isa, &shape, n, &x);
                check_max(isa, &shape, n, &vec![f32::NEG_INFINITY; x.len()]);
                check_max(isa, &shape, n, &vec![f32::MAX; x.len()]);
            }
        }
    });
}

/// Infinite gradients reach only the elements that were the maximum of a window.
#[test]
fn infinite_gradients_reach_winners_only() {
    each_isa(|isa| {
        let pool = Pool2d::new(shape(1, [3, 3], [[2, 2], [1, 1], [0, 0], [1, 1]])).unwrap();
        let n = 16;
        let x: Vec<f32> = (0..9 * n).map(|i| (i / n) as f32).collect();
        let (mut y, mut argmax) = (vec![0.0; 4 * n], vec![0.0; 4 * n]);
        max_pool(isa, &pool, n, true, &x, &mut y, &mut argmax);
        let mut dx = vec![0.0; 9 * n];
        max_pool_backward(isa, &pool, n, &argmax, &vec![f32::INFINITY; 4 * n], &mut dx);
        for (i, dx) in dx.iter().enumerate() {
            let winner = [4, 5, 7, 8].contains(&(i / n));
            assert_eq!(*dx, if winner { f32::INFINITY } else { 0.0 }, "element {i} at {isa}");
        }
    });
}

/// The reference's gradients against central differences. The inputs differ by more than the step, so that
/// each window keeps its maximum.
#[test]
fn reference_gradients() {
    let n = 2;
    for shape in shapes() {
        let x: Vec<f64> =
            (0..input_len(&shape, n)).map(|i| ((i * 7919 + 13) % 10_007) as f64 / 1000.0 - 3.0).collect();
        let Maxima { y, argmax } = reference::pool::max_pool(&shape, n, true, &x);
        let dy = data::<f64>(y.len(), 5);
        let max = |x: &[f64]| reference::pool::max_pool(&shape, n, true, x).y;
        let average = |x: &[f64]| reference::pool::average_pool(&shape, n, x);
        let max_dx = reference::pool::max_pool_backward(&shape, n, &argmax, &dy);
        let average_dx = reference::pool::average_pool_backward(&shape, n, &dy);
        assert_close("max", &central_differences(max, &x, &dy), &max_dx, |_| 1e-8);
        assert_close("average", &central_differences(average, &x, &dy), &average_dx, |_| 1e-8);
    }
}

/// The gradient of `sum(f(x) * dy)`, with an error of about `1e-16 * |x| / 1e-5` times the number of terms.
fn central_differences(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], dy: &[f64]) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let loss = |x: &[f64]| f(x).iter().zip(dy).map(|(y, dy)| y * dy).sum::<f64>();
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let centre = x[i];
            x[i] = centre + STEP;
            let above = loss(&x);
            x[i] = centre - STEP;
            let below = loss(&x);
            x[i] = centre;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Numbers of outputs, counted by hand: with padding on both sides, gaps inside the window, and positions
/// that the last step does not reach.
#[test]
fn output_sizes() {
    for (size, window, stride, padding, dilation, outputs) in [
        (5, 3, 2, 1, 1, 3),
        (6, 3, 2, 1, 1, 3),
        (7, 3, 1, 2, 2, 7),
        (8, 2, 3, 0, 1, 3),
        (9, 4, 2, 1, 2, 3),
        (4, 0, 1, 0, 1, 1),
        (1, 3, 1, 1, 1, 1),
    ] {
        check_outputs(|shape| shape, [size, window, stride, padding, dilation], outputs);
    }
    // PyTorch's ceil_mode: one output more where the last step leaves a rest, unless the window would begin
    // behind the image.
    for (size, window, stride, padding, dilation, outputs) in [
        (6, 3, 2, 0, 1, 3),
        (7, 3, 2, 0, 1, 3),
        (8, 3, 2, 0, 1, 4),
        (2, 3, 2, 0, 1, 1),
        (5, 2, 2, 0, 1, 3),
        (5, 1, 3, 0, 1, 2),
        (1, 3, 3, 1, 1, 1),
        (1, 2, 3, 1, 1, 1),
        (4, 2, 4, 1, 1, 2),
        (3, 2, 4, 1, 1, 1),
        (10, 4, 4, 1, 2, 3),
    ] {
        check_outputs(rounded_up, [size, window, stride, padding, dilation], outputs);
    }
}

/// Checks the number of outputs of the kernel and of the reference along both dimensions.
fn check_outputs(
    option: fn(Pool2dShape) -> Pool2dShape,
    [size, window, stride, padding, dilation]: [usize; 5],
    outputs: usize,
) {
    let rows = shape(1, [size, 1], [[window, 1], [stride, 1], [padding, 0], [dilation, 1]]);
    let columns = shape(1, [1, size], [[1, window], [1, stride], [0, padding], [1, dilation]]);
    for (shape, expected) in [(option(rows), [outputs, 1]), (option(columns), [1, outputs])] {
        let pool = Pool2d::new(shape).expect("a possible shape");
        assert_eq!([pool.oh(), pool.ow()], expected, "{shape:?}");
        assert_eq!(pool.shape(), Pool2dShape { kh: pool.shape().kh, kw: pool.shape().kw, ..shape });
        let y = reference::pool::average_pool(&shape, 3, &vec![1.0; size * 3]);
        assert_eq!(y, vec![1.0; outputs * 3], "{shape:?}");
    }
}

/// Averages of ones are the shares of the windows inside the image, or 1. A window of 3 at either end of 6
/// pixels with padding 1 has two of them; with stride 2 and rounding up, the last one begins at the fifth
/// pixel and reaches beyond the padding, which does not count.
#[test]
fn counted_padding_by_hand() {
    let third = 1.0 / 3.0;
    let row = |steps| shape(1, [1, 6], [[1, 3], steps, [0, 1], [1, 1]]);
    for (shape, expected) in [
        (row([1, 1]), vec![1.0; 6]),
        (counting_padding(row([1, 1])), vec![2.0 * third, 1.0, 1.0, 1.0, 1.0, 2.0 * third]),
        (rounded_up(row([1, 2])), vec![1.0; 4]),
        (rounded_up(counting_padding(row([1, 2]))), vec![2.0 * third, 1.0, 1.0, 0.5]),
    ] {
        let pool = Pool2d::new(shape).expect("a possible shape");
        let mut y = vec![0.0; pool.ow()];
        average_pool(Isa::best(), &pool, 1, &[1.0; 6], &mut y);
        assert_close(&format!("{shape:?}"), &y, &expected, |_| f64::EPSILON);
    }
}

#[test]
fn impossible_geometries() {
    let new = |window, stride, padding, dilation| {
        Pool2d::new(shape(2, [5, 6], [window, stride, padding, dilation]))
    };
    assert_eq!(
        Pool2d::new(shape(0, [5, 6], [[2, 2], [1, 1], [0, 0], [1, 1]])),
        Err(PoolError::EmptyImage { c: 0, h: 5, w: 6 })
    );
    assert_eq!(
        new([2, 2], [0, 1], [0, 0], [1, 1]),
        Err(PoolError::ZeroStep { stride: [0, 1].into(), dilation: 1.into() })
    );
    assert_eq!(
        new([2, 2], [1, 1], [0, 0], [1, 0]),
        Err(PoolError::ZeroStep { stride: 1.into(), dilation: [1, 0].into() })
    );
    assert_eq!(
        new([6, 2], [1, 1], [0, 0], [1, 1]),
        Err(PoolError::WindowTooLarge { dimension: "height", span: 6, padded: 5 })
    );
    assert_eq!(
        new([2, 4], [1, 1], [0, 0], [1, 2]),
        Err(PoolError::WindowTooLarge { dimension: "width", span: 7, padded: 6 })
    );
    assert_eq!(
        new([2, 2], [1, 1], [2, 0], [1, 1]),
        Err(PoolError::PaddingTooLarge { dimension: "height", padding: 2, span: 2 })
    );
    assert_eq!(
        Pool2d::new(rounded_up(shape(2, [5, 6], [[8, 2], [2, 1], [0, 0], [1, 1]]))),
        Err(PoolError::WindowTooLarge { dimension: "height", span: 8, padded: 5 })
    );
    // Elements at -1 and 1 of an image that has only 0.
    assert_eq!(
        Pool2d::new(shape(1, [1, 6], [[2, 2], [1, 1], [1, 0], [2, 1]])),
        Err(PoolError::EmptyWindow { dimension: "height", output: 0, size: 1 })
    );
    assert_eq!(
        Pool2d::new(shape(1, [5000, 5000], [[0, 0], [1, 1], [0, 0], [1, 1]])),
        Err(PoolError::TooManyTaps { kh: 5000, kw: 5000 })
    );
    let huge = usize::MAX / 2;
    assert_eq!(
        Pool2d::new(shape(2, [5, 6], [[2, 2], [1, 1], [huge, 0], [huge, 1]])),
        Err(PoolError::Overflow { c: 2, h: 5, w: 6 })
    );
    assert_eq!(
        Pool2d::new(shape(2, [huge, 2], [[1, 1], [1, 1], [0, 0], [1, 1]])),
        Err(PoolError::Overflow { c: 2, h: huge, w: 2 })
    );
}

#[test]
#[should_panic(expected = "pooling output has 11 elements, but [1, 2, 2, 3] needs 12")]
fn wrong_length() {
    let pool = Pool2d::new(shape(1, [4, 4], [[2, 2], [2, 2], [0, 0], [1, 1]])).unwrap();
    average_pool(Isa::best(), &pool, 3, &[0.0f32; 48], &mut [0.0; 11]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any geometry that `new` accepts works, with windows, strides and dilations of every kind.
    #[test]
    fn any_geometry(
        (h, w) in (1usize..9, 1usize..9),
        window in [0usize..5, 0usize..5],
        stride in [1usize..4, 1usize..4],
        padding in [0usize..4, 0usize..4],
        dilation in [1usize..4, 1usize..4],
        rounding in prop::sample::select(vec![Rounding::Down, Rounding::Up]),
        divisor in prop::sample::select(vec![Divisor::Inside, Divisor::Padded]),
        n in prop::sample::select(vec![1usize, 5, 16, 32]),
    ) {
        let shape = Pool2dShape { rounding, divisor, ..shape(2, [h, w], [window, stride, padding, dilation]) };
        if Pool2d::new(shape).is_ok() {
            let isa = Isa::best();
            check_max(isa, &shape, n, &data::<f32>(input_len(&shape, n), 23));
            check_average::<f32>(isa, &shape, n);
        }
    }

    /// `<average(x), dy> = <x, average_backward(dy)>`.
    #[test]
    fn average_adjoint(seed in 0u64..1000, stride in 1usize..3, padding in 0usize..2) {
        let pool = Pool2d::new(shape(2, [7, 6], [[3, 2], [stride; 2], [padding; 2], [1, 1]])).unwrap();
        let (isa, n) = (Isa::best(), 5);
        let x = data::<f64>(2 * 7 * 6 * n, seed);
        let dy = data::<f64>(2 * pool.oh() * pool.ow() * n, seed + 1);
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        average_pool(isa, &pool, n, &x, &mut y);
        average_pool_backward(isa, &pool, n, &dy, &mut dx);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let bound = 2.0 * (x.len() + 8) as f64 * f64::EPSILON * y.len() as f64;
        prop_assert!((dot(&y, &dy) - dot(&x, &dx)).abs() <= bound);
    }
}
