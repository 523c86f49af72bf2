//! Networks by name.

use crate::error::Error;
use crate::layer::{Conv2D, Dense, Flatten, Input, Layers, MaxPool2D, ReLU, Softmax};
use crate::layers;
use crate::shape::Shape;
use isograd_kernels::Element;

/// The names of all networks.
pub const NAMES: [&str; 2] = ["simplecnn", "simplemlp"];

/// The layers of the network called `name`, for samples of shape `input` and `classes` classes.
///
/// # Errors
///
/// When the name is not known.
pub fn by_name<T: Element>(name: &str, input: Shape, classes: usize) -> Result<Layers<T>, Error> {
    match name {
        "simplecnn" => Ok(simplecnn(input, classes)),
        "simplemlp" => Ok(simplemlp(input, classes)),
        _ => Err(Error::unknown_name("model", name, &NAMES)),
    }
}

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
