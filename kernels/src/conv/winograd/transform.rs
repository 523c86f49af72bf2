//! The transforms of Winograd's algorithm along one axis, on vectors.
//!
//! With the points `0, ±p, ±q` and infinity (`0, ±1` and infinity in F(2, 3)), the matrices are
//!
//! ```text
//! F(4, 3)  B^T = |p²q²   0    -(p²+q²)  0        1  0|   G = |1/(p²q²)              |
//!                |0    -pq²   -q²       p        1  0|       |1/a    p/a    p²/a    |
//!                |0     pq²   -q²      -p        1  0|       |1/a   -p/a    p²/a    |
//!                |0    -p²q   -p²       q        1  0|       |1/b    q/b    q²/b    |
//!                |0     p²q   -p²      -q        1  0|       |1/b   -q/b    q²/b    |
//!                |0     p²q²  0        -(p²+q²)  0  1|       |0      0      1       |
//!
//!          A^T = |1 1  1   1  1   0|
//!                |0 p  -p  q  -q  0|
//!                |0 p² p²  q² q²  0|
//!                |0 p³ -p³ q³ -q³ 1|
//!
//!          a = 2p²(p² - q²),  b = 2q²(q² - p²)
//! ```
//!
//! The points are `p = 5/8` and `q = 5/4`, with which the errors are half of those with the usual 1 and 2.
//! All entries of `A` and `B` are exact in f32. The functions share the parts that two rows have in common;
//! no two terms of one entry cancel, so the bound on errors in the [module above](super) is that of the
//! matrices.

use crate::element::Element;
use crate::simd::Level;

/// The finite points of F(4, 3) that are not zero.
pub(super) const P: f64 = 0.625;
pub(super) const Q: f64 = 1.25;

/// `a * factor + c`.
#[inline(always)]
fn scaled<T: Element, S: Level>(s: S, a: T::V<S>, factor: f64, c: T::V<S>) -> T::V<S> {
    T::mul_add(s, a, T::splat(s, T::from_f64(factor)), c)
}

/// `a * factor`.
#[inline(always)]
fn times<T: Element, S: Level>(s: S, a: T::V<S>, factor: f64) -> T::V<S> {
    T::vmul(s, a, T::splat(s, T::from_f64(factor)))
}

/// `B^T d`, of `A` values: 4 for tiles of 2, 6 for tiles of 4.
#[inline(always)]
pub(super) fn input<T: Element, S: Level, const A: usize>(s: S, d: [T::V<S>; A]) -> [T::V<S>; A] {
    let mut r = d;
    if A == 4 {
        r[0] = T::vsub(s, d[0], d[2]);
        r[1] = T::vadd(s, d[1], d[2]);
        r[2] = T::vsub(s, d[2], d[1]);
        r[3] = T::vsub(s, d[1], d[3]);
    } else {
        let (pp, qq) = (P * P, Q * Q);
        let even_q = scaled::<T, S>(s, d[2], -qq, d[4]);
        let odd_q = scaled::<T, S>(s, d[1], -qq, d[3]);
        let even_p = scaled::<T, S>(s, d[2], -pp, d[4]);
        let odd_p = scaled::<T, S>(s, d[1], -pp, d[3]);
        r[0] = scaled::<T, S>(s, d[0], pp * qq, scaled::<T, S>(s, d[2], -(pp + qq), d[4]));
        r[1] = scaled::<T, S>(s, odd_q, P, even_q);
        r[2] = scaled::<T, S>(s, odd_q, -P, even_q);
        r[3] = scaled::<T, S>(s, odd_p, Q, even_p);
        r[4] = scaled::<T, S>(s, odd_p, -Q, even_p);
        r[5] = scaled::<T, S>(s, d[1], pp * qq, scaled::<T, S>(s, d[3], -(pp + qq), d[5]));
    }
    r
}

/// `A^T m`: the `M` outputs of `A` products.
#[inline(always)]
pub(super) fn output<T: Element, S: Level, const A: usize, const M: usize>(
    s: S,
    m: [T::V<S>; A],
) -> [T::V<S>; M] {
    let mut y = [T::zero(s); M];
    if M == 2 {
        y[0] = T::vadd(s, m[0], T::vadd(s, m[1], m[2]));
        y[1] = T::vsub(s, T::vsub(s, m[1], m[2]), m[3]);
    } else {
        let (pp, qq) = (P * P, Q * Q);
        let [sum_p, differ_p] = [T::vadd(s, m[1], m[2]), T::vsub(s, m[1], m[2])];
        let [sum_q, differ_q] = [T::vadd(s, m[3], m[4]), T::vsub(s, m[3], m[4])];
        y[0] = T::vadd(s, m[0], T::vadd(s, sum_p, sum_q));
        y[1] = scaled::<T, S>(s, differ_q, Q, times::<T, S>(s, differ_p, P));
        y[2] = scaled::<T, S>(s, sum_q, qq, times::<T, S>(s, sum_p, pp));
        y[3] = scaled::<T, S>(s, differ_q, Q * qq, scaled::<T, S>(s, differ_p, P * pp, m[5]));
    }
    y
}

/// `A dy`, of the gradients `dy` of `M` outputs.
#[inline(always)]
pub(super) fn output_gradient<T: Element, S: Level, const A: usize, const M: usize>(
    s: S,
    dy: [T::V<S>; M],
) -> [T::V<S>; A] {
    let mut r = [dy[0]; A];
    if M == 2 {
        r[1] = T::vadd(s, dy[0], dy[1]);
        r[2] = T::vsub(s, dy[0], dy[1]);
        r[3] = T::vneg(s, dy[1]);
    } else {
        let (pp, qq) = (P * P, Q * Q);
        let even_p = scaled::<T, S>(s, dy[2], pp, dy[0]);
        let odd_p = scaled::<T, S>(s, dy[3], pp, dy[1]);
        let even_q = scaled::<T, S>(s, dy[2], qq, dy[0]);
        let odd_q = scaled::<T, S>(s, dy[3], qq, dy[1]);
        r[1] = scaled::<T, S>(s, odd_p, P, even_p);
        r[2] = scaled::<T, S>(s, odd_p, -P, even_p);
        r[3] = scaled::<T, S>(s, odd_q, Q, even_q);
        r[4] = scaled::<T, S>(s, odd_q, -Q, even_q);
        r[5] = dy[3];
    }
    r
}

/// The entries of `G` for the points `±p` and `±q`, and for zero: of each pair, the factors of the first, the
/// second and the third weight.
#[inline(always)]
fn weight_factors() -> ([f64; 3], [f64; 3], f64) {
    let (pp, qq) = (P * P, Q * Q);
    let (a, b) = (2.0 * pp * (pp - qq), 2.0 * qq * (qq - pp));
    ([1.0 / a, P / a, pp / a], [1.0 / b, Q / b, qq / b], 1.0 / (pp * qq))
}

/// `G w`, of three weights: `A` values.
#[inline(always)]
pub(super) fn weights<T: Element, S: Level, const A: usize>(s: S, w: [T::V<S>; 3]) -> [T::V<S>; A] {
    let mut r = [w[0]; A];
    if A == 4 {
        let half = times::<T, S>(s, T::vadd(s, w[0], w[2]), 0.5);
        r[1] = scaled::<T, S>(s, w[1], 0.5, half);
        r[2] = scaled::<T, S>(s, w[1], -0.5, half);
        r[3] = w[2];
    } else {
        let (p, q, zero) = weight_factors();
        let (even_p, odd_p) =
            (scaled::<T, S>(s, w[2], p[2], times::<T, S>(s, w[0], p[0])), times::<T, S>(s, w[1], p[1]));
        let (even_q, odd_q) =
            (scaled::<T, S>(s, w[2], q[2], times::<T, S>(s, w[0], q[0])), times::<T, S>(s, w[1], q[1]));
        r[0] = times::<T, S>(s, w[0], zero);
        r[1] = T::vadd(s, even_p, odd_p);
        r[2] = T::vsub(s, even_p, odd_p);
        r[3] = T::vadd(s, even_q, odd_q);
        r[4] = T::vsub(s, even_q, odd_q);
        r[5] = w[2];
    }
    r
}

/// `G^T du`: the gradients of three weights.
#[inline(always)]
pub(super) fn weight_gradient<T: Element, S: Level, const A: usize>(s: S, du: [T::V<S>; A]) -> [T::V<S>; 3] {
    if A == 4 {
        let sum = times::<T, S>(s, T::vadd(s, du[1], du[2]), 0.5);
        let differ = times::<T, S>(s, T::vsub(s, du[1], du[2]), 0.5);
        [T::vadd(s, du[0], sum), differ, T::vadd(s, sum, du[3])]
    } else {
        let (p, q, zero) = weight_factors();
        let [sum_p, differ_p] = [T::vadd(s, du[1], du[2]), T::vsub(s, du[1], du[2])];
        let [sum_q, differ_q] = [T::vadd(s, du[3], du[4]), T::vsub(s, du[3], du[4])];
        let first = scaled::<T, S>(s, sum_q, q[0], times::<T, S>(s, sum_p, p[0]));
        [
            scaled::<T, S>(s, du[0], zero, first),
            scaled::<T, S>(s, differ_q, q[1], times::<T, S>(s, differ_p, p[1])),
            scaled::<T, S>(s, sum_q, q[2], scaled::<T, S>(s, sum_p, p[2], du[5])),
        ]
    }
}
