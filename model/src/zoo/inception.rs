//! Inception v3.
//!
//! # Source
//!
//! Szegedy et al.: "Rethinking the Inception architecture for computer vision", CVPR 2016; as torchvision has
//! it, without the auxiliary classifier.

use super::parts::{basic_conv, conv};
use crate::layer::{
    AveragePool2D, Concatenation, Conv2D, Dense, Dropout, Flatten, Input, Layers, MaxPool2D, Named, Softmax,
    named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// For images of 299x299, and of 224x224.
pub(super) fn large<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let stem = layers![
        basic_conv("Conv2d_1a_3x3", conv(32, 3).stride(2)),
        basic_conv("Conv2d_2a_3x3", conv(32, 3)),
        basic_conv("Conv2d_2b_3x3", conv(64, 3).padding(1)),
        MaxPool2D::new(3).stride(2),
        basic_conv("Conv2d_3b_1x1", conv(80, 1)),
        basic_conv("Conv2d_4a_3x3", conv(192, 3)),
        MaxPool2D::new(3).stride(2),
    ];
    network(input, classes, stem)
}

/// For images of 32x32: the convolutions in front keep the size, and nothing is pooled there.
pub(super) fn small<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    let stem = layers![
        basic_conv("Conv2d_1a_3x3", conv(32, 3).padding(1)),
        basic_conv("Conv2d_2a_3x3", conv(32, 3).padding(1)),
        basic_conv("Conv2d_2b_3x3", conv(64, 3).padding(1)),
        basic_conv("Conv2d_3b_1x1", conv(80, 1)),
        basic_conv("Conv2d_4a_3x3", conv(192, 3).padding(1)),
    ];
    network(input, classes, stem)
}

fn network<T: Element>(input: Shape, classes: usize, stem: Layers<T>) -> Layers<T> {
    let mut layers: Layers<T> = layers![Input::new(input.c, input.h, input.w)];
    layers.extend(stem);
    layers.extend(layers![
        block_a("Mixed_5b", 32),
        block_a("Mixed_5c", 64),
        block_a("Mixed_5d", 64),
        block_b("Mixed_6a"),
        block_c("Mixed_6b", 128),
        block_c("Mixed_6c", 160),
        block_c("Mixed_6d", 160),
        block_c("Mixed_6e", 192),
        block_d("Mixed_7a"),
        block_e("Mixed_7b"),
        block_e("Mixed_7c"),
        AveragePool2D::global(),
        Dropout::new(0.5),
        Flatten,
        named("fc", Dense::new(classes)),
        Softmax,
    ]);
    layers
}

/// A convolution over a row of seven pixels, and over a column.
fn row(filters: usize) -> Conv2D {
    conv(filters, [1, 7]).padding([0, 3])
}

fn column(filters: usize) -> Conv2D {
    conv(filters, [7, 1]).padding([3, 0])
}

/// The path through a mean over 3x3 pixels, padding included.
fn pooled<T: Element>(filters: usize) -> Layers<T> {
    let pool = AveragePool2D::new(3).stride(1).padding(1).count_padding();
    layers![pool, basic_conv("branch_pool", conv(filters, 1))]
}

/// 1x1, 5x5, twice 3x3, and pooling.
fn block_a<T: Element>(name: &str, pool_filters: usize) -> Named<T> {
    let paths = [
        layers![basic_conv("branch1x1", conv(64, 1))],
        layers![basic_conv("branch5x5_1", conv(48, 1)), basic_conv("branch5x5_2", conv(64, 5).padding(2)),],
        layers![
            basic_conv("branch3x3dbl_1", conv(64, 1)),
            basic_conv("branch3x3dbl_2", conv(96, 3).padding(1)),
            basic_conv("branch3x3dbl_3", conv(96, 3).padding(1)),
        ],
        pooled(pool_filters),
    ];
    named(name, Concatenation::new(paths))
}

/// To half the size.
fn block_b<T: Element>(name: &str) -> Named<T> {
    let paths = [
        layers![basic_conv("branch3x3", conv(384, 3).stride(2))],
        layers![
            basic_conv("branch3x3dbl_1", conv(64, 1)),
            basic_conv("branch3x3dbl_2", conv(96, 3).padding(1)),
            basic_conv("branch3x3dbl_3", conv(96, 3).stride(2)),
        ],
        layers![MaxPool2D::new(3).stride(2)],
    ];
    named(name, Concatenation::new(paths))
}

/// 7x7 as rows and columns.
fn block_c<T: Element>(name: &str, width: usize) -> Named<T> {
    let paths = [
        layers![basic_conv("branch1x1", conv(192, 1))],
        layers![
            basic_conv("branch7x7_1", conv(width, 1)),
            basic_conv("branch7x7_2", row(width)),
            basic_conv("branch7x7_3", column(192)),
        ],
        layers![
            basic_conv("branch7x7dbl_1", conv(width, 1)),
            basic_conv("branch7x7dbl_2", column(width)),
            basic_conv("branch7x7dbl_3", row(width)),
            basic_conv("branch7x7dbl_4", column(width)),
            basic_conv("branch7x7dbl_5", row(192)),
        ],
        pooled(192),
    ];
    named(name, Concatenation::new(paths))
}

/// To half the size once more.
fn block_d<T: Element>(name: &str) -> Named<T> {
    let paths = [
        layers![basic_conv("branch3x3_1", conv(192, 1)), basic_conv("branch3x3_2", conv(320, 3).stride(2))],
        layers![
            basic_conv("branch7x7x3_1", conv(192, 1)),
            basic_conv("branch7x7x3_2", row(192)),
            basic_conv("branch7x7x3_3", column(192)),
            basic_conv("branch7x7x3_4", conv(192, 3).stride(2)),
        ],
        layers![MaxPool2D::new(3).stride(2)],
    ];
    named(name, Concatenation::new(paths))
}

/// 3x3 as a row beside a column.
fn block_e<T: Element>(name: &str) -> Named<T> {
    let both = |name: &str| {
        let paths = [
            layers![basic_conv(&format!("{name}a"), conv(384, [1, 3]).padding([0, 1]))],
            layers![basic_conv(&format!("{name}b"), conv(384, [3, 1]).padding([1, 0]))],
        ];
        named("", Concatenation::new(paths))
    };
    let paths = [
        layers![basic_conv("branch1x1", conv(320, 1))],
        layers![basic_conv("branch3x3_1", conv(384, 1)), both("branch3x3_2")],
        layers![
            basic_conv("branch3x3dbl_1", conv(448, 1)),
            basic_conv("branch3x3dbl_2", conv(384, 3).padding(1)),
            both("branch3x3dbl_3"),
        ],
        pooled(192),
    ];
    named(name, Concatenation::new(paths))
}
