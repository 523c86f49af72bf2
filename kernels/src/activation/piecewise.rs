//! Activation functions that consist of a few straight lines, and hard-swish, which has a parabola.

use crate::element::Element;
use crate::elementwise::{Lanewise, lanewise, update};
use crate::isa::Isa;
use crate::simd::Level;

#[derive(Clone, Copy)]
struct LeakyRelu<T>(T);

impl<T: Element> Lanewise<T, 1, 1> for LeakyRelu<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        let scaled = T::vmul(s, T::splat(s, self.0), x);
        [T::select(s, T::less_than(s, T::zero(s), x), x, scaled)]
    }
}

#[derive(Clone, Copy)]
struct LeakyReluBackward<T>(T);

impl<T: Element> Lanewise<T, 1, 2> for LeakyReluBackward<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, _: [T::V<S>; 1], [y, dy]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        let scaled = T::vmul(s, T::splat(s, self.0), dy);
        [T::select(s, T::less_or_equal(s, y, T::zero(s)), scaled, dy)]
    }
}

/// The leaky rectified linear unit: `y[i] = x[i]` where `x[i] > 0`, else `slope * x[i]`; overwrites `y`.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Maas, Hannun, Ng: "Rectifier nonlinearities improve neural network acoustic models", ICML 2013.
pub fn leaky_relu<T: Element>(isa: Isa, slope: T, x: &[T], y: &mut [T]) {
    update(isa, "leaky_relu", LeakyRelu(slope), [y], [x]);
}

/// The gradient of [`leaky_relu`]: `dx[i] = dy[i]` where `y[i] > 0`, else `slope * dy[i]`; overwrites `dx`.
///
/// `y` may be the output of the forward pass if the slope is not negative, and its input for any slope. Where
/// `y` is NaN, `dx` is `dy`.
///
/// # Panics
/// When the lengths differ.
pub fn leaky_relu_backward<T: Element>(isa: Isa, slope: T, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "leaky_relu_backward", LeakyReluBackward(slope), [dx], [y, dy]);
}

/// `inside` where `low < x < high`, else 0; `inside` where `x` is NaN.
#[inline(always)]
pub(crate) fn between<T: Element, S: Level>(
    s: S,
    x: T::V<S>,
    [low, high]: [f64; 2],
    inside: T::V<S>,
) -> T::V<S> {
    let (zero, low, high) = (T::zero(s), T::splat(s, T::from_f64(low)), T::splat(s, T::from_f64(high)));
    let below_high = T::select(s, T::less_or_equal(s, high, x), zero, inside);
    T::select(s, T::less_or_equal(s, x, low), zero, below_high)
}

lanewise!(Relu6<1, 1>, s, [_], [x] => [T::relu6(s, x)]);
lanewise!(Relu6Backward<1, 2>, s, [_], [y, dy] => [between::<T, S>(s, y, [0.0, 6.0], dy)]);

/// The rectified linear unit with a ceiling: `y[i] = min(max(x[i], 0), 6)`; overwrites `y`. Exact.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Howard et al.: "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017.
pub fn relu6<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "relu6", Relu6, [y], [x]);
}

/// The gradient of [`relu6`]: `dx[i] = dy[i]` where `0 < y[i] < 6`, else 0; overwrites `dx`.
///
/// `y` may be the output or the input of the forward pass. Where `y` is NaN, `dx` is `dy`.
///
/// # Panics
/// When the lengths differ.
pub fn relu6_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "relu6_backward", Relu6Backward, [dx], [y, dy]);
}

/// `min(max(x + 3, 0), 6) / 6`. The product of 6 and the rounded 1/6 is exactly 1 in both types.
#[inline(always)]
fn hard_gate<T: Element, S: Level>(s: S, x: T::V<S>) -> T::V<S> {
    let shifted = T::vadd(s, x, T::splat(s, T::from_f64(3.0)));
    T::vmul(s, T::relu6(s, shifted), T::splat(s, T::from_f64(1.0 / 6.0)))
}

lanewise!(HardSigmoid<1, 1>, s, [_], [x] => [hard_gate::<T, S>(s, x)]);
lanewise!(HardSigmoidBackward<1, 2>, s, [_], [y, dy] => {
    let slope = T::splat(s, T::from_f64(1.0 / 6.0));
    [between::<T, S>(s, y, [0.0, 1.0], T::vmul(s, dy, slope))]
});

/// The logistic function in three straight lines: `y[i] = min(max(x[i] + 3, 0), 6) / 6`; overwrites `y`.
///
/// The result is within 2 ULP.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Howard et al.: "Searching for MobileNetV3", ICCV 2019. The same slope as PyTorch's.
pub fn hard_sigmoid<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "hard_sigmoid", HardSigmoid, [y], [x]);
}

/// The gradient of [`hard_sigmoid`] from its output: `dx[i] = dy[i] / 6` where `0 < y[i] < 1`, else 0;
/// overwrites `dx`. Where `y` is NaN, `dx` is `dy / 6`.
///
/// # Panics
/// When the lengths differ.
pub fn hard_sigmoid_backward<T: Element>(isa: Isa, y: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "hard_sigmoid_backward", HardSigmoidBackward, [dx], [y, dy]);
}

lanewise!(HardSwish<1, 1>, s, [_], [x] => {
    let y = T::vmul(s, x, hard_gate::<T, S>(s, x));
    // The product is NaN for minus infinity.
    [T::select(s, T::less_or_equal(s, x, T::splat(s, T::from_f64(-3.0))), T::zero(s), y)]
});
lanewise!(HardSwishBackward<1, 2>, s, [_], [x, dy] => {
    let three = T::splat(s, T::from_f64(3.0));
    let slope = T::mul_add(s, x, T::splat(s, T::from_f64(1.0 / 3.0)), T::splat(s, T::from_f64(0.5)));
    let inside = T::select(s, T::less_or_equal(s, three, x), dy, T::vmul(s, dy, slope));
    [T::select(s, T::less_or_equal(s, x, T::vneg(s, three)), T::zero(s), inside)]
});

/// The input times its [`hard_sigmoid`]: `y[i] = x[i] * min(max(x[i] + 3, 0), 6) / 6`; overwrites `y`.
///
/// The result is within 3 ULP. It is 0 for minus infinity.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// Howard et al.: "Searching for MobileNetV3", ICCV 2019.
pub fn hard_swish<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "hard_swish", HardSwish, [y], [x]);
}

/// The gradient of [`hard_swish`] from its *input*: `dx[i]` is 0 where `x[i] <= -3`, `dy[i]` where
/// `x[i] >= 3`, and `dy[i] * (x[i] / 3 + 1/2)` between; overwrites `dx`.
///
/// # Panics
/// When the lengths differ.
pub fn hard_swish_backward<T: Element>(isa: Isa, x: &[T], dy: &[T], dx: &mut [T]) {
    update(isa, "hard_swish_backward", HardSwishBackward, [dx], [x, dy]);
}
