//! Small networks: chains for first steps.

use super::parts::conv;
use crate::initializer::Initializer;
use crate::layer::{
    BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, Layer, Layers, MaxPool2D, ReLU, Softmax,
};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// Two convolutions of 4 and 8 filters, max pooling, a dense layer of 128: 149,210 parameters on 1x28x28 and
/// 10 classes.
pub fn simplecnn<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    layers![
        Input::new(input.c, input.h, input.w),
        Conv2D::new(4, 3),
        ReLU,
        Conv2D::new(8, 3),
        ReLU,
        MaxPool2D::new(2),
        Flatten,
        Dense::new(128),
        ReLU,
        Dense::new(classes),
        Softmax,
    ]
}

/// Three dense layers of 512.
pub fn simplemlp<T: Element>(input: Shape, classes: usize) -> Layers<T> {
    layers![
        Input::new(input.c, input.h, input.w),
        Flatten,
        Dense::new(512),
        ReLU,
        Dense::new(512),
        ReLU,
        Dense::new(512),
        ReLU,
        Dense::new(classes),
        Softmax,
    ]
}

/// What a [small VGG](small_vgg) does against overfitting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Regularisation {
    /// Nothing.
    None,
    /// Dropout of a fifth behind each stage.
    Dropout,
    /// Dropout that grows by a tenth from stage to stage.
    GrowingDropout,
    /// As `GrowingDropout`, with batch normalisation behind each convolution.
    GrowingDropoutAndBatchNormalization,
}

/// `stages` stages of two 3x3 convolutions (32, 64, 128 filters) and max pooling, and a dense layer of 128.
pub(super) fn small_vgg<T: Element>(
    stages: usize,
    regularisation: Regularisation,
    input: Shape,
    classes: usize,
) -> Layers<T> {
    let normalises = matches!(regularisation, Regularisation::GrowingDropoutAndBatchNormalization);
    let rate = |stage: usize| match regularisation {
        Regularisation::None => None,
        Regularisation::Dropout => Some(0.2),
        _ => Some(0.1 * (stage + 2) as f64),
    };
    let normalise = |layers: &mut Layers<T>| {
        layers.push(Box::new(ReLU));
        if normalises {
            layers.push(Box::new(BatchNormalization::new()));
        }
    };
    let drop = |layers: &mut Layers<T>, stage: usize| {
        layers.extend(rate(stage).map(|rate| Box::new(Dropout::new(rate)) as Box<dyn Layer<T>>));
    };
    let mut layers: Layers<T> = layers![Input::new(input.c, input.h, input.w)];
    for stage in 0..stages {
        for _ in 0..2 {
            layers.push(Box::new(conv(32 << stage, 3).padding(1)));
            normalise(&mut layers);
        }
        layers.push(Box::new(MaxPool2D::new(2)));
        drop(&mut layers, stage);
    }
    layers
        .extend(layers![Flatten, Dense::new(128).initializers(Initializer::HeUniform, Initializer::Zeros),]);
    normalise(&mut layers);
    drop(&mut layers, stages);
    layers.extend(layers![Dense::new(classes), Softmax]);
    layers
}
