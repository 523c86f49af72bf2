//! A convolution with its inputs and its expected results, from which the tests of convolutions take theirs.

use super::{Guarded, assert_close, data, each_isa, widen, winograd};
use isograd_kernels::conv::{Conv2d, Conv2dShape, Path, Paths, Precision, Weights};
use isograd_kernels::reference::activation::apply;
use isograd_kernels::reference::conv as reference;
use isograd_kernels::{Accum, Activation, Element, Isa, Pass};

/// Inputs, expected results, and the same sums over absolute values, from which the bounds follow.
#[derive(Clone)]
pub struct Case {
    pub shape: Conv2dShape,
    pub n: usize,
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub bias: Vec<f64>,
    pub dy: Vec<f64>,
    pub y: Sums,
    pub y_without_bias: Sums,
    pub dx: Sums,
    pub dw: Sums,
    pub db: Sums,
}

#[derive(Clone)]
pub struct Sums {
    pub value: Vec<f64>,
    pub magnitude: Vec<f64>,
    /// The number of terms in the longest sum.
    pub terms: usize,
    /// The largest relative error of a term before the sum.
    pub rounding: f64,
}

impl Sums {
    fn new<const K: usize>(
        terms: usize,
        inputs: [&[f64]; K],
        sums: impl Fn([&[f64]; K]) -> Vec<f64>,
    ) -> Self {
        let absolute = inputs.map(|x| x.iter().map(|x| x.abs()).collect::<Vec<_>>());
        Self {
            value: sums(inputs),
            magnitude: sums(absolute.each_ref().map(Vec::as_slice)),
            terms,
            rounding: 0.0,
        }
    }

    /// Any order of a sum of k products errs by at most `(k + 1) * EPSILON / 2 * sum of |a b|`; so does the
    /// reference in f64.
    fn bound<T: Element>(&self) -> impl Fn(usize) -> f64 {
        |i| ((self.terms + 4) as f64 * T::EPSILON.to_f64() + self.rounding) * self.magnitude[i]
    }

    fn assert_close<T: Element>(&self, what: &str, result: &[T]) {
        assert_close(what, result, &self.value, self.bound::<T>());
    }

    /// `result = start + value`.
    fn assert_added<T: Element>(&self, what: &str, start: &[T], result: &[T]) {
        let expected: Vec<f64> = self.value.iter().zip(start).map(|(v, s)| v + s.to_f64()).collect();
        let bound = self.bound::<T>();
        assert_close(what, result, &expected, |i| {
            bound(i) + 2.0 * T::EPSILON.to_f64() * start[i].to_f64().abs()
        });
    }
}

/// Two factors in bfloat16, each with a relative error of at most `2^-8`.
const BF16_ROUNDING: f64 = 0.0079;

/// The roundings of a Winograd pass beside those of its sums.
const TRANSFORMS: usize = 26;

impl Case {
    pub fn new(shape: Conv2dShape, n: usize) -> Self {
        let conv = Conv2d::new(shape).unwrap();
        let x = widen(&data::<f32>(conv.input_len(n), 1));
        let w = widen(&data::<f32>(conv.weight_len(), 2));
        let bias = widen(&data::<f32>(shape.f, 3));
        let dy = widen(&data::<f32>(conv.output_len(n), 4));
        let (kernel, plane) = (shape.kh * shape.kw, conv.oh() * conv.ow() * n);
        let no_bias = vec![0.0; shape.f];
        Self {
            y: Sums::new(shape.c / shape.groups * kernel + 1, [&x, &w, &bias], |[x, w, b]| {
                reference::forward(&shape, n, x, w, b)
            }),
            y_without_bias: Sums::new(shape.c / shape.groups * kernel, [&x, &w, &no_bias], |[x, w, b]| {
                reference::forward(&shape, n, x, w, b)
            }),
            dx: Sums::new(shape.f / shape.groups * kernel, [&dy, &w], |[dy, w]| {
                reference::input_gradient(&shape, n, dy, w)
            }),
            dw: Sums::new(plane, [&x, &dy], |[x, dy]| reference::weight_gradient(&shape, n, x, dy)),
            db: Sums::new(plane, [&dy], |[dy]| reference::bias_gradient(&shape, dy)),
            shape,
            n,
            x,
            w,
            bias,
            dy,
        }
    }

    /// Checks all passes on both paths, at every level and in both element types.
    pub fn check(&self) {
        each_isa(|isa| {
            for path in [Path::Direct, Path::Im2col] {
                self.check_passes::<f32>(isa, Paths::all(path));
                self.check_passes::<f64>(isa, Paths::all(path));
            }
            self.in_bf16().check_passes::<f32>(isa, bf16(Path::Im2col));
        });
        for (path, m) in [(Path::WinogradF2, 2), (Path::WinogradF4, 4)] {
            if self.shape.allows_winograd() {
                self.check_winograd(path, m);
            }
        }
    }

    /// Checks all passes on a Winograd path with tiles of `m`, at every level and in both element types.
    pub fn check_winograd(&self, path: Path, m: usize) {
        let case = self.with_winograd_bounds(m);
        each_isa(|isa| {
            case.check_passes::<f32>(isa, Paths::all(path));
            case.check_passes::<f64>(isa, Paths::all(path));
            case.in_bf16().check_passes::<f32>(isa, bf16(path));
        });
    }

    /// The same case with the bounds of products in bfloat16.
    fn in_bf16(&self) -> Self {
        let mut case = self.clone();
        for sums in [&mut case.y, &mut case.y_without_bias, &mut case.dx, &mut case.dw] {
            sums.rounding = BF16_ROUNDING;
        }
        case
    }

    /// The same case with the magnitudes from which the bounds of Winograd passes follow.
    fn with_winograd_bounds(&self, m: usize) -> Self {
        let mut case = self.clone();
        let Self { shape, n, x, w, bias, dy, .. } = self;
        let conv = Conv2d::new(*shape).unwrap();
        let out = [conv.oh(), conv.ow()];
        let forward = winograd::forward(m, shape, out, *n, x, w);
        let plane = out[0] * out[1] * n;
        let with_bias = |(i, y): (usize, &f64)| y + bias[i / plane.max(1)].abs();
        case.y.magnitude = forward.iter().enumerate().map(with_bias).collect();
        case.y_without_bias.magnitude = forward;
        case.dx.magnitude = winograd::input_gradient(m, shape, out, *n, dy, w);
        case.dw.magnitude = winograd::weight_gradient(m, shape, out, *n, x, dy);
        case.y.terms = shape.c + TRANSFORMS;
        case.y_without_bias.terms = shape.c + TRANSFORMS;
        case.dx.terms = shape.f + TRANSFORMS;
        case.dw.terms = n * winograd::tile_count(m, out) + TRANSFORMS;
        case
    }

    fn check_passes<T: Element>(&self, isa: Isa, paths: Paths) {
        let path = paths.forward;
        let what = |pass: &str| {
            let (precision, name) = (paths.precision, T::NAME);
            format!("{pass}, {path:?}, {precision:?}, {isa}, {name}, n = {}, {:?}", self.n, self.shape)
        };
        let conv = Conv2d::with_paths(self.shape, paths).unwrap();
        let n = self.n;
        let (x, w, bias, dy) = (narrow::<T>(&self.x), narrow(&self.w), narrow(&self.bias), narrow(&self.dy));
        let [forward_w, backward_w] = prepared(&conv, isa, &w);
        let forward_w = Weights { plain: &w, prepared: &forward_w };
        let backward_w = Weights { plain: &w, prepared: &backward_w };
        // Scratch memory may contain anything.
        let mut scratch = Guarded::<T>::nan(conv.scratch_len(n));

        // Pixels that no kernel element reads may contain anything.
        let x_unread = self.with_nan_where_unread(&x);
        let mut y = Guarded::nan(self.dy.len());
        conv.forward(
            Pass { isa, n, scratch: scratch.slice() },
            &x_unread,
            forward_w,
            None,
            Activation::Identity,
            y.slice(),
        );
        self.y_without_bias.assert_close(&what("forward"), y.check());

        for activation in [Activation::Relu, Activation::Relu6] {
            let mut y = Guarded::nan(self.dy.len());
            let pass = Pass { isa, n, scratch: scratch.slice() };
            conv.forward(pass, &x, forward_w, Some(&bias), activation, y.slice());
            let expected: Vec<f64> = self.y.value.iter().map(|y| apply(activation, *y)).collect();
            let what = what(&format!("forward with bias and {activation:?}"));
            assert_close(&what, y.check(), &expected, self.y.bound::<T>());
        }

        let mut dx = Guarded::nan(self.x.len());
        conv.input_gradient(
            Pass { isa, n, scratch: scratch.slice() },
            &dy,
            backward_w,
            None,
            Accum::Replace,
            dx.slice(),
        );
        self.dx.assert_close(&what("input gradient"), dx.check());

        let mut sum = Guarded::new(&x);
        conv.input_gradient(
            Pass { isa, n, scratch: scratch.slice() },
            &dy,
            backward_w,
            None,
            Accum::Add,
            sum.slice(),
        );
        self.dx.assert_added(&what("input gradient, added"), &x, sum.check());
        if path.is_winograd() || path == Path::Direct && self.adds_at_the_end() {
            let expected: Vec<T> = x.iter().zip(dx.check()).map(|(x, dx)| *x + *dx).collect();
            assert_eq!(sum.check(), expected, "{}", what("input gradient, added at the end"));
        }

        let relu_output: Vec<T> = x.iter().map(|x| if x.to_f64() < 0.0 { T::ZERO } else { *x }).collect();
        for (accum, before, unmasked) in [
            (Accum::Replace, &vec![T::from_f64(f64::NAN); x.len()], dx.check()),
            (Accum::Add, &x, sum.check()),
        ] {
            let mut masked = Guarded::new(before);
            conv.input_gradient(
                Pass { isa, n, scratch: scratch.slice() },
                &dy,
                backward_w,
                Some(&relu_output),
                accum,
                masked.slice(),
            );
            for (i, (masked, dx)) in masked.check().iter().zip(unmasked).enumerate() {
                let expected = if relu_output[i] == T::ZERO { T::ZERO } else { *dx };
                assert!(
                    *masked == expected,
                    "{}, {accum:?}: element {i} is {masked}, not {expected}",
                    what("ReLU gradient")
                );
            }
        }

        let mut dw = Guarded::nan(self.w.len());
        conv.weight_gradient(Pass { isa, n, scratch: scratch.slice() }, &x, &dy, Accum::Replace, dw.slice());
        self.dw.assert_close(&what("weight gradient"), dw.check());

        let mut dw = Guarded::new(&w);
        conv.weight_gradient(Pass { isa, n, scratch: scratch.slice() }, &x, &dy, Accum::Add, dw.slice());
        self.dw.assert_added(&what("weight gradient, added"), &w, dw.check());

        let mut db = Guarded::new(&bias);
        conv.bias_gradient(isa, n, &dy, Accum::Add, db.slice());
        self.db.assert_added(&what("bias gradient, added"), &bias, db.check());
        conv.bias_gradient(isa, n, &dy, Accum::Replace, db.slice());
        self.db.assert_close(&what("bias gradient"), db.check());
        scratch.check();
    }

    /// Whether a direct input gradient adds one whole sum to each old value. A depthwise one does not if it
    /// has several windows or several filters for each channel.
    fn adds_at_the_end(&self) -> bool {
        let Conv2dShape { c, f, kh, kw, groups, .. } = self.shape;
        groups == 1 || groups < c || f == c && kh.max(kw) <= 3
    }

    fn with_nan_where_unread<T: Element>(&self, x: &[T]) -> Vec<T> {
        let ones = vec![1.0; self.dy.len().max(self.w.len())];
        let reads = reference::input_gradient(&self.shape, self.n, &ones, &ones);
        let nan = T::from_f64(f64::NAN);
        x.iter().zip(&reads).map(|(x, reads)| if *reads == 0.0 { nan } else { *x }).collect()
    }
}

/// The weights as the forward pass and the input gradient need them prepared, in two parts where there are so
/// many channels.
pub fn prepared<T: Element>(conv: &Conv2d, isa: Isa, w: &[T]) -> [Vec<T>; 2] {
    let Conv2dShape { c, f, .. } = *conv.shape();
    let mut forward = Guarded::nan(conv.forward_prepared_len());
    let (filters, all) = (Conv2d::PREPARED_CHANNELS.min(f), forward.slice().len());
    let (first, second) = forward.slice().split_at_mut(all / f * filters);
    conv.prepare_forward(isa, 0..filters, w, first);
    conv.prepare_forward(isa, filters..f, w, second);
    let mut backward = Guarded::nan(conv.input_gradient_prepared_len());
    let (channels, all) = (Conv2d::PREPARED_CHANNELS.min(c), backward.slice().len());
    let (first, second) = backward.slice().split_at_mut(all / c * channels);
    conv.prepare_input_gradient(isa, 0..channels, w, first);
    conv.prepare_input_gradient(isa, channels..c, w, second);
    [forward.check().to_vec(), backward.check().to_vec()]
}

/// The same values in `T`.
pub fn narrow<T: Element>(x: &[f64]) -> Vec<T> {
    x.iter().map(|x| T::from_f64(*x)).collect()
}

/// A shape whose image is `image`, enlarged where the kernel would not fit.
pub fn fitting(
    [c, f]: [usize; 2],
    image: [usize; 2],
    [kh, kw]: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
) -> Conv2dShape {
    let least = |k: usize, d: usize, p: usize| (d * (k - 1) + 1).saturating_sub(2 * p).max(1);
    let h = image[0].max(least(kh, dilation[0], padding[0]));
    let w = image[1].max(least(kw, dilation[1], padding[1]));
    Conv2dShape {
        c,
        h,
        w,
        f,
        kh,
        kw,
        stride: stride.into(),
        padding: padding.into(),
        dilation: dilation.into(),
        groups: 1,
    }
}

/// `path` for all passes, in bfloat16.
pub fn bf16(path: Path) -> Paths {
    let precision = Precision::Bfloat16;
    Paths { precision, weight_gradient_precision: precision, ..Paths::all(path) }
}
