//! Fusion: which ReLUs neighbouring layers apply.

use crate::layer::{Fusible, Layer, Placement};
use isograd_kernels::Element;

/// Which passes of a layer its neighbours do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fused {
    pub(super) forward: bool,
    pub(super) backward: bool,
}

/// Offers each ReLU to its neighbours: both passes to the layer behind it, or else the forward pass to the
/// layer in front and the backward pass to the layer behind. Layers that leave the data in place, such as
/// Flatten, do not count as neighbours.
pub(super) fn fuse<T: Element>(layers: &mut [Box<dyn Layer<T>>]) -> Vec<Fused> {
    let mut fused = vec![Fused::default(); layers.len()];
    for i in 0..layers.len() {
        if layers[i].fusible() != Some(Fusible::ReLU) {
            continue;
        }
        let in_place = |layer: &dyn Layer<T>| layer.placement() == Placement::InPlace;
        let before = (0..i).rev().find(|j| !in_place(&*layers[*j]));
        let behind = (i + 1..layers.len()).find(|j| !in_place(&*layers[*j]));
        if behind.is_some_and(|j| layers[j].absorb_relu()) {
            fused[i] = Fused { forward: true, backward: true };
        } else {
            fused[i] = Fused {
                forward: before.is_some_and(|j| layers[j].fuse_relu()),
                backward: behind.is_some_and(|j| layers[j].fuse_relu_gradient()),
            };
        }
    }
    fused
}
