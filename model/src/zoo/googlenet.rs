//! GoogLeNet, with batch normalisation.
//!
//! # Source
//!
//! Szegedy et al.: "Going deeper with convolutions", CVPR 2015; as torchvision has it, without the auxiliary
//! classifiers, and with a 3x3 convolution in the place of the 5x5 one.

use super::parts::{basic_conv, conv};
use crate::layer::{
    AveragePool2D, Concatenation, Dense, Dropout, Flatten, Input, Layer, Layers, MaxPool2D, Named, Sequence,
    Softmax, named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// Filters of an inception block: of the 1x1 path; of the two convolutions of each 3x3 path; of the pooled
/// path.
type Filters = [usize; 6];

/// The blocks of the three stages.
const STAGES: [&[(&str, Filters)]; 3] = [
    &[("inception3a", [64, 96, 128, 16, 32, 32]), ("inception3b", [128, 128, 192, 32, 96, 64])],
    &[
        ("inception4a", [192, 96, 208, 16, 48, 64]),
        ("inception4b", [160, 112, 224, 24, 64, 64]),
        ("inception4c", [128, 128, 256, 24, 64, 64]),
        ("inception4d", [112, 144, 288, 32, 64, 64]),
        ("inception4e", [256, 160, 320, 32, 128, 128]),
    ],
    &[("inception5a", [256, 160, 320, 32, 128, 128]), ("inception5b", [384, 192, 384, 48, 128, 128])],
];

/// For images of 224x224.
pub(super) fn large<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let pool = |size: usize| MaxPool2D::new(size).stride(2).ceil_mode();
    let stem = layers![
        basic_conv("conv1", conv(64, 7).stride(2).padding(3)),
        pool(3),
        basic_conv("conv2", conv(64, 1)),
        basic_conv("conv3", conv(192, 3).padding(1)),
        pool(3),
    ];
    network(input, classes, stem, [pool(3), pool(2)])
}

/// For images of 32x32: one convolution in front, at full size.
pub(super) fn small<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let pool = || MaxPool2D::new(3).stride(2).padding(1);
    network(input, classes, layers![basic_conv("conv1", conv(192, 3).padding(1))], [pool(), pool()])
}

fn network<T: Element>(input: Shape, classes: usize, stem: Layers<T>, pools: [MaxPool2D; 2]) -> Layers<T> {
    let mut layers: Layers<T> = layers![Input::new(input.c, input.h, input.w)];
    layers.extend(stem);
    let mut pools = pools.into_iter();
    for stage in STAGES {
        for (name, filters) in stage {
            layers.push(Box::new(inception(name, *filters)));
        }
        layers.extend(pools.next().map(|pool| Box::new(pool) as Box<dyn Layer<T>>));
    }
    layers.extend(layers![
        AveragePool2D::global(),
        Flatten,
        Dropout::new(0.2),
        named("fc", Dense::new(classes)),
        Softmax,
    ]);
    layers
}

fn inception<T: Element>(name: &str, filters: Filters) -> Named<T> {
    let [a, b, c, d, e, f] = filters;
    let path = |name: &str, layers| layers![named(name, Sequence::new(layers))];
    let paths = [
        layers![basic_conv("branch1", conv(a, 1))],
        path("branch2", layers![basic_conv("0", conv(b, 1)), basic_conv("1", conv(c, 3).padding(1))]),
        path("branch3", layers![basic_conv("0", conv(d, 1)), basic_conv("1", conv(e, 3).padding(1))]),
        path("branch4", layers![MaxPool2D::new(3).stride(1).padding(1), basic_conv("1", conv(f, 1))]),
    ];
    named(name, Concatenation::new(paths))
}
