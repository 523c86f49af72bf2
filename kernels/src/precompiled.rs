//! The largest kernels, compiled in this crate once for each element type.
//!
//! A generic function is compiled in every crate that calls it. These kernels contain a loop for every width
//! of a tile or window at every level, so each of those crates would take minutes to compile. The methods of
//! a trait that is implemented for concrete types are compiled only here.
//!
//! The compiler shares its work among threads by modules, so each kernel of convolution and pooling has a
//! module of its own for each type.

use crate::Accum;
use crate::conv::{
    DepthwisePass, DepthwiseWeightGradientPass, DirectPass, WeightGradientPass, WinogradPass,
    WinogradWeightGradientPass, WinogradWeights,
};
use crate::gemm::{self, MatMut, MatRef, Product, RowFinish};
use crate::isa::Isa;
use crate::pool::{AdaptiveMaxPool, AveragePool, MaxPool, PoolBackward};
use crate::storage::{Round, Widen};

/// Makes [`Kernels`]: a trait with a method for each kernel, and for each type a module, in which each kernel
/// has a module with a function that runs it.
macro_rules! kernels {
    ($($name:ident: $kernel:ident $(<$constant:tt>)?;)*) => {
        /// Kernels that are the same code for both types. A method runs one at a level.
        pub trait Kernels: Sized {
            $(fn $name(isa: Isa, kernel: $kernel<'_, Self $(, $constant)?>);)*
        }

        kernels!(of_f32, f32: $($name: $kernel $(<$constant>)?;)*);
        kernels!(of_f64, f64: $($name: $kernel $(<$constant>)?;)*);
    };
    ($of:ident, $t:ty: $($name:ident: $kernel:ident $(<$constant:tt>)?;)*) => {
        mod $of {$(
            pub(super) mod $name {
                use crate::{isa::Isa, precompiled::$kernel};

                pub(in crate::precompiled) fn run(isa: Isa, kernel: $kernel<'_, $t $(, $constant)?>) {
                    isa.run(kernel);
                }
            }
        )*}

        impl Kernels for $t {$(
            fn $name(isa: Isa, kernel: $kernel<'_, $t $(, $constant)?>) {
                $of::$name::run(isa, kernel);
            }
        )*}
    };
}

kernels!(
    direct: DirectPass;
    weight_gradient: WeightGradientPass;
    depthwise: DepthwisePass;
    depthwise_weight_gradient: DepthwiseWeightGradientPass;
    winograd: WinogradPass;
    winograd_weight_gradient: WinogradWeightGradientPass;
    winograd_weights: WinogradWeights;
    max_pool: MaxPool<true>;
    max_pool_eval: MaxPool<false>;
    max_pool_backward: PoolBackward<true>;
    average_pool: AveragePool;
    average_pool_backward: PoolBackward<false>;
    adaptive_max_pool: AdaptiveMaxPool<true>;
    adaptive_max_pool_eval: AdaptiveMaxPool<false>;
);

/// For each kernel a module with a function that runs it with factors that are rounded to bfloat16.
macro_rules! bf16_kernels {
    ($($name:ident: $kernel:ident;)*) => {$(
        mod $name {
            use crate::{isa::Isa, precompiled::$kernel};

            pub(super) fn run(isa: Isa, kernel: $kernel<'_, f32>) {
                isa.run_bf16(kernel);
            }
        }
    )*};
}

bf16_kernels!(
    winograd_bf16: WinogradPass;
    winograd_weight_gradient_bf16: WinogradWeightGradientPass;
    winograd_weights_bf16: WinogradWeights;
);

const NO_BF16: &str = "only f32 is rounded to bfloat16";

/// All kernels of a type. The trait is `pub` only because [`Sealed`](crate::element::Sealed) names it; other
/// crates cannot reach it.
///
/// Numbers of f64 are never rounded to bfloat16: results would be no better than those in f32.
pub trait Precompiled: Kernels {
    fn product(isa: Isa, kernel: Product<'_, '_, Self>);

    fn faer_product(a: MatRef<'_, Self>, b: MatRef<'_, Self>, accum: Accum, c: MatMut<'_, Self>);

    // The same as above, of factors that are rounded to bfloat16.

    fn winograd_bf16(_: Isa, _: WinogradPass<'_, Self>) {
        panic!("{NO_BF16}");
    }

    fn winograd_weight_gradient_bf16(_: Isa, _: WinogradWeightGradientPass<'_, Self>) {
        panic!("{NO_BF16}");
    }

    fn winograd_weights_bf16(_: Isa, _: WinogradWeights<'_, Self>) {
        panic!("{NO_BF16}");
    }

    fn product_bf16(
        _: Isa,
        _: MatRef<'_, Self>,
        _: MatRef<'_, Self>,
        _: Accum,
        _: MatMut<'_, Self>,
        _: RowFinish<'_, Self>,
    ) {
        panic!("{NO_BF16}");
    }

    // Bfloat16s in memory.

    fn round_to_bf16(_: Isa, _: &[Self], _: &mut [u16]) {
        panic!("{NO_BF16}");
    }

    fn widen_bf16(_: Isa, _: &[u16], _: &mut [Self]) {
        panic!("{NO_BF16}");
    }
}

impl Precompiled for f64 {
    fn product(isa: Isa, kernel: Product<'_, '_, f64>) {
        isa.run(kernel);
    }

    fn faer_product(a: MatRef<'_, f64>, b: MatRef<'_, f64>, accum: Accum, c: MatMut<'_, f64>) {
        gemm::faer_gemm(a, b, accum, c);
    }
}

impl Precompiled for f32 {
    fn product(isa: Isa, kernel: Product<'_, '_, f32>) {
        isa.run(kernel);
    }

    fn faer_product(a: MatRef<'_, f32>, b: MatRef<'_, f32>, accum: Accum, c: MatMut<'_, f32>) {
        gemm::faer_gemm(a, b, accum, c);
    }

    fn winograd_bf16(isa: Isa, kernel: WinogradPass<'_, f32>) {
        winograd_bf16::run(isa, kernel);
    }

    fn winograd_weight_gradient_bf16(isa: Isa, kernel: WinogradWeightGradientPass<'_, f32>) {
        winograd_weight_gradient_bf16::run(isa, kernel);
    }

    fn winograd_weights_bf16(isa: Isa, kernel: WinogradWeights<'_, f32>) {
        winograd_weights_bf16::run(isa, kernel);
    }

    fn product_bf16(
        isa: Isa,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        accum: Accum,
        c: MatMut<'_, f32>,
        finish: RowFinish<'_, f32>,
    ) {
        gemm::bf16_gemm(isa, a, b, accum, c, finish);
    }

    fn round_to_bf16(isa: Isa, x: &[f32], rounded: &mut [u16]) {
        isa.run_bf16(Round { x, rounded });
    }

    fn widen_bf16(isa: Isa, x: &[u16], y: &mut [f32]) {
        isa.run(Widen { x, y });
    }
}
