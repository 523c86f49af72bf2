//! AlexNet.
//!
//! # Source
//!
//! Krizhevsky, Sutskever, Hinton: "ImageNet classification with deep convolutional neural networks", NIPS
//! 2012; Krizhevsky: "One weird trick for parallelizing convolutional neural networks", 2014, which is
//! torchvision's.

use super::parts::{conv, numbered_sequence};
use crate::layer::{
    AdaptiveAveragePool2D, Dense, Dropout, Flatten, Input, Layers, LocalResponseNormalization, MaxPool2D,
    ReLU, Softmax, named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// As published in 2012, with convolutions in two groups and local response normalisation.
pub(super) fn published<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    // The paper does not divide alpha, 1e-4, by the size.
    let normalisation = || LocalResponseNormalization::new().alpha(5e-4).k(2.0);
    let pool = || MaxPool2D::new(3).stride(2);
    layers![
        Input::new(input.c, input.h, input.w),
        named("conv1", conv(96, 11).stride(4)),
        ReLU,
        normalisation(),
        pool(),
        named("conv2", conv(256, 5).padding(2).groups(2)),
        ReLU,
        normalisation(),
        pool(),
        named("conv3", conv(384, 3).padding(1)),
        ReLU,
        named("conv4", conv(384, 3).padding(1).groups(2)),
        ReLU,
        named("conv5", conv(256, 3).padding(1).groups(2)),
        ReLU,
        pool(),
        Flatten,
        named("fc6", Dense::new(4096)),
        ReLU,
        Dropout::new(0.5),
        named("fc7", Dense::new(4096)),
        ReLU,
        Dropout::new(0.5),
        named("fc8", Dense::new(classes)),
        Softmax,
    ]
}

/// torchvision's, without normalisation.
pub(super) fn torchvision<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let features = layers![
        conv(64, 11).stride(4).padding(2),
        ReLU,
        MaxPool2D::new(3).stride(2),
        conv(192, 5).padding(2),
        ReLU,
        MaxPool2D::new(3).stride(2),
        conv(384, 3).padding(1),
        ReLU,
        conv(256, 3).padding(1),
        ReLU,
        conv(256, 3).padding(1),
        ReLU,
        MaxPool2D::new(3).stride(2),
    ];
    layers![
        Input::new(input.c, input.h, input.w),
        numbered_sequence("features", features),
        AdaptiveAveragePool2D::new(6),
        Flatten,
        classifier(classes),
        Softmax,
    ]
}

/// For images of 32x32: strides and windows are smaller.
pub(super) fn small<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let features = layers![
        conv(64, 3).stride(2).padding(1),
        ReLU,
        MaxPool2D::new(2),
        conv(192, 3).padding(1),
        ReLU,
        MaxPool2D::new(2),
        conv(384, 3).padding(1),
        ReLU,
        conv(256, 3).padding(1),
        ReLU,
        conv(256, 3).padding(1),
        ReLU,
        MaxPool2D::new(2),
    ];
    layers![
        Input::new(input.c, input.h, input.w),
        numbered_sequence("features", features),
        Flatten,
        classifier(classes),
        Softmax,
    ]
}

fn classifier<T: Element>(classes: usize) -> crate::layer::Named<T> {
    let layers = layers![
        Dropout::new(0.5),
        Dense::new(4096),
        ReLU,
        Dropout::new(0.5),
        Dense::new(4096),
        ReLU,
        Dense::new(classes),
    ];
    numbered_sequence("classifier", layers)
}
