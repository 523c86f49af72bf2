//! VGG: stages of 3x3 convolutions and max pooling.
//!
//! # Source
//!
//! Simonyan, Zisserman: "Very deep convolutional networks for large-scale image recognition", ICLR 2015; with
//! the names of torchvision. On small images, dense layers of 512 take the place of those of 4096.

use super::parts::{conv, numbered_sequence};
use crate::layer::{
    AdaptiveAveragePool2D, BatchNormalization, Dense, Dropout, Flatten, Input, Layers, MaxPool2D, ReLU,
    Softmax,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// The convolutions of each stage; all of a stage have as many filters.
const FILTERS: [usize; 5] = [64, 128, 256, 512, 512];

/// A network of the family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vgg {
    /// Convolutions of each stage.
    pub(super) stages: [usize; 5],
    /// Batch normalisation behind each convolution.
    pub(super) normalises: bool,
    /// Features of the two hidden dense layers.
    pub(super) hidden: usize,
    /// Height and width of the image in front of the dense layers.
    pub(super) pooled: usize,
}

impl Vgg {
    pub(super) fn layers<T: Element>(self, input: Shape, classes: usize) -> Layers<T> {
        let mut features: Layers<T> = layers![];
        for (filters, count) in FILTERS.into_iter().zip(self.stages) {
            for _ in 0..count {
                features.push(Box::new(conv(filters, 3).padding(1)));
                if self.normalises {
                    features.push(Box::new(BatchNormalization::new()));
                }
                features.push(Box::new(ReLU));
            }
            features.push(Box::new(MaxPool2D::new(2)));
        }
        let mut layers =
            layers![Input::new(input.c, input.h, input.w), numbered_sequence("features", features),];
        if (input.h / 32, input.w / 32) != (self.pooled, self.pooled) {
            layers.push(Box::new(AdaptiveAveragePool2D::new(self.pooled)));
        }
        let classifier = layers![
            Dense::new(self.hidden),
            ReLU,
            Dropout::new(0.5),
            Dense::new(self.hidden),
            ReLU,
            Dropout::new(0.5),
            Dense::new(classes),
        ];
        layers.extend(layers![Flatten, numbered_sequence("classifier", classifier), Softmax]);
        layers
    }
}
