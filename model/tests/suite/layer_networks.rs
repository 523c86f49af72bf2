//! Small networks of the layers that `small_networks` leaves out: the relatives of ReLU, pooling with a given
//! output size and other options, padding, local response normalisation.

use crate::small_networks::Case;
use isograd_kernels::Element;
use isograd_model::layer::*;
use isograd_model::layers;

pub(super) fn further<T: Element>() -> Vec<Case<T>> {
    rectifiers().into_iter().chain(pooling()).chain(normalising()).collect()
}

fn rectifiers<T: Element>() -> Vec<Case<T>> {
    let input = Input::new(2, 5, 4);
    let classify = "categorical_cross_entropy";
    vec![
        (
            "LeakyReLU and ELU",
            classify,
            layers![
                input,
                Conv2D::new(3, 2),
                LeakyReLU::default(),
                Conv2D::new(3, 2),
                ELU::default(),
                Flatten,
                Dense::new(5),
                LeakyReLU::new(0.3),
                Dense::new(5),
                ELU::new(0.7),
                Dense::new(4),
                Softmax
            ],
        ),
        (
            "ReLU6 and HardSwish",
            classify,
            layers![
                input,
                Conv2D::new(3, 3),
                ReLU6,
                Flatten,
                Dense::new(9),
                HardSwish,
                Dense::new(4),
                Softmax
            ],
        ),
        (
            "SiLU and Softplus",
            "mean_squared_error",
            layers![input, Conv2D::new(3, 2), SiLU, Conv2D::new(2, 2), Softplus, Flatten, Dense::new(3)],
        ),
        (
            "both forms of GELU",
            classify,
            layers![
                input,
                Conv2D::new(3, 2),
                GELU::new(),
                Flatten,
                Dense::new(6),
                GELU::tanh(),
                Dense::new(4),
                Softmax
            ],
        ),
        (
            "binary cross-entropy of HardSigmoid",
            "binary_cross_entropy",
            layers![input, Conv2D::new(2, 3), HardSigmoid, Flatten, Dense::new(3), Sigmoid],
        ),
    ]
}

fn pooling<T: Element>() -> Vec<Case<T>> {
    let input = Input::new(2, 7, 6);
    vec![
        (
            "global average and GoogLeNet's maxima",
            "categorical_cross_entropy",
            layers![
                input,
                Conv2D::new(3, 3).padding(1),
                ReLU,
                MaxPool2D::new(3).stride(2).ceil_mode(),
                Conv2D::new(4, 2),
                AveragePool2D::global(),
                Flatten,
                Softmax
            ],
        ),
        (
            "averages that count the padding, global maximum",
            "mean_squared_error",
            layers![
                input,
                Conv2D::new(3, 2),
                AveragePool2D::new(3).stride(1).padding(1).count_padding(),
                Conv2D::new(3, 2),
                AveragePool2D::new([2, 3]).stride(2).padding([0, 1]).ceil_mode().count_padding(),
                MaxPool2D::global(),
                Flatten,
                Dense::new(3)
            ],
        ),
        (
            "adaptive pooling",
            "mean_squared_error",
            layers![
                input,
                Conv2D::new(3, 2),
                AdaptiveAveragePool2D::new([4, 3]),
                Conv2D::new(3, 1),
                AdaptiveMaxPool2D::new([3, 2]),
                Conv2D::new(2, 1),
                AdaptiveAveragePool2D::new(4),
                Flatten,
                Dense::new(3)
            ],
        ),
        (
            "adaptive pooling with windows side by side",
            "mean_squared_error",
            layers![
                Input::new(2, 8, 6),
                Conv2D::new(3, 1),
                AdaptiveMaxPool2D::new([4, 3]),
                Conv2D::new(2, 1),
                AdaptiveAveragePool2D::new([2, 3])
            ],
        ),
    ]
}

fn normalising<T: Element>() -> Vec<Case<T>> {
    let input = Input::new(2, 5, 4);
    vec![
        (
            "local response normalisation",
            "categorical_cross_entropy",
            layers![
                input,
                Conv2D::new(7, 2),
                LocalResponseNormalization::new().alpha(0.5),
                Conv2D::new(5, 2),
                LocalResponseNormalization::new().size(2).alpha(2.0).beta(0.4).k(0.5),
                Flatten,
                Dense::new(4),
                Softmax
            ],
        ),
        (
            "padding that differs from side to side",
            "mean_squared_error",
            layers![
                input,
                ZeroPadding2D::new([1, 0, 2, 1]),
                Conv2D::new(3, 3),
                ZeroPadding2D::new([0, 1]),
                Tanh,
                ZeroPadding2D::new(1),
                Conv2D::new(2, 3).stride(2),
                Flatten,
                Dense::new(3)
            ],
        ),
    ]
}
