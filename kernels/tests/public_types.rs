//! The public types can be moved to other threads and shared among them.

use isograd_kernels::batch_norm::{
    Affine, AffineGradient, BatchStatistics, GradientSums, InputGradient, Moments, Normalisation,
    RunningStatistics, SavedStatistics,
};
use isograd_kernels::conv::{Conv2d, Conv2dShape, ConvError, Path};
use isograd_kernels::gemm::{MatMut, MatRef};
use isograd_kernels::layout::{Channels, Scaling};
use isograd_kernels::local_response::LocalResponse;
use isograd_kernels::optimizer::{Adam, AdamStep, Lars, RmsProp, Sgd};
use isograd_kernels::padding::Padding2d;
use isograd_kernels::philox::{Purpose, Rng};
use isograd_kernels::pool::{AdaptivePool2d, Divisor, Pool2d, Pool2dShape, PoolError, Rounding};
use isograd_kernels::{Accum, Activation, Element, Isa, Pass, Size2, reference};

fn is_send_and_sync<T: Send + Sync>() {}

/// The types with an element type.
fn generic_types<T: Element>() {
    is_send_and_sync::<T>();
    is_send_and_sync::<Pass<'_, T>>();
    is_send_and_sync::<MatRef<'_, T>>();
    is_send_and_sync::<MatMut<'_, T>>();
    is_send_and_sync::<Scaling<'_, T>>();
    is_send_and_sync::<Affine<'_, T>>();
    is_send_and_sync::<AffineGradient<'_, T>>();
    is_send_and_sync::<(InputGradient<'_, T>, Normalisation<'_, T>)>();
    is_send_and_sync::<BatchStatistics<'_, T>>();
    is_send_and_sync::<SavedStatistics<'_, T>>();
    is_send_and_sync::<RunningStatistics<'_, T>>();
}

#[test]
fn public_types_are_send_and_sync() {
    generic_types::<f32>();
    generic_types::<f64>();
    is_send_and_sync::<(Isa, Size2, Accum, Activation)>();
    is_send_and_sync::<(GradientSums<'_>, Moments)>();
    is_send_and_sync::<(Conv2d, Conv2dShape, ConvError, Path)>();
    is_send_and_sync::<(Pool2d, Pool2dShape, PoolError, AdaptivePool2d, Rounding, Divisor)>();
    is_send_and_sync::<(LocalResponse, Padding2d)>();
    is_send_and_sync::<(Adam, AdamStep, Lars, RmsProp, Sgd)>();
    is_send_and_sync::<(Channels, Purpose, Rng)>();
    is_send_and_sync::<(reference::pool::Maxima, reference::batch_norm::Normalised)>();
    is_send_and_sync::<(reference::batch_norm::Statistics, reference::batch_norm::Gradients)>();
}
