//! The largest kernels, compiled in this crate once for each element type.
//!
//! A generic function is compiled in every crate that calls it. For these, with a tile of every width at every level, that
//! would be minutes; behind the methods of a trait that is implemented for concrete types it happens here.

use crate::Accum;
use crate::conv::{DirectPass, WeightGradientPass};
use crate::gemm::{self, MatMut, MatRef, Product};
use crate::isa::Isa;

/// Runs a kernel at a level. Sealed: the trait is public in name only.
pub trait Precompiled: Sized {
    fn direct(isa: Isa, kernel: DirectPass<'_, Self>);
    fn weight_gradient(isa: Isa, kernel: WeightGradientPass<'_, Self>);
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
