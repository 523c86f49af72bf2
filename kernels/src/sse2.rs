//! The portable level's operations on x86-64: SSE2's, which every such CPU has.
//!
//! pulp's are loops over the lanes. The compiler makes vector instructions of some of them, and takes long to
//! find them: with those loops, this level took half of the time that the crate takes to compile. The bits
//! are the same.

use crate::simd::Operations;
use bytemuck::cast;
use pulp::Scalar128b;
use safe_arch::{
    add_m128, add_m128d, bitand_m128, bitand_m128d, bitandnot_m128, bitandnot_m128d, bitor_m128, bitor_m128d,
    cmp_eq_mask_m128, cmp_eq_mask_m128d, cmp_le_mask_m128, cmp_le_mask_m128d, cmp_lt_mask_m128,
    cmp_lt_mask_m128d, div_m128, div_m128d, m128, m128d, max_m128, max_m128d, mul_m128, mul_m128d,
    set_splat_m128, set_splat_m128d, sqrt_m128, sqrt_m128d, sub_m128, sub_m128d,
};

/// The operations on vectors of one type, where `$of` is SSE2's type of vectors and masks.
macro_rules! operations {
    ($t:ty, $v:ident, $m:ident, $of:ident; $splat:ident $set:ident, $sqrt:ident $root:ident,
     $select:ident $and:ident $and_not:ident $or:ident;
     $($name:ident -> $result:ident: $operation:ident),*) => {
        #[inline(always)]
        fn $splat(self, a: $t) -> Self::$v {
            cast($set(a).0)
        }

        #[inline(always)]
        fn $sqrt(self, a: Self::$v) -> Self::$v {
            cast($root($of(cast(a))).0)
        }

        #[inline(always)]
        fn $select(self, mask: Self::$m, if_true: Self::$v, if_false: Self::$v) -> Self::$v {
            let [mask, if_true, if_false] = [$of(cast(mask)), $of(cast(if_true)), $of(cast(if_false))];
            cast($or($and(mask, if_true), $and_not(mask, if_false)).0)
        }

        $(
            #[inline(always)]
            fn $name(self, a: Self::$v, b: Self::$v) -> Self::$result {
                cast($operation($of(cast(a)), $of(cast(b))).0)
            }
        )*
    };
}

impl Operations for Scalar128b {
    operations!(f32, f32s, m32s, m128; vsplat_f32s set_splat_m128, vsqrt_f32s sqrt_m128,
        vselect_f32s bitand_m128 bitandnot_m128 bitor_m128;
        vadd_f32s -> f32s: add_m128, vsub_f32s -> f32s: sub_m128, vmul_f32s -> f32s: mul_m128,
        vdiv_f32s -> f32s: div_m128, vlarger_f32s -> f32s: max_m128, vless_f32s -> m32s: cmp_lt_mask_m128,
        vless_or_equal_f32s -> m32s: cmp_le_mask_m128, vequal_f32s -> m32s: cmp_eq_mask_m128);
    operations!(f64, f64s, m64s, m128d; vsplat_f64s set_splat_m128d, vsqrt_f64s sqrt_m128d,
        vselect_f64s bitand_m128d bitandnot_m128d bitor_m128d;
        vadd_f64s -> f64s: add_m128d, vsub_f64s -> f64s: sub_m128d, vmul_f64s -> f64s: mul_m128d,
        vdiv_f64s -> f64s: div_m128d, vlarger_f64s -> f64s: max_m128d, vless_f64s -> m64s: cmp_lt_mask_m128d,
        vless_or_equal_f64s -> m64s: cmp_le_mask_m128d, vequal_f64s -> m64s: cmp_eq_mask_m128d);
}
