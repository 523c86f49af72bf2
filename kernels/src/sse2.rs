//! The portable level on x86-64: arithmetic and comparisons in the instructions of SSE2, which every such CPU
//! has.
//!
//! pulp's are loops over the lanes. The compiler makes vector instructions of some of them, and takes long to
//! find them: with those loops, this level took half of the time that the crate takes to compile. The bits
//! are the same.

use crate::simd::Level;
use bytemuck::cast;
use pulp::Scalar128b;
use safe_arch as sse;

/// Operations on two vectors, with their names in SSE2 behind the arrow.
macro_rules! operations {
    ($v:ident, $($name:ident -> $result:ident = $operation:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, a: Self::$v, b: Self::$v) -> Self::$result {
            cast(sse::$operation(cast(a), cast(b)))
        }
    )*};
}

impl Level for Scalar128b {
    const FUSED: bool = false;
    const WIDE_FILE: bool = false;

    operations!(
        f32s,
        vadd_f32s -> f32s = add_m128;
        vsub_f32s -> f32s = sub_m128;
        vmul_f32s -> f32s = mul_m128;
        vdiv_f32s -> f32s = div_m128;
        vless_f32s -> m32s = cmp_lt_mask_m128;
        vless_or_equal_f32s -> m32s = cmp_le_mask_m128;
        vequal_f32s -> m32s = cmp_eq_mask_m128;
        // Its second operand unless the first one is greater.
        vlarger_f32s -> f32s = max_m128;
    );
    operations!(
        f64s,
        vadd_f64s -> f64s = add_m128d;
        vsub_f64s -> f64s = sub_m128d;
        vmul_f64s -> f64s = mul_m128d;
        vdiv_f64s -> f64s = div_m128d;
        vless_f64s -> m64s = cmp_lt_mask_m128d;
        vless_or_equal_f64s -> m64s = cmp_le_mask_m128d;
        vequal_f64s -> m64s = cmp_eq_mask_m128d;
        vlarger_f64s -> f64s = max_m128d;
    );

    #[inline(always)]
    fn vsplat_f32s(self, a: f32) -> Self::f32s {
        cast(sse::set_splat_m128(a))
    }

    #[inline(always)]
    fn vsplat_f64s(self, a: f64) -> Self::f64s {
        cast(sse::set_splat_m128d(a))
    }

    #[inline(always)]
    fn vsqrt_f32s(self, a: Self::f32s) -> Self::f32s {
        cast(sse::sqrt_m128(cast(a)))
    }

    #[inline(always)]
    fn vsqrt_f64s(self, a: Self::f64s) -> Self::f64s {
        cast(sse::sqrt_m128d(cast(a)))
    }

    // The bits of a lane of a mask are all ones or all zeros.

    #[inline(always)]
    fn vselect_f32s(self, mask: Self::m32s, if_true: Self::f32s, if_false: Self::f32s) -> Self::f32s {
        let mask = cast(mask);
        cast(sse::bitor_m128(
            sse::bitand_m128(mask, cast(if_true)),
            sse::bitandnot_m128(mask, cast(if_false)),
        ))
    }

    #[inline(always)]
    fn vselect_f64s(self, mask: Self::m64s, if_true: Self::f64s, if_false: Self::f64s) -> Self::f64s {
        let mask = cast(mask);
        cast(sse::bitor_m128d(
            sse::bitand_m128d(mask, cast(if_true)),
            sse::bitandnot_m128d(mask, cast(if_false)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Simd;

    /// Tests all operations on pairs of special numbers against those of pulp.
    macro_rules! test {
        ($test:ident, $t:ident: $($name:ident = $pulp:ident),*; $splat:ident = $pulp_splat:ident,
         $sqrt:ident = $pulp_sqrt:ident, $select:ident = $pulp_select:ident, $larger:ident,
         $less:ident) => {
            #[test]
            fn $test() {
                /// The lanes of a vector or a mask. All NaNs are equal: which one an operation gives is
                /// nowhere written.
                fn bits<V: bytemuck::NoUninit>(v: V) -> Vec<u64> {
                    let lanes = bytemuck::cast_slice::<V, $t>(std::slice::from_ref(&v)).iter();
                    lanes.map(|x| if x.is_nan() { u64::MAX } else { u64::from(x.to_bits()) }).collect()
                }

                let s = Scalar128b;
                let small = [$t::MIN_POSITIVE, $t::MIN_POSITIVE / 4.0, $t::EPSILON, 1e-3];
                let others = [0.0, 1.0, 1.5, 2.25, 3.0, $t::MAX, $t::INFINITY, $t::NAN];
                let numbers: Vec<$t> = small.into_iter().chain(others).flat_map(|x| [x, -x]).collect();
                for a in numbers.iter().copied() {
                    let x = s.$pulp_splat(a);
                    assert_eq!(bits(s.$splat(a)), bits(x), "splat {a:?}");
                    assert_eq!(bits(s.$sqrt(x)), bits(s.$pulp_sqrt(x)), "root of {a:?}");
                    for b in numbers.iter().copied() {
                        // Lanes differ.
                        let mut y = s.$pulp_splat(b);
                        bytemuck::cast_slice_mut::<_, $t>(std::slice::from_mut(&mut y))[1] = 1.25;
                        $(
                            let name = stringify!($name);
                            assert_eq!(bits(s.$name(x, y)), bits(s.$pulp(x, y)), "{name} {a:?} {b:?}");
                        )*
                        let selected = s.$pulp_select(s.$less(x, y), x, y);
                        assert_eq!(bits(s.$select(s.$less(x, y), x, y)), bits(selected), "select {a:?} {b:?}");
                        let larger = s.$pulp_select(s.$less(y, x), x, y);
                        assert_eq!(bits(s.$larger(x, y)), bits(larger), "larger {a:?} {b:?}");
                    }
                }
            }
        };
    }

    test!(
        f32s_have_the_bits_of_pulps, f32: vadd_f32s = add_f32s, vsub_f32s = sub_f32s, vmul_f32s = mul_f32s,
        vdiv_f32s = div_f32s, vless_f32s = less_than_f32s, vless_or_equal_f32s = less_than_or_equal_f32s,
        vequal_f32s = equal_f32s; vsplat_f32s = splat_f32s, vsqrt_f32s = sqrt_f32s,
        vselect_f32s = select_f32s, vlarger_f32s, less_than_f32s
    );
    test!(
        f64s_have_the_bits_of_pulps, f64: vadd_f64s = add_f64s, vsub_f64s = sub_f64s, vmul_f64s = mul_f64s,
        vdiv_f64s = div_f64s, vless_f64s = less_than_f64s, vless_or_equal_f64s = less_than_or_equal_f64s,
        vequal_f64s = equal_f64s; vsplat_f64s = splat_f64s, vsqrt_f64s = sqrt_f64s,
        vselect_f64s = select_f64s, vlarger_f64s, less_than_f64s
    );
}
