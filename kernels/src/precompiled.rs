//! The largest kernels, compiled in this crate once for each element type.
//!
//! A generic function is compiled in every crate that calls it. These kernels contain a tile of every width
//! at every level, so each of those crates would take minutes to compile. The methods of a trait that is
//! implemented for concrete types are compiled only here.

use crate::Accum;
use crate::conv::{
    DepthwisePass, DepthwiseWeightGradientPass, DirectPass, WeightGradientPass, WinogradPass,
    WinogradWeightGradientPass, WinogradWeights,
};
use crate::gemm::{self, MatMut, MatRef, Product};
use crate::isa::Isa;

/// Runs a kernel at a level. The trait is `pub` only because [`Sealed`](crate::element::Sealed) names it;
/// other crates cannot reach it.
pub trait Precompiled: Sized {
    fn direct(isa: Isa, kernel: DirectPass<'_, Self>);
    fn weight_gradient(isa: Isa, kernel: WeightGradientPass<'_, Self>);
    fn depthwise(isa: Isa, kernel: DepthwisePass<'_, Self>);
    fn depthwise_weight_gradient(isa: Isa, kernel: DepthwiseWeightGradientPass<'_, Self>);
    fn winograd(isa: Isa, kernel: WinogradPass<'_, Self>);
    fn winograd_weight_gradient(isa: Isa, kernel: WinogradWeightGradientPass<'_, Self>);
    fn winograd_weights(isa: Isa, kernel: WinogradWeights<'_, Self>);
    fn product(isa: Isa, kernel: Product<'_, '_, Self>);
    fn faer_product(a: MatRef<'_, Self>, b: MatRef<'_, Self>, accum: Accum, c: MatMut<'_, Self>);
}

macro_rules! precompile {
    ($($t:ty),*) => {$(
        impl Precompiled for $t {
            fn direct(isa: Isa, kernel: DirectPass<'_, $t>) {
                isa.run(kernel);
            }

            fn weight_gradient(isa: Isa, kernel: WeightGradientPass<'_, $t>) {
                isa.run(kernel);
            }

            fn depthwise(isa: Isa, kernel: DepthwisePass<'_, $t>) {
                isa.run(kernel);
            }

            fn depthwise_weight_gradient(isa: Isa, kernel: DepthwiseWeightGradientPass<'_, $t>) {
                isa.run(kernel);
            }

            fn winograd(isa: Isa, kernel: WinogradPass<'_, $t>) {
                isa.run(kernel);
            }

            fn winograd_weight_gradient(isa: Isa, kernel: WinogradWeightGradientPass<'_, $t>) {
                isa.run(kernel);
            }

            fn winograd_weights(isa: Isa, kernel: WinogradWeights<'_, $t>) {
                isa.run(kernel);
            }

            fn product(isa: Isa, kernel: Product<'_, '_, $t>) {
                isa.run(kernel);
            }

            fn faer_product(a: MatRef<'_, $t>, b: MatRef<'_, $t>, accum: Accum, c: MatMut<'_, $t>) {
                gemm::faer_gemm(a, b, accum, c);
            }
        }
    )*};
}

precompile!(f32, f64);
