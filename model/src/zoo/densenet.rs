//! Densely connected networks: each layer reads the outputs of all before it.
//!
//! # Source
//!
//! Huang et al.: "Densely connected convolutional networks", CVPR 2017; with the names of torchvision.

use super::parts::conv;
use crate::layer::{
    AveragePool2D, BatchNormalization, Concatenation, Dense, Flatten, Input, Layer, Layers, MaxPool2D, ReLU,
    Sequence, Softmax, named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Densenet {
    /// Channels that each layer adds.
    pub(super) growth: usize,
    /// Channels in front of the first block.
    pub(super) start: usize,
    /// Layers of each block; 0 for a block that is not there.
    pub(super) blocks: [usize; 4],
    /// A 1x1 convolution to four times the growth in front of each 3x3 convolution, and half the channels
    /// behind each block.
    pub(super) bottleneck: bool,
    /// A 7x7 convolution and max pooling, both with stride 2, in front; else a 3x3 convolution.
    pub(super) large: bool,
}

impl Densenet {
    pub(super) fn layers<T: Element>(self, input: Shape, classes: usize) -> Layers<T> {
        let mut features: Layers<T> = if self.large {
            layers![
                named("conv0", conv(self.start, 7).stride(2).padding(3).without_bias()),
                named("norm0", BatchNormalization::new()),
                ReLU,
                MaxPool2D::new(3).stride(2).padding(1),
            ]
        } else {
            layers![named("conv0", conv(self.start, 3).padding(1).without_bias())]
        };
        let blocks = self.blocks.iter().filter(|layers| **layers > 0).count();
        let mut channels = self.start;
        for block in 0..blocks {
            let count = self.blocks[block];
            let dense = (0..count).map(|index| {
                let name = format!("denselayer{}", index + 1);
                let paths = [layers![], self.dense_layer()];
                Box::new(named(name, Concatenation::new(paths))) as Box<dyn Layer<T>>
            });
            let name = format!("denseblock{}", block + 1);
            features.push(Box::new(named(name, Sequence::new(dense.collect()))));
            channels += count * self.growth;
            if block + 1 < blocks {
                channels = if self.bottleneck { channels / 2 } else { channels };
                let transition = layers![
                    named("norm", BatchNormalization::new()),
                    ReLU,
                    named("conv", conv(channels, 1).without_bias()),
                    AveragePool2D::new(2),
                ];
                let name = format!("transition{}", block + 1);
                features.push(Box::new(named(name, Sequence::new(transition))));
            }
        }
        features.push(Box::new(named(format!("norm{}", blocks + 1), BatchNormalization::new())));
        layers![
            Input::new(input.c, input.h, input.w),
            named("features", Sequence::new(features)),
            ReLU,
            AveragePool2D::global(),
            Flatten,
            named("classifier", Dense::new(classes)),
            Softmax,
        ]
    }

    /// What makes the channels that one layer adds.
    fn dense_layer<T: Element>(self) -> Layers<T> {
        if self.bottleneck {
            layers![
                named("norm1", BatchNormalization::new()),
                ReLU,
                named("conv1", conv(4 * self.growth, 1).without_bias()),
                named("norm2", BatchNormalization::new()),
                ReLU,
                named("conv2", conv(self.growth, 3).padding(1).without_bias()),
            ]
        } else {
            layers![
                named("norm1", BatchNormalization::new()),
                ReLU,
                named("conv1", conv(self.growth, 3).padding(1).without_bias()),
            ]
        }
    }
}
