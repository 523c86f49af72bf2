//! Element-wise arithmetic on slices of equal length.
//!
//! The module also has the loop that all element-wise kernels of the crate share: the functions here,
//! activations and optimizers. Such a kernel computes new values of its outputs from the old values of its
//! outputs and from its inputs. It is a `Lanewise` operation on vectors; the loop applies it to whole
//! vectors and to the partial vector behind them.

use crate::element::Element;
use crate::isa::Isa;
use crate::simd::{Kernel, Level};
use crate::{Accum, Activation, Finish};

/// An update of `OUT` slices `y`, lane by lane, from their old values and from `IN` further slices `x`.
///
/// An update that ignores the old `y` overwrites `y`. The compiler leaves out the loads of the old values
/// then.
pub(crate) trait Lanewise<T: Element, const OUT: usize, const IN: usize>: Copy {
    fn apply<S: Level>(self, s: S, y: [T::V<S>; OUT], x: [T::V<S>; IN]) -> [T::V<S>; OUT];
}

/// Declares a [`Lanewise`] update without parameters:
/// `lanewise!(Name<OUT, IN>, s, [y..], [x..] => [new y..])`.
macro_rules! lanewise {
    ($name:ident<$out:literal, $in:literal>, $s:pat, [$($y:pat),*], [$($x:pat),*] => $result:expr) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl<T: Element> Lanewise<T, $out, $in> for $name {
            #[inline(always)]
            fn apply<S: Level>(
                self,
                $s: S,
                [$($y),*]: [T::V<S>; $out],
                [$($x),*]: [T::V<S>; $in],
            ) -> [T::V<S>; $out] {
                $result
            }
        }
    };
}
pub(crate) use lanewise;

/// Runs `op` over whole slices at level `isa`, after a check that all lengths are equal.
pub(crate) fn update<T: Element, const OUT: usize, const IN: usize>(
    isa: Isa,
    what: &str,
    op: impl Lanewise<T, OUT, IN>,
    y: [&mut [T]; OUT],
    x: [&[T]; IN],
) {
    let len = y[0].len();
    for (j, y) in y.iter().enumerate() {
        assert_eq!(y.len(), len, "{what}: output {j} has {} elements, but output 0 has {len}", y.len());
    }
    for (j, x) in x.iter().enumerate() {
        assert_eq!(x.len(), len, "{what}: input {j} has {} elements, but the output has {len}", x.len());
    }
    isa.run(Update { op, y, x });
}

/// [`update`] of one slice, whose new values go through `activation`.
pub(crate) fn update_activated<T: Element, const IN: usize>(
    isa: Isa,
    what: &str,
    op: impl Lanewise<T, 1, IN>,
    activation: Activation,
    y: &mut [T],
    x: [&[T]; IN],
) {
    match activation {
        Activation::Identity => update(isa, what, op, [y], x),
        Activation::Relu => update(isa, what, Rectified(op), [y], x),
        Activation::Relu6 => update(isa, what, RectifiedToSix(op), [y], x),
    }
}

/// The update `max(op, 0)`; NaN stays NaN.
#[derive(Clone, Copy)]
struct Rectified<F>(F);

impl<T: Element, F: Lanewise<T, 1, IN>, const IN: usize> Lanewise<T, 1, IN> for Rectified<F> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, y: [T::V<S>; 1], x: [T::V<S>; IN]) -> [T::V<S>; 1] {
        let [y] = self.0.apply(s, y, x);
        [T::relu(s, y)]
    }
}

/// The update `min(max(op, 0), 6)`; NaN stays NaN.
#[derive(Clone, Copy)]
struct RectifiedToSix<F>(F);

impl<T: Element, F: Lanewise<T, 1, IN>, const IN: usize> Lanewise<T, 1, IN> for RectifiedToSix<F> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, y: [T::V<S>; 1], x: [T::V<S>; IN]) -> [T::V<S>; 1] {
        let [y] = self.0.apply(s, y, x);
        [T::relu6(s, y)]
    }
}

/// [`update`] of one slice from another one by an update `op` that ignores old values, with what follows it.
pub(crate) fn update_finished<T: Element>(
    isa: Isa,
    what: &str,
    op: impl Lanewise<T, 1, 1>,
    finish: Finish<'_, T>,
    y: &mut [T],
    x: &[T],
) {
    let Finish { addend, activation } = finish;
    match addend {
        None => update_activated(isa, what, op, activation, y, [x]),
        Some(addend) => update_activated(isa, what, Plus(op), activation, y, [x, addend]),
    }
}

/// The update `op + a` with a further input `a`.
#[derive(Clone, Copy)]
struct Plus<F>(F);

impl<T: Element, F: Lanewise<T, 1, 0>> Lanewise<T, 1, 1> for Plus<F> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, y: [T::V<S>; 1], [a]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        let [new] = self.0.apply(s, y, []);
        [T::vadd(s, new, a)]
    }
}

impl<T: Element, F: Lanewise<T, 1, 1>> Lanewise<T, 1, 2> for Plus<F> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, y: [T::V<S>; 1], [x, a]: [T::V<S>; 2]) -> [T::V<S>; 1] {
        let [new] = self.0.apply(s, y, [x]);
        [T::vadd(s, new, a)]
    }
}

/// [`update`] of one slice by an update `op` that ignores old values: with [`Accum::Add`], the old values are
/// added to the new ones.
pub(crate) fn update_accumulated<T: Element, const IN: usize>(
    isa: Isa,
    what: &str,
    op: impl Lanewise<T, 1, IN>,
    accum: Accum,
    y: &mut [T],
    x: [&[T]; IN],
) {
    match accum {
        Accum::Replace => update(isa, what, op, [y], x),
        Accum::Add => update(isa, what, Added(op), [y], x),
    }
}

/// The update `y + op`.
#[derive(Clone, Copy)]
struct Added<F>(F);

impl<T: Element, F: Lanewise<T, 1, IN>, const IN: usize> Lanewise<T, 1, IN> for Added<F> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, y: [T::V<S>; 1], x: [T::V<S>; IN]) -> [T::V<S>; 1] {
        let [new] = self.0.apply(s, y, x);
        [T::vadd(s, y[0], new)]
    }
}

struct Update<'a, T, F, const OUT: usize, const IN: usize> {
    op: F,
    y: [&'a mut [T]; OUT],
    x: [&'a [T]; IN],
}

impl<T: Element, F: Lanewise<T, OUT, IN>, const OUT: usize, const IN: usize> Kernel
    for Update<'_, T, F, OUT, IN>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        update_lanes(s, self.op, self.y, self.x);
    }
}

/// Runs `op` over whole slices of equal length, inside a kernel.
#[inline(always)]
pub(crate) fn update_lanes<T: Element, S: Level, const OUT: usize, const IN: usize>(
    s: S,
    op: impl Lanewise<T, OUT, IN>,
    y: [&mut [T]; OUT],
    x: [&[T]; IN],
) {
    let mut y = y.map(T::split_mut::<S>);
    let mut x = x.map(T::split::<S>);
    let vectors = y[0].0.len();
    // The compiler sees here that all slices have one length, and leaves out the bounds checks in the loop.
    for (whole, _) in &mut y {
        *whole = &mut std::mem::take(whole)[..vectors];
    }
    for (whole, _) in &mut x {
        *whole = &whole[..vectors];
    }
    for i in 0..vectors {
        let (mut old, mut inputs) = ([T::zero(s); OUT], [T::zero(s); IN]);
        for (old, (whole, _)) in old.iter_mut().zip(&y) {
            *old = whole[i];
        }
        for (input, (whole, _)) in inputs.iter_mut().zip(&x) {
            *input = whole[i];
        }
        let new = op.apply(s, old, inputs);
        for (new, (whole, _)) in new.into_iter().zip(&mut y) {
            whole[i] = new;
        }
    }
    if y[0].1.is_empty() {
        return;
    }
    let (mut old, mut inputs) = ([T::zero(s); OUT], [T::zero(s); IN]);
    for (old, (_, rest)) in old.iter_mut().zip(&y) {
        *old = T::load_partial(s, rest);
    }
    for (input, (_, rest)) in inputs.iter_mut().zip(&x) {
        *input = T::load_partial(s, rest);
    }
    let new = op.apply(s, old, inputs);
    for (new, (_, rest)) in new.into_iter().zip(&mut y) {
        T::store_partial(s, rest, new);
    }
}

lanewise!(Add<1, 2>, s, [_], [a, b] => [T::vadd(s, a, b)]);
lanewise!(AddAssign<1, 1>, s, [y], [x] => [T::vadd(s, y, x)]);
lanewise!(Mul<1, 2>, s, [_], [a, b] => [T::vmul(s, a, b)]);
lanewise!(MulAssign<1, 1>, s, [y], [x] => [T::vmul(s, y, x)]);

/// `y[i] = activation(a[i] + b[i])`; overwrites `y`.
///
/// # Panics
/// When the lengths differ.
pub fn add<T: Element>(isa: Isa, a: &[T], b: &[T], activation: Activation, y: &mut [T]) {
    update_activated(isa, "add", Add, activation, y, [a, b]);
}

/// `y[i] = activation(y[i] + x[i])`.
///
/// # Panics
/// When the lengths differ.
pub fn add_assign<T: Element>(isa: Isa, x: &[T], activation: Activation, y: &mut [T]) {
    update_activated(isa, "add_assign", AddAssign, activation, y, [x]);
}

/// `y[i] = a[i] * b[i]`; overwrites `y`.
///
/// # Panics
/// When the lengths differ.
pub fn mul<T: Element>(isa: Isa, a: &[T], b: &[T], y: &mut [T]) {
    update(isa, "mul", Mul, [y], [a, b]);
}

/// `y[i] *= x[i]`.
///
/// # Panics
/// When the lengths differ.
pub fn mul_assign<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "mul_assign", MulAssign, [y], [x]);
}

lanewise!(Exp<1, 1>, s, [_], [x] => [T::exp(s, x)]);

/// `y[i] = e^x[i]`; overwrites `y`.
///
/// In f32, the result is within 2 ULP where it is normal, 0 where it would be subnormal (below -87.33), and
/// infinite above 88.72. In f64, it is within 1 ULP. NaN stays NaN.
///
/// # Panics
/// When the lengths differ.
pub fn exp<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    update(isa, "exp", Exp, [y], [x]);
}

#[derive(Clone, Copy)]
struct Scale<T>(T);

impl<T: Element> Lanewise<T, 1, 0> for Scale<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [y]: [T::V<S>; 1], _: [T::V<S>; 0]) -> [T::V<S>; 1] {
        [T::vmul(s, T::splat(s, self.0), y)]
    }
}

/// `y[i] *= alpha`.
pub fn scale<T: Element>(isa: Isa, alpha: T, y: &mut [T]) {
    update(isa, "scale", Scale(alpha), [y], []);
}

#[derive(Clone, Copy)]
struct Axpy<T>(T);

impl<T: Element> Lanewise<T, 1, 1> for Axpy<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [y]: [T::V<S>; 1], [x]: [T::V<S>; 1]) -> [T::V<S>; 1] {
        [T::mul_add(s, T::splat(s, self.0), x, y)]
    }
}

/// `y[i] += alpha * x[i]`, with one rounding where the level has a fused multiply-add, and two at
/// [`Isa::portable`].
///
/// # Panics
/// When the lengths differ.
pub fn axpy<T: Element>(isa: Isa, alpha: T, x: &[T], y: &mut [T]) {
    update(isa, "axpy", Axpy(alpha), [y], [x]);
}

#[derive(Clone, Copy)]
struct AddScalar<T>(T);

impl<T: Element> Lanewise<T, 1, 0> for AddScalar<T> {
    #[inline(always)]
    fn apply<S: Level>(self, s: S, [y]: [T::V<S>; 1], _: [T::V<S>; 0]) -> [T::V<S>; 1] {
        [T::vadd(s, y, T::splat(s, self.0))]
    }
}

/// `y = activation(y + value + addend)`, in one pass over memory.
pub(crate) fn add_scalar<T: Element>(isa: Isa, value: T, finish: Finish<'_, T>, y: &mut [T]) {
    let Finish { addend, activation } = finish;
    match addend {
        None => update_activated(isa, "add_scalar", AddScalar(value), activation, y, []),
        Some(addend) => update_activated(isa, "add_scalar", Plus(AddScalar(value)), activation, y, [addend]),
    }
}

struct AddBias<'a, T> {
    n: usize,
    bias: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for AddBias<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Level>(self, s: S) {
        for (row, bias) in self.y.chunks_exact_mut(self.n).zip(self.bias) {
            update_lanes(s, AddScalar(*bias), [row], []);
        }
    }
}

/// `y[r, :] += bias[r]` for a `[rows, n]` matrix `y`: there is one bias for each output feature or channel.
///
/// # Panics
/// When `bias` does not have `rows` elements or `y` does not have `rows * n`.
pub fn add_bias<T: Element>(isa: Isa, rows: usize, n: usize, bias: &[T], y: &mut [T]) {
    assert_eq!(bias.len(), rows, "add_bias: bias has {} elements for {rows} rows", bias.len());
    assert_eq!(
        y.len(),
        rows.saturating_mul(n),
        "add_bias: y has {} elements for {rows} rows of {n}",
        y.len()
    );
    if n > 0 {
        isa.run(AddBias { n, bias, y });
    }
}
