//! Networks made to learn CIFAR-10 in as little time as can be.

use super::parts::{conv, conv_bn_relu};
use crate::initializer::Initializer;
use crate::layer::{
    BatchNormalization, Conv2D, Dense, Flatten, GELU, Input, Layers, MaxPool2D, Residual, Sequence, Softmax,
    named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// ResNet-9.
///
/// # Source
///
/// Page: "How to train your ResNet", myrtle.ai, 2018: the network of the DAWNBench entry.
pub(super) fn resnet9<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let unit = |filters: usize| conv_bn_relu::<T>(conv(filters, 3).padding(1));
    let stage = |filters: usize| {
        let mut layers = unit(filters);
        layers.push(Box::new(MaxPool2D::new(2)));
        layers
    };
    let residual = |filters: usize| {
        let mut body = unit(filters);
        body.extend(unit(filters));
        Residual::new(body)
    };
    let mut layers: Layers<T> =
        layers![Input::new(input.c, input.h, input.w), named("prep", Sequence::new(unit(64)))];
    layers.extend(layers![
        named("layer1", Sequence::new(stage(128))),
        named("residual1", residual(128)),
        named("layer2", Sequence::new(stage(256))),
        named("layer3", Sequence::new(stage(512))),
        named("residual3", residual(512)),
        MaxPool2D::new(0),
        Flatten,
        named("fc", Dense::new(classes)),
        Softmax,
    ]);
    layers
}

/// The network of airbench94.
///
/// The first convolution is for weights that whiten 2x2 patches of the data, as
/// [`Whitening`](crate::Whitening) computes them; without that, its weights begin as those of any other
/// layer.
///
/// # Source
///
/// Jordan: "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024.
pub(super) fn airbench94<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let normalisation = || BatchNormalization::new().momentum(0.6).epsilon(1e-12).without_scale();
    let group = |filters: usize| {
        let dirac = |conv: Conv2D| conv.initializers(Initializer::Dirac, Initializer::Zeros);
        let conv = || dirac(Conv2D::new(filters, 3).padding(1).without_bias());
        Sequence::new(layers![
            named("conv1", conv()),
            MaxPool2D::new(2),
            named("norm1", normalisation()),
            GELU::new(),
            named("conv2", conv()),
            named("norm2", normalisation()),
            GELU::new(),
        ])
    };
    layers![
        Input::new(input.c, input.h, input.w),
        named("whiten", Conv2D::new(24, 2)),
        GELU::new(),
        named("group1", group(64)),
        named("group2", group(256)),
        named("group3", group(256)),
        MaxPool2D::new(3),
        Flatten,
        named("fc", Dense::new(classes).without_bias().initializers(Initializer::Zeros, Initializer::Zeros)),
        Softmax,
    ]
}
