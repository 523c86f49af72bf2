//! Layout transforms against index arithmetic, around the sizes of their tiles.

mod common;

use common::{Guarded, data, each_isa};
use isograd_kernels::layout::{
    Channels, Scaling, chwn_to_nchw, chwn_to_nhwc, gather_float, gather_u8, nchw_to_chwn, nhwc_to_chwn,
};
use isograd_kernels::{Element, Isa};

/// Channels, pixels, samples.
const SHAPES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [3, 5, 2],
    [1, 784, 32],
    [2, 63, 31],
    [3, 64, 33],
    [1, 65, 8],
    [3, 21, 64],
    [10, 1, 70],
    [5, 17, 1],
    [2, 8, 20],
    [2, 0, 5],
    [2, 5, 0],
];

fn check_transforms<T: Element>() {
    each_isa(|isa| {
        for [c, pixels, n] in SHAPES {
            let mut chwn = Guarded::new(&data::<T>(c * pixels * n, 1));
            let (mut nchw, mut nhwc) = (vec![T::ZERO; c * pixels * n], vec![T::ZERO; c * pixels * n]);
            for channel in 0..c {
                for p in 0..pixels {
                    for i in 0..n {
                        let value = chwn.slice()[(channel * pixels + p) * n + i];
                        nchw[(i * c + channel) * pixels + p] = value;
                        nhwc[(i * pixels + p) * c + channel] = value;
                    }
                }
            }
            let mut y = Guarded::nan(c * pixels * n);
            chwn_to_nchw(isa, c, pixels, n, chwn.slice(), y.slice());
            assert_eq!(y.check(), nchw, "chwn_to_nchw of {c} x {pixels} x {n} at {isa}");
            chwn_to_nhwc(isa, c, pixels, n, chwn.slice(), y.slice());
            assert_eq!(y.check(), nhwc, "chwn_to_nhwc of {c} x {pixels} x {n} at {isa}");

            let mut y = Guarded::nan(c * pixels * n);
            nchw_to_chwn(isa, c, pixels, n, Guarded::new(&nchw).slice(), y.slice());
            assert_eq!(y.check(), chwn.check(), "nchw_to_chwn of {c} x {pixels} x {n} at {isa}");
            nhwc_to_chwn(isa, c, pixels, n, Guarded::new(&nhwc).slice(), y.slice());
            assert_eq!(y.check(), chwn.check(), "nhwc_to_chwn of {c} x {pixels} x {n} at {isa}");
        }
    });
}

#[test]
fn transforms_f32() {
    check_transforms::<f32>();
}

#[test]
fn transforms_f64() {
    check_transforms::<f64>();
}

/// Transforms keep the bits of signed zeros, NaN payloads and denormals.
#[test]
fn transforms_keep_every_bit() {
    let x: Vec<f32> = [0x8000_0000, 0x7fc0_1234, 0xff80_0001, 0x0000_0001, 0x7f80_0000, 0x3f80_0000]
        .map(f32::from_bits)
        .repeat(20);
    each_isa(|isa| {
        let (mut y, mut back) = (vec![0.0; 120], vec![0.0; 120]);
        nchw_to_chwn(isa, 1, 12, 10, &x, &mut y);
        chwn_to_nchw(isa, 1, 12, 10, &y, &mut back);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&x));
        assert_ne!(bits(&y), bits(&x));
    });
}

/// `scale * x + shift`, product and sum rounded, in the order of the layout; `x(i, q)` is value `q` of sample
/// `i`.
fn gathered<T: Element>(
    [c, pixels, n]: [usize; 3],
    channels: Channels,
    Scaling { scale, shift }: Scaling<'_, T>,
    x: impl Fn(usize, usize) -> T,
) -> Vec<T> {
    let mut y = Vec::new();
    for channel in 0..c {
        for p in 0..pixels {
            let q = if channels == Channels::First { channel * pixels + p } else { p * c + channel };
            y.extend((0..n).map(|i| scale[channel] * x(i, q) + shift[channel]));
        }
    }
    y
}

fn check_gather<T: Element>() {
    for shape in SHAPES {
        let [c, pixels, n] = shape;
        let (scale, shift) = (data::<T>(c, 2), data::<T>(c, 3));
        let scaling = Scaling { scale: &scale, shift: &shift };
        let len = c * pixels;
        let bytes: Vec<u8> = (0..len * n + 1).map(|i| (i * i + i / 7) as u8).collect();
        // The samples are in reverse order, at odd addresses.
        let sample = |i: usize| &bytes[1 + (n - 1 - i) * len..][..len];
        let floats32: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 3.0).collect();
        let floats64: Vec<f64> = bytes.iter().map(|&b| f64::from(b) / 3.0).collect();
        let (sample32, sample64) =
            (|i: usize| &floats32[i * len..][..len], |i: usize| &floats64[i * len..][..len]);
        for channels in [Channels::First, Channels::Last] {
            let expected = |x: &dyn Fn(usize, usize) -> f64| {
                gathered(shape, channels, scaling, |i, q| T::from_f64(x(i, q)))
            };
            let from_u8 = expected(&|i, q| f64::from(sample(i)[q]));
            let from_f32 = expected(&|i, q| f64::from(sample32(i)[q]));
            let from_f64 = expected(&|i, q| sample64(i)[q]);
            each_isa(|isa| {
                let what = format!("to {}, {shape:?}, channels {channels:?}, {isa}", T::NAME);
                let mut y = Guarded::nan(len * n);
                gather_u8(isa, channels, pixels, n, scaling, sample, y.slice());
                assert_eq!(y.check(), from_u8, "u8 {what}");
                gather_float(isa, channels, pixels, n, scaling, sample32, y.slice());
                assert_eq!(y.check(), from_f32, "f32 {what}");
                gather_float(isa, channels, pixels, n, scaling, sample64, y.slice());
                assert_eq!(y.check(), from_f64, "f64 {what}");
            });
        }
    }
}

#[test]
fn gather_into_f32() {
    check_gather::<f32>();
}

#[test]
fn gather_into_f64() {
    check_gather::<f64>();
}

#[test]
#[should_panic(expected = "gather: sample 1 has 3 values, but 2 channels of 2 pixels need 4")]
fn short_sample() {
    let samples = [[1u8, 2, 3, 4].as_slice(), &[1, 2, 3]];
    let scaling = Scaling { scale: &[1.0f32; 2], shift: &[0.0; 2] };
    gather_u8(Isa::best(), Channels::First, 2, 2, scaling, |i| samples[i], &mut [0.0; 8]);
}

#[test]
#[should_panic(
    expected = "nchw_to_chwn: x has 8 and y 7 elements, but 2 channels of 2 pixels and 2 samples need 8"
)]
fn wrong_length() {
    nchw_to_chwn(Isa::best(), 2, 2, 2, &[0.0f32; 8], &mut [0.0; 7]);
}
