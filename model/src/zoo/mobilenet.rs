//! MobileNets: depthwise and pointwise convolutions in turn.
//!
//! # Source
//!
//! Howard et al.: "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017.
//! Sandler et al.: "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018; with the names of
//! torchvision, which has the second alone.

use super::parts::{conv, conv_bn_relu, numbered, numbered_sequence};
use crate::layer::{
    AveragePool2D, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, Layer, Layers, ReLU6,
    Residual, Sequence, Softmax, named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// How far a network for large images shrinks them: by 32. Small images are shrunk less, in front first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// 32x32.
    Small,
    /// 224x224.
    Large,
}

/// The depthwise convolution of `channels` channels.
fn depthwise(channels: usize, stride: usize) -> Conv2D {
    conv(channels, 3).stride(stride).padding(1).groups(channels)
}

/// The first MobileNet, of full width.
pub(super) fn v1<T: Element>(size: Size, input: Shape, classes: usize) -> Layers<T> {
    /// Filters and stride of each pair of convolutions.
    const PAIRS: [(usize, usize); 13] = [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    ];
    let stride = if size == Size::Large { 2 } else { 1 };
    let mut features: Layers<T> = conv_bn_relu(conv(32, 3).stride(stride).padding(1));
    let mut channels = 32;
    for (filters, stride) in PAIRS {
        features.extend(conv_bn_relu(depthwise(channels, stride)));
        features.extend(conv_bn_relu(conv(filters, 1)));
        channels = filters;
    }
    layers![
        Input::new(input.c, input.h, input.w),
        numbered_sequence("features", features),
        AveragePool2D::global(),
        Flatten,
        named("classifier", Dense::new(classes)),
        Softmax,
    ]
}

/// The second MobileNet, of full width.
pub(super) fn v2<T: Element>(size: Size, input: Shape, classes: usize) -> Layers<T> {
    /// Expansion, channels, blocks and stride of each stage.
    const STAGES: [(usize, usize, usize, usize); 7] = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let first = if size == Size::Large { 2 } else { 1 };
    let mut features: Layers<T> = layers![conv_bn_relu6(conv(32, 3).stride(first).padding(1))];
    let mut channels = 32;
    for (expansion, filters, blocks, stride) in STAGES {
        for block in 0..blocks {
            // The second stage keeps the size of small images.
            let stride = match (block, size, filters) {
                (0, Size::Small, 24) => 1,
                (0, ..) => stride,
                _ => 1,
            };
            features.push(inverted_residual(channels, filters, expansion, stride));
            channels = filters;
        }
    }
    features.push(Box::new(conv_bn_relu6(conv(1280, 1))));
    layers![
        Input::new(input.c, input.h, input.w),
        numbered_sequence("features", features),
        AveragePool2D::global(),
        Flatten,
        numbered_sequence("classifier", layers![Dropout::new(0.2), Dense::new(classes)]),
        Softmax,
    ]
}

/// Convolution, batch normalisation and ReLU6, as one of the numbered layers.
fn conv_bn_relu6<T: Element>(conv: Conv2D) -> Sequence<T> {
    Sequence::new(numbered(layers![conv.without_bias(), BatchNormalization::new(), ReLU6]))
}

/// A block from `channels` to `filters` channels, with `expansion` times as many between.
fn inverted_residual<T: Element>(
    channels: usize,
    filters: usize,
    expansion: usize,
    stride: usize,
) -> Box<dyn Layer<T>> {
    let width = channels * expansion;
    let mut body: Layers<T> = layers![];
    if expansion > 1 {
        body.push(Box::new(conv_bn_relu6(conv(width, 1))));
    }
    body.extend(layers![
        conv_bn_relu6(depthwise(width, stride)),
        conv(filters, 1).without_bias(),
        BatchNormalization::new(),
    ]);
    let body = layers![numbered_sequence("conv", body)];
    if stride == 1 && channels == filters {
        Box::new(Residual::new(body))
    } else {
        Box::new(Sequence::new(body))
    }
}
