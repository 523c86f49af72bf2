//! Vector operations under one set of names, for both element types and all levels.
//!
//! `pulp` provides the operations of each level, with different names for `f32` and `f64`. [`Vectors`]
//! gives them one name each, so that a kernel can be generic over the element type `T` and the level `S`. A
//! kernel is a struct of slices that implements [`Kernel`]. It calls the associated functions of [`Vectors`],
//! for example `T::vadd(s, a, b)` (plain `T::add` is the scalar operator).
//!
//! Every function that [`Kernel::run`] calls must be `#[inline(always)]`: the compiler uses a level's
//! instructions only in code that is inlined into the function that enables them.

use crate::transpose::{self, BLOCK};
use pulp::Simd;

/// A computation that is compiled once for each level. [`Isa`](crate::Isa) selects the level at which it
/// runs.
pub(crate) trait Kernel {
    type Output;

    fn run<S: Level>(self, s: S) -> Self::Output;
}

/// Operations of [`Level`] as `pulp` has them, under its name behind the arrow.
macro_rules! pulp_operations {
    ($($name:ident($($argument:ident: $of:ty),*) -> $result:ident = $operation:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $of),*) -> Self::$result {
            self.$operation($($argument),*)
        }
    )*};
}

/// A level of `pulp` that the kernels use.
///
/// Its operations are those that a level may have better code for than the default, which is `pulp`'s code
/// where `pulp` has the operation. Their names begin with `v`, so that they differ from those of [`Simd`].
/// [`Vectors`] says what those of both element types compute.
pub trait Level: Simd {
    /// Whether the level has a fused multiply-add. A level without it rounds a product before it adds the
    /// product, because emulating the fused operation would be slower by an order of magnitude.
    const FUSED: bool;
    /// Whether the level has 32 vector registers. The other levels have 16.
    const WIDE_FILE: bool;

    #[inline(always)]
    fn vlarger_f32s(self, a: Self::f32s, b: Self::f32s) -> Self::f32s {
        self.vselect_f32s(self.vless_f32s(b, a), a, b)
    }

    #[inline(always)]
    fn vlarger_f64s(self, a: Self::f64s, b: Self::f64s) -> Self::f64s {
        self.vselect_f64s(self.vless_f64s(b, a), a, b)
    }

    #[inline(always)]
    fn vtranspose_f32(self, block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
        transpose::of_block(block)
    }

    #[inline(always)]
    fn vtranspose_f64(self, block: [[f64; BLOCK]; BLOCK]) -> [[f64; BLOCK]; BLOCK] {
        transpose::of_block(block)
    }

    /// Asks for the cache line of `place`, which the kernel reads or writes soon.
    #[inline(always)]
    fn vprefetch<T>(self, _place: &T) {}

    pulp_operations!(
        vsplat_f32s(a: f32) -> f32s = splat_f32s;
        vsqrt_f32s(a: Self::f32s) -> f32s = sqrt_f32s;
        vadd_f32s(a: Self::f32s, b: Self::f32s) -> f32s = add_f32s;
        vsub_f32s(a: Self::f32s, b: Self::f32s) -> f32s = sub_f32s;
        vmul_f32s(a: Self::f32s, b: Self::f32s) -> f32s = mul_f32s;
        vdiv_f32s(a: Self::f32s, b: Self::f32s) -> f32s = div_f32s;
        vless_f32s(a: Self::f32s, b: Self::f32s) -> m32s = less_than_f32s;
        vless_or_equal_f32s(a: Self::f32s, b: Self::f32s) -> m32s = less_than_or_equal_f32s;
        vequal_f32s(a: Self::f32s, b: Self::f32s) -> m32s = equal_f32s;
        vselect_f32s(mask: Self::m32s, if_true: Self::f32s, if_false: Self::f32s) -> f32s = select_f32s;
        vsplat_f64s(a: f64) -> f64s = splat_f64s;
        vsqrt_f64s(a: Self::f64s) -> f64s = sqrt_f64s;
        vadd_f64s(a: Self::f64s, b: Self::f64s) -> f64s = add_f64s;
        vsub_f64s(a: Self::f64s, b: Self::f64s) -> f64s = sub_f64s;
        vmul_f64s(a: Self::f64s, b: Self::f64s) -> f64s = mul_f64s;
        vdiv_f64s(a: Self::f64s, b: Self::f64s) -> f64s = div_f64s;
        vless_f64s(a: Self::f64s, b: Self::f64s) -> m64s = less_than_f64s;
        vless_or_equal_f64s(a: Self::f64s, b: Self::f64s) -> m64s = less_than_or_equal_f64s;
        vequal_f64s(a: Self::f64s, b: Self::f64s) -> m64s = equal_f64s;
        vselect_f64s(mask: Self::m64s, if_true: Self::f64s, if_false: Self::f64s) -> f64s = select_f64s;
    );
}

/// On x86-64 it is in [`sse2`](crate::sse2), and the other levels are in [`avx`](crate::avx).
#[cfg(not(target_arch = "x86_64"))]
impl Level for pulp::Scalar128b {
    const FUSED: bool = false;
    const WIDE_FILE: bool = false;
}

/// As wide as the widest level, with as many registers, on any CPU: for tests of what only such levels do.
#[cfg(test)]
impl Level for pulp::Scalar512b {
    const FUSED: bool = false;
    const WIDE_FILE: bool = true;
}

#[cfg(target_arch = "aarch64")]
impl Level for pulp::aarch64::Neon {
    const FUSED: bool = true;
    const WIDE_FILE: bool = true;
}

/// Vector operations of an element type. The trait is `pub` only because [`Sealed`](crate::element::Sealed)
/// names it; other crates cannot reach it.
pub trait Vectors: Copy + Sized + 'static {
    type V<S: Level>: Copy + Send + Sync + bytemuck::Pod;
    type M<S: Level>: Copy;

    fn lanes<S: Level>() -> usize;
    /// The transpose of a block.
    fn transpose<S: Level>(s: S, block: [[Self; BLOCK]; BLOCK]) -> [[Self; BLOCK]; BLOCK];
    fn splat<S: Level>(s: S, a: Self) -> Self::V<S>;
    fn vadd<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    fn vsub<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    fn vmul<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    fn vdiv<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    fn sqrt<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    fn abs<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    fn vneg<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `a * b + c`, with one rounding where [`Level::FUSED`] and two elsewhere.
    fn mul_add<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S>;
    fn less_than<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::M<S>;
    fn less_or_equal<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::M<S>;
    fn equal<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::M<S>;
    fn select<S: Level>(s: S, mask: Self::M<S>, if_true: Self::V<S>, if_false: Self::V<S>) -> Self::V<S>;
    /// `a` where it is greater than `b`, and `b` elsewhere, also where one of them is NaN or both are zeros.
    fn larger<S: Level>(s: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// `max(a, 0)`; NaN stays NaN.
    fn relu<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `min(max(a, 0), 6)`; NaN stays NaN.
    fn relu6<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// The sum of all lanes. The upper half of the lanes is added to the lower half until one lane is left.
    fn sum_lanes<S: Level>(s: S, a: Self::V<S>) -> Self;
    /// The whole vectors of `x`, and the elements behind the last whole vector. The vectors need no
    /// alignment.
    fn split<S: Level>(x: &[Self]) -> (&[Self::V<S>], &[Self]);
    fn split_mut<S: Level>(x: &mut [Self]) -> (&mut [Self::V<S>], &mut [Self]);
    /// A vector whose first lanes are the elements of `x`, which is shorter than a vector. The other lanes
    /// are zero.
    fn load_partial<S: Level>(s: S, x: &[Self]) -> Self::V<S>;
    fn store_partial<S: Level>(s: S, x: &mut [Self], a: Self::V<S>);
    /// `e^a`; see [`crate::exp`] for its error.
    fn exp<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `tanh a`; see [`crate::exp`] for its error.
    fn tanh<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `ln(1 + a)` for `0 <= a <= 1`; see [`crate::exp`] for its error.
    fn ln_1p<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `e^a - 1` for `a <= 0`; see [`crate::exp`] for its error.
    fn exp_m1<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `ln a` for normal `a > 0`; see [`crate::exp`] for its error.
    fn ln<S: Level>(s: S, a: Self::V<S>) -> Self::V<S>;
    /// `t Phi(-t)` for `t >= 0`; see [`crate::normal`].
    fn gelu_tail<S: Level>(s: S, t: Self::V<S>) -> Self::V<S>;
    /// `Phi(-t) - t phi(t)` for `t >= 0`; see [`crate::normal`].
    fn gelu_tail_slope<S: Level>(s: S, t: Self::V<S>) -> Self::V<S>;

    #[inline(always)]
    fn zero<S: Level>(s: S) -> Self::V<S>
    where
        Self: Default,
    {
        Self::splat(s, Self::default())
    }
}

macro_rules! impl_vectors {
    ($t:ty, $v:ident, $m:ident, $lanes:ident, $exp:path, $tanh:path, $ln_1p:path, $exp_m1:path, $ln:path,
     $gelu_tail:path, $gelu_tail_slope:path; $splat:ident $add:ident $sub:ident $mul:ident $div:ident
     $sqrt:ident $and:ident $neg:ident $mul_add:ident $lt:ident $le:ident $eq:ident $select:ident $larger:ident $sum:ident
     $split:ident $split_mut:ident $load:ident $store:ident $transpose:ident) => {
        impl Vectors for $t {
            type V<S: Level> = S::$v;
            type M<S: Level> = S::$m;

            #[inline(always)]
            fn transpose<S: Level>(s: S, block: [[Self; BLOCK]; BLOCK]) -> [[Self; BLOCK]; BLOCK] {
                s.$transpose(block)
            }

            #[inline(always)]
            fn lanes<S: Level>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn splat<S: Level>(s: S, a: Self) -> S::$v {
                s.$splat(a)
            }
            #[inline(always)]
            fn vadd<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$add(a, b)
            }
            #[inline(always)]
            fn vsub<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$sub(a, b)
            }
            #[inline(always)]
            fn vmul<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$mul(a, b)
            }
            #[inline(always)]
            fn vdiv<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$div(a, b)
            }
            #[inline(always)]
            fn sqrt<S: Level>(s: S, a: S::$v) -> S::$v {
                s.$sqrt(a)
            }
            #[inline(always)]
            fn abs<S: Level>(s: S, a: S::$v) -> S::$v {
                // All bits but the sign. The function of pulp calls another one, which is not inlined.
                s.$and(a, s.$splat(<$t>::from_bits(!(-0.0 as $t).to_bits())))
            }
            #[inline(always)]
            fn vneg<S: Level>(s: S, a: S::$v) -> S::$v {
                s.$neg(a)
            }
            #[inline(always)]
            fn mul_add<S: Level>(s: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                if S::FUSED { s.$mul_add(a, b, c) } else { s.$add(s.$mul(a, b), c) }
            }
            #[inline(always)]
            fn less_than<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$m {
                s.$lt(a, b)
            }
            #[inline(always)]
            fn less_or_equal<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$m {
                s.$le(a, b)
            }
            #[inline(always)]
            fn equal<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$m {
                s.$eq(a, b)
            }
            #[inline(always)]
            fn select<S: Level>(s: S, mask: S::$m, if_true: S::$v, if_false: S::$v) -> S::$v {
                s.$select(mask, if_true, if_false)
            }
            #[inline(always)]
            fn larger<S: Level>(s: S, a: S::$v, b: S::$v) -> S::$v {
                s.$larger(a, b)
            }
            #[inline(always)]
            fn relu<S: Level>(s: S, a: S::$v) -> S::$v {
                Self::larger(s, s.$splat(0.0), a)
            }
            #[inline(always)]
            fn relu6<S: Level>(s: S, a: S::$v) -> S::$v {
                let (six, a) = (s.$splat(6.0), Self::relu(s, a));
                s.$select(s.$lt(six, a), six, a)
            }
            #[inline(always)]
            fn sum_lanes<S: Level>(s: S, a: S::$v) -> Self {
                s.$sum(a)
            }
            #[inline(always)]
            fn split<S: Level>(x: &[Self]) -> (&[S::$v], &[Self]) {
                S::$split(x)
            }
            #[inline(always)]
            fn split_mut<S: Level>(x: &mut [Self]) -> (&mut [S::$v], &mut [Self]) {
                S::$split_mut(x)
            }
            #[inline(always)]
            fn load_partial<S: Level>(s: S, x: &[Self]) -> S::$v {
                s.$load(x)
            }
            #[inline(always)]
            fn store_partial<S: Level>(s: S, x: &mut [Self], a: S::$v) {
                s.$store(x, a)
            }
            #[inline(always)]
            fn exp<S: Level>(s: S, a: S::$v) -> S::$v {
                $exp(s, a)
            }
            #[inline(always)]
            fn tanh<S: Level>(s: S, a: S::$v) -> S::$v {
                $tanh(s, a)
            }
            #[inline(always)]
            fn ln_1p<S: Level>(s: S, a: S::$v) -> S::$v {
                $ln_1p(s, a)
            }
            #[inline(always)]
            fn exp_m1<S: Level>(s: S, a: S::$v) -> S::$v {
                $exp_m1(s, a)
            }
            #[inline(always)]
            fn ln<S: Level>(s: S, a: S::$v) -> S::$v {
                $ln(s, a)
            }
            #[inline(always)]
            fn gelu_tail<S: Level>(s: S, t: S::$v) -> S::$v {
                $gelu_tail(s, t)
            }
            #[inline(always)]
            fn gelu_tail_slope<S: Level>(s: S, t: S::$v) -> S::$v {
                $gelu_tail_slope(s, t)
            }
        }
    };
}

impl_vectors!(f32, f32s, m32s, F32_LANES, crate::exp::exp_f32, crate::exp::tanh_f32,
    crate::exp::ln_1p_f32, crate::exp::exp_m1_f32, crate::exp::ln_f32, crate::normal::gelu_tail_f32,
    crate::normal::gelu_tail_slope_f32; vsplat_f32s vadd_f32s vsub_f32s vmul_f32s vdiv_f32s
    vsqrt_f32s and_f32s neg_f32s mul_add_f32s vless_f32s vless_or_equal_f32s vequal_f32s vselect_f32s vlarger_f32s
    reduce_sum_f32s as_simd_f32s as_mut_simd_f32s partial_load_f32s partial_store_f32s
    vtranspose_f32);
impl_vectors!(f64, f64s, m64s, F64_LANES, crate::exp::exp_f64, crate::exp::tanh_f64,
    crate::exp::ln_1p_f64, crate::exp::exp_m1_f64, crate::exp::ln_f64, crate::normal::gelu_tail_f64,
    crate::normal::gelu_tail_slope_f64; vsplat_f64s vadd_f64s vsub_f64s vmul_f64s vdiv_f64s
    vsqrt_f64s and_f64s neg_f64s mul_add_f64s vless_f64s vless_or_equal_f64s vequal_f64s vselect_f64s vlarger_f64s
    reduce_sum_f64s as_simd_f64s as_mut_simd_f64s partial_load_f64s partial_store_f64s
    vtranspose_f64);
