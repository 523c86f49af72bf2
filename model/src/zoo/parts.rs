//! What several families share.

use crate::initializer::Initializer;
use crate::layer::{BatchNormalization, Conv2D, Layer, Layers, Named, ReLU, Sequence, Size2, named};
use crate::layers;
use isograd_kernels::Element;

/// A convolution whose initial weights suit the ReLU behind it (He et al., 2015).
pub(super) fn conv(filters: usize, kernel: impl Into<Size2>) -> Conv2D {
    Conv2D::new(filters, kernel).initializers(Initializer::HeNormal, Initializer::Zeros)
}

/// Convolution without bias, batch normalisation and ReLU.
pub(super) fn conv_bn_relu<T: Element>(conv: Conv2D) -> Layers<T> {
    layers![conv.without_bias(), BatchNormalization::new(), ReLU]
}

/// Convolution, batch normalisation with the epsilon of the Inception family, and ReLU, under the names that
/// they have in torchvision's `BasicConv2d`.
pub(super) fn basic_conv<T: Element>(name: &str, conv: Conv2D) -> Named<T> {
    let layers = layers![
        named("conv", conv.without_bias()),
        named("bn", BatchNormalization::new().epsilon(1e-3)),
        ReLU,
    ];
    named(name, Sequence::new(layers))
}

/// `layers`, each with its position as its name.
pub(super) fn numbered<T: Element>(layers: Layers<T>) -> Layers<T> {
    let named = |(index, layer): (usize, Box<dyn Layer<T>>)| -> Box<dyn Layer<T>> {
        Box::new(Named::boxed(index.to_string(), layer))
    };
    layers.into_iter().enumerate().map(named).collect()
}

/// A row of layers called `name`, each with its position as its name.
pub(super) fn numbered_sequence<T: Element>(name: &str, layers: Layers<T>) -> Named<T> {
    named(name, Sequence::new(numbered(layers)))
}
