//! Local response normalisation against its f64 reference, and that reference against central differences.

mod common;

use common::{Guarded, assert_close, data, each_isa, widen};
use isograd_kernels::local_response::LocalResponse;
use isograd_kernels::reference::local_response as reference;
use isograd_kernels::{Element, Isa, Pass};
use std::ops::Range;

/// Windows of odd and even sizes, wider than the channels, and of one channel; powers that have a way of
/// their own and others.
fn shapes() -> Vec<LocalResponse> {
    let alexnet = LocalResponse { c: 7, pixels: 3, size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };
    let strong = LocalResponse { alpha: 2.0, k: 1.0, ..alexnet };
    vec![
        alexnet,
        strong,
        LocalResponse { size: 4, beta: 0.5, ..strong },
        LocalResponse { size: 2, beta: 1.0, ..strong },
        LocalResponse { size: 1, beta: 0.3, ..strong },
        LocalResponse { c: 3, size: 9, beta: 2.5, k: 0.125, ..strong },
        LocalResponse { size: 3, beta: 0.0, ..strong },
        LocalResponse { c: 1, size: 5, ..strong },
        LocalResponse { c: 3, size: 4, ..strong },
        // Several blocks of columns.
        LocalResponse { c: 9, pixels: 70, ..strong },
    ]
}

const SAMPLES: [usize; 6] = [0, 1, 3, 16, 17, 33];

fn len(shape: &LocalResponse, n: usize) -> usize {
    shape.c * shape.pixels * n
}

fn inputs<T: Element>(len: usize, seed: u64) -> Vec<T> {
    data::<T>(len, seed).into_iter().map(|x| x * T::from_f64(4.0)).collect()
}

fn check<T: Element>() {
    let eps = T::EPSILON.to_f64();
    each_isa(|isa| {
        for (shape, n) in shapes().iter().flat_map(|shape| SAMPLES.map(|n| (shape, n))) {
            let what = format!("{isa}, {n} samples, {}, {shape:?}", T::NAME);
            let (x, dy) = (Guarded::new(&inputs(len(shape, n), 1)), Guarded::new(&data(len(shape, n), 2)));
            let (wide, wide_dy) = (widen(x.check()), widen::<T>(dy.check()));
            // See the documentation. The largest d is k + 16 alpha.
            let (size, beta) = (shape.size as f64, shape.beta);
            let log = shape.k.ln().abs().max((shape.k + 16.0 * shape.alpha).ln().abs());
            let power = (beta + 1.0) * (size + 2.0) + 4.0 + 4.0 * beta * log;

            let mut y = Guarded::<T>::nan(len(shape, n));
            shape.forward(Pass { isa, n, scratch: &mut [] }, x.check(), y.slice());
            let expected = reference::forward(shape, n, &wide);
            assert_close(&what, y.check(), &expected, |i| power * eps * expected[i].abs());

            let mut scratch = Guarded::<T>::nan(shape.scratch_len(n));
            let mut dx = Guarded::<T>::nan(len(shape, n));
            let pass = Pass { isa, n, scratch: scratch.slice() };
            shape.backward(pass, x.check(), dy.check(), dx.slice());
            scratch.check();
            let expected = reference::backward(shape, n, &wide, &wide_dy);
            // The terms of the gradient are below 1 / d^beta and 2 alpha beta x^2 / d^(beta + 1), and d is at
            // least k and alpha / size x^2.
            let terms = shape.k.powf(-beta) * (1.0 + 2.0 * beta * size);
            let bound = (power + size + 6.0) * eps * terms;
            assert_close(&format!("{what}, backward"), dx.check(), &expected, |_| bound);
        }
    });
}

#[test]
fn kernels_match_the_reference_in_f32() {
    check::<f32>();
}

#[test]
fn kernels_match_the_reference_in_f64() {
    check::<f64>();
}

/// Channels 1, 2, 3 and 4 with windows of three: the sums of squares are 5, 14, 29 and 25. With windows of
/// two, which reach back only, they are 1, 5, 13 and 25.
#[test]
fn windows_by_hand() {
    let shape = LocalResponse { c: 4, pixels: 1, size: 3, alpha: 3.0, beta: 1.0, k: 1.0 };
    for (size, sums) in [(3, [5.0, 14.0, 29.0, 25.0]), (2, [1.0, 5.0, 13.0, 25.0])] {
        let shape = LocalResponse { size, alpha: size as f64, ..shape };
        let mut y = [0.0; 4];
        shape.forward(Pass { isa: Isa::best(), n: 1, scratch: &mut [] }, &[1.0, 2.0, 3.0, 4.0], &mut y);
        let expected: Vec<f64> = sums.iter().zip(1..).map(|(sum, x)| f64::from(x) / (1.0 + sum)).collect();
        assert_close("y", &y, &expected, |_| 1e-15);
    }
}

/// The bits of a column do not depend on the columns beside it, so blocks do not show.
#[test]
fn blocks_change_no_bit() {
    each_isa(|isa| {
        let wide = LocalResponse { c: 12, pixels: 300, size: 5, alpha: 0.5, beta: 0.75, k: 2.0 };
        let (narrow, n) = (LocalResponse { pixels: 1, ..wide }, 8);
        let (x, dy) = (inputs::<f32>(len(&wide, n), 3), data::<f32>(len(&wide, n), 4));
        let run = |shape: &LocalResponse, x: &[f32], dy: &[f32]| {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let mut scratch = vec![0.0; shape.scratch_len(n)];
            shape.forward(Pass { isa, n, scratch: &mut [] }, x, &mut y);
            shape.backward(Pass { isa, n, scratch: &mut scratch }, x, dy, &mut dx);
            [y, dx]
        };
        let all = run(&wide, &x, &dy);
        for pixel in 0..wide.pixels {
            let one = |t: &[f32]| -> Vec<f32> {
                t.chunks(wide.pixels * n).flat_map(|row| row[pixel * n..][..n].to_vec()).collect()
            };
            let [y, dx] = run(&narrow, &one(&x), &one(&dy));
            assert_eq!([one(&all[0]), one(&all[1])], [y, dx], "pixel {pixel}, {isa}");
        }
    });
}

/// Whatever the channels of a part, they have the bits of the whole.
#[test]
fn parts_change_no_bit() {
    each_isa(|isa| {
        for (shape, n) in shapes().iter().flat_map(|shape| [1, 17].map(|n| (shape, n))) {
            let (x, dy) = (inputs::<f32>(len(shape, n), 7), data::<f32>(len(shape, n), 8));
            let run = |channels: Range<usize>| {
                let part = channels.len() * shape.pixels * n;
                let (mut y, mut dx) = (Guarded::nan(part), Guarded::nan(part));
                let mut scratch = Guarded::<f32>::nan(shape.scratch_len(n));
                let pass = Pass { isa, n, scratch: &mut [] };
                shape.forward_channels(pass, channels.clone(), &x, y.slice());
                let pass = Pass { isa, n, scratch: scratch.slice() };
                shape.backward_channels(pass, channels, &x, &dy, dx.slice());
                scratch.check();
                [y.check().to_vec(), dx.check().to_vec()]
            };
            let whole = run(0..shape.c);
            for (start, end) in (0..=shape.c).flat_map(|start| (start..=shape.c).map(move |end| (start, end)))
            {
                let expected = whole.each_ref().map(|t| &t[start * shape.pixels * n..end * shape.pixels * n]);
                assert_eq!(
                    run(start..end),
                    expected,
                    "channels {start}..{end}, {isa}, {n} samples, {shape:?}"
                );
            }
        }
    });
}

#[test]
fn nan_reaches_the_channels_around_it_and_overflow_gives_zero() {
    each_isa(|isa| {
        let shape = LocalResponse { c: 7, pixels: 1, size: 3, alpha: 1.0, beta: 0.75, k: 1.0 };
        let forward = |beta: f64, bad: f32| {
            let (mut x, mut y) = ([1f32; 7], [0.0; 7]);
            x[3] = bad;
            LocalResponse { beta, ..shape }.forward(Pass { isa, n: 1, scratch: &mut [] }, &x, &mut y);
            y
        };
        for beta in [0.5, 0.75, 1.0, 0.9] {
            let y = forward(beta, f32::NAN).map(f32::is_nan);
            assert_eq!(y, [false, false, true, true, true, false, false], "{isa}, beta {beta}");
            let y = forward(beta, 1e25).map(|y| y == 0.0);
            assert_eq!(y, [false, false, true, true, true, false, false], "{isa}, beta {beta}");
        }
    });
}

#[test]
fn reference_gradients_match_central_differences() {
    let (h, n) = (1e-5, 2);
    for shape in shapes().iter().filter(|shape| shape.c < 100) {
        let (mut x, dy) = (inputs::<f64>(len(shape, n), 5), data::<f64>(len(shape, n), 6));
        let dx = reference::backward(shape, n, &x, &dy);
        let differences: Vec<f64> = (0..x.len())
            .map(|i| {
                let centre = x[i];
                let [above, below] = [centre + h, centre - h].map(|value| {
                    x[i] = value;
                    reference::forward(shape, n, &x).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
                });
                x[i] = centre;
                (above - below) / (2.0 * h)
            })
            .collect();
        // Rounding: EPSILON / h times a sum of up to 42 terms of up to 4 / k^beta. Truncation: h^2 / 6 times
        // the third derivative, which a small k makes large.
        let bound = shape.k.powf(-shape.beta) * (1e-8 + 1e-9 / shape.k);
        assert_close(&format!("{shape:?}"), &dx, &differences, |_| bound);
    }
}

#[test]
#[should_panic(expected = "local response: y has 5 elements, but 2 channels of 3 pixels of 1 samples need 6")]
fn wrong_length_panics_with_both() {
    let shape = LocalResponse { c: 2, pixels: 3, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
    shape.forward(Pass { isa: Isa::portable(), n: 1, scratch: &mut [] }, &[0f32; 6], &mut [0f32; 5]);
}

#[test]
#[should_panic(expected = "local response: size 5, alpha 0.0001, beta 0.75, k 0")]
fn parameters_outside_their_range_panic_with_all_of_them() {
    let shape = LocalResponse { c: 1, pixels: 1, size: 5, alpha: 1e-4, beta: 0.75, k: 0.0 };
    shape.forward(Pass { isa: Isa::portable(), n: 1, scratch: &mut [] }, &[0f32; 1], &mut [0f32; 1]);
}
