//! Residual networks.
//!
//! # Source
//!
//! He et al.: "Deep residual learning for image recognition", CVPR 2016; with the names of torchvision. A
//! block that changes the shape has a 1x1 convolution with batch normalisation as its shortcut, also in the
//! small networks for CIFAR, where the paper fills up with zeros.

use super::parts::conv;
use crate::layer::{
    AveragePool2D, BatchNormalization, Conv2D, Dense, Flatten, Input, Layers, MaxPool2D, ReLU, Residual,
    Sequence, Softmax, named,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// What a stage repeats.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions; the stride is that of the first.
    Bottleneck,
    /// The same with the stride in the 3x3 convolution, which is called v1.5.
    LateBottleneck,
}

/// What is in front of the stages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stem {
    /// A 3x3 convolution.
    Small,
    /// A 7x7 convolution and max pooling, both with stride 2.
    Large,
}

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resnet {
    pub(super) unit: Unit,
    pub(super) stem: Stem,
    /// Filters of the 3x3 convolutions of the first stage; those of each stage are twice those of the one
    /// before.
    pub(super) width: usize,
    /// Units of each stage; 0 for a stage that is not there.
    pub(super) stages: [usize; 4],
}

impl Resnet {
    pub(super) fn layers<T: Element>(self, input: Shape, classes: usize) -> Layers<T> {
        let stem = match self.stem {
            Stem::Small => conv(self.width, 3).padding(1),
            Stem::Large => conv(self.width, 7).stride(2).padding(3),
        };
        let mut layers: Layers<T> = layers![
            Input::new(input.c, input.h, input.w),
            named("conv1", stem.without_bias()),
            named("bn1", BatchNormalization::new()),
            ReLU,
        ];
        if let Stem::Large = self.stem {
            layers.push(Box::new(MaxPool2D::new(3).stride(2).padding(1)));
        }
        let mut channels = self.width;
        for (stage, units) in self.stages.into_iter().enumerate().filter(|(_, units)| *units > 0) {
            let mut sequence: Layers<T> = layers![];
            for unit in 0..units {
                let stride = if stage > 0 && unit == 0 { 2 } else { 1 };
                let block = self.unit.block(channels, self.width << stage, stride);
                sequence.extend(layers![named(unit.to_string(), block), ReLU]);
                channels = (self.width << stage) * self.unit.expansion();
            }
            layers.push(Box::new(named(format!("layer{}", stage + 1), Sequence::new(sequence))));
        }
        layers.extend(layers![AveragePool2D::global(), Flatten, named("fc", Dense::new(classes)), Softmax,]);
        layers
    }
}

impl Unit {
    /// The channels of a unit's output for each filter of its 3x3 convolution.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck | Self::LateBottleneck => 4,
        }
    }

    /// A residual block from `channels` channels; the ReLU behind the sum is not in it.
    fn block<T: Element>(self, channels: usize, width: usize, stride: usize) -> Residual<T> {
        let output = width * self.expansion();
        let convs = match self {
            Self::Basic => vec![conv(width, 3).stride(stride).padding(1), conv(width, 3).padding(1)],
            Self::Bottleneck => {
                vec![conv(width, 1).stride(stride), conv(width, 3).padding(1), conv(output, 1)]
            }
            Self::LateBottleneck => {
                vec![conv(width, 1), conv(width, 3).stride(stride).padding(1), conv(output, 1)]
            }
        };
        let count = convs.len();
        let mut body: Layers<T> = layers![];
        for (index, conv) in convs.into_iter().enumerate() {
            body.extend(normalised(&format!("conv{}", index + 1), conv, &format!("bn{}", index + 1)));
            if index + 1 < count {
                body.push(Box::new(ReLU));
            }
        }
        let block = Residual::new(body);
        if stride == 1 && channels == output {
            return block;
        }
        let shortcut = normalised("0", conv(output, 1).stride(stride), "1");
        block.projection(layers![named("downsample", Sequence::new(shortcut))])
    }
}

/// A convolution and its batch normalisation, under names.
fn normalised<T: Element>(name: &str, conv: Conv2D, normalisation: &str) -> Layers<T> {
    layers![named(name, conv.without_bias()), named(normalisation, BatchNormalization::new())]
}
