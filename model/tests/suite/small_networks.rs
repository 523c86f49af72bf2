//! Small networks that cover every layer, loss and place of a ReLU.

use isograd_kernels::Element;
use isograd_model::layer::*;
use isograd_model::layers;

/// A network to check: its name, that of its loss, its layers.
pub(super) type Case<T> = (&'static str, &'static str, Vec<Box<dyn Layer<T>>>);

/// Networks with ReLUs in every kind of place.
pub(super) fn rectified<T: Element, R: Layer<T> + Copy + 'static>(relu: R) -> Vec<Case<T>> {
    let input = Input::new(2, 6, 5);
    let classify = "categorical_cross_entropy";
    vec![
        (
            "behind Dense",
            classify,
            layers![Input::vector(5), Dense::new(7), relu, Dense::new(6), relu, Dense::new(4), Softmax],
        ),
        (
            "first, before Conv2D",
            classify,
            layers![input, relu, Conv2D::new(3, 3), Flatten, Dense::new(4), Softmax],
        ),
        (
            "first, before MaxPool2D",
            "mean_squared_error",
            layers![input, relu, MaxPool2D::new(2).stride(1), Conv2D::new(2, 2), Flatten, Dense::new(3)],
        ),
        (
            "first, before Dense",
            "mean_squared_error",
            layers![Input::vector(6), relu, Dense::new(4), relu, Dense::new(3)],
        ),
        (
            "behind Flatten",
            classify,
            layers![input, Conv2D::new(3, 3), Flatten, relu, Dense::new(4), Softmax],
        ),
        (
            "before Flatten",
            classify,
            layers![
                input,
                Conv2D::new(3, [2, 3]),
                relu,
                Flatten,
                Dense::new(4),
                relu,
                Flatten,
                Dense::new(4),
                Softmax
            ],
        ),
        (
            "two in a row before Dense",
            classify,
            layers![input, Conv2D::new(3, 3), relu, relu, Flatten, Dense::new(4), Softmax],
        ),
        (
            "two in a row around Flatten",
            "mean_squared_error",
            layers![input, Conv2D::new(3, 3), relu, Flatten, relu, Dense::new(4)],
        ),
        (
            "three in a row before MaxPool2D",
            "mean_squared_error",
            layers![input, Conv2D::new(3, 2), relu, relu, relu, MaxPool2D::new(2), Flatten, Dense::new(4)],
        ),
        (
            "last, behind Dense",
            "mean_squared_error",
            layers![input, Conv2D::new(2, 3), Flatten, Dense::new(4), relu],
        ),
        (
            "last, behind Conv2D",
            "mean_squared_error",
            layers![input, Conv2D::new(2, 3), relu, Conv2D::new(2, 2), relu],
        ),
        (
            "last, behind MaxPool2D",
            "mean_squared_error",
            layers![input, Conv2D::new(2, 3), MaxPool2D::new(2).stride(1), relu],
        ),
        (
            "around BatchNormalization",
            classify,
            layers![
                input,
                Conv2D::new(3, 3),
                relu,
                BatchNormalization::new(),
                relu,
                Conv2D::new(2, 2),
                BatchNormalization::new().epsilon(1e-2),
                relu,
                Flatten,
                Dense::new(4),
                Softmax,
            ],
        ),
        (
            "between BatchNormalization and MaxPool2D",
            "mean_squared_error",
            layers![
                input,
                BatchNormalization::new(),
                relu,
                MaxPool2D::new([3, 2]).stride([1, 2]),
                Flatten,
                Dense::new(3)
            ],
        ),
        (
            "around AveragePool2D",
            classify,
            layers![
                input,
                Conv2D::new(3, 3).padding(1),
                relu,
                AveragePool2D::new(2),
                relu,
                Conv2D::new(3, 2),
                Flatten,
                Dense::new(4),
                Softmax,
            ],
        ),
        (
            "between Conv2D and a MaxPool2D with overlap and padding",
            classify,
            layers![
                input,
                Conv2D::new(3, 3).padding([1, 2]),
                relu,
                MaxPool2D::new([3, 2]).stride([2, 1]).padding([1, 0]).dilation([1, 2]),
                Conv2D::new(2, 2),
                relu,
                MaxPool2D::new(0),
                Flatten,
                Dense::new(4),
                Softmax,
            ],
        ),
        (
            "behind MaxPool2D",
            classify,
            layers![
                input,
                Conv2D::new(3, 2),
                MaxPool2D::new(2).stride(1),
                relu,
                MaxPool2D::new(2).stride(1),
                relu,
                Conv2D::new(2, 1),
                Flatten,
                Dense::new(4),
                Softmax,
            ],
        ),
        (
            "around Dropout",
            classify,
            layers![
                input,
                Conv2D::new(3, 3),
                relu,
                Dropout::new(0.3),
                relu,
                Flatten,
                Dense::new(9),
                Dropout::new(0.5),
                relu,
                Dense::new(4),
                Softmax,
            ],
        ),
        (
            "before Softmax",
            classify,
            layers![input, Conv2D::new(2, 3), Flatten, Dense::new(4), relu, Softmax],
        ),
        (
            "around strided and dilated Conv2D",
            "mean_squared_error",
            layers![
                Input::new(2, 9, 8),
                Conv2D::new(3, [3, 2]).stride([1, 2]).padding([2, 1]),
                relu,
                Conv2D::new(4, [2, 3]).dilation([3, 1]).padding(1).without_bias(),
                relu,
                Conv2D::new(2, 3).stride(2),
                relu,
                Flatten,
                Dense::new(3).without_bias(),
            ],
        ),
    ]
}

/// Networks without a ReLU.
pub(super) fn smooth<T: Element>() -> Vec<Case<T>> {
    let input = Input::new(2, 5, 4);
    let classify = "categorical_cross_entropy";
    vec![
        (
            "sigmoid, tanh, log-sigmoid",
            "mean_squared_error",
            layers![
                input,
                Conv2D::new(3, 2),
                Sigmoid,
                Conv2D::new(2, 2),
                Tanh,
                Flatten,
                Dense::new(4),
                LogSigmoid
            ],
        ),
        (
            "arctanh of a sigmoid",
            "mean_squared_error",
            layers![input, Conv2D::new(2, 3), Sigmoid, ArcTanh, Flatten, Dense::new(3), Tanh],
        ),
        (
            "binary cross-entropy of sigmoids",
            "binary_cross_entropy",
            layers![input, Conv2D::new(2, 3), Flatten, Dense::new(3), Sigmoid],
        ),
        (
            "binary cross-entropy of one sigmoid",
            "binary_cross_entropy",
            layers![input, Conv2D::new(2, 3), Flatten, Dense::new(1), Sigmoid],
        ),
        (
            "binary cross-entropy of sigmoids of images",
            "binary_cross_entropy",
            layers![input, Conv2D::new(2, 3), Sigmoid],
        ),
        (
            "squared error of one sigmoid",
            "mean_squared_error",
            layers![input, Flatten, Dense::new(1), Sigmoid],
        ),
        (
            "binary cross-entropy of a softmax",
            "binary_cross_entropy",
            layers![input, Conv2D::new(2, 3), Flatten, Dense::new(4), Softmax],
        ),
        (
            "squared error of a softmax",
            "mean_squared_error",
            layers![Input::vector(5), Dense::new(6), Tanh, Dense::new(4), Softmax],
        ),
        (
            "softmax over channels inside",
            classify,
            layers![input, Conv2D::new(3, 2), Softmax, Flatten, Dense::new(4), Softmax],
        ),
        ("softmax over channels last", classify, layers![input, Conv2D::new(3, 2), Softmax]),
        ("cross-entropy of sigmoids", classify, layers![input, Flatten, Dense::new(4), Sigmoid]),
        (
            "batch normalisation of images and vectors",
            classify,
            layers![
                input,
                BatchNormalization::new(),
                Conv2D::new(3, 2),
                BatchNormalization::new(),
                Tanh,
                Flatten,
                Dense::new(5),
                BatchNormalization::new().epsilon(0.1),
                Dense::new(4),
                Softmax,
            ],
        ),
        (
            "pooling of whole images",
            "mean_squared_error",
            layers![
                input,
                Conv2D::new(3, 2),
                AveragePool2D::new([2, 0]).stride(1),
                Conv2D::new(4, 1),
                MaxPool2D::new([0, 1]),
                Flatten,
                Dense::new(3)
            ],
        ),
        (
            "average pooling with padding and dilation",
            "mean_squared_error",
            layers![
                input,
                Conv2D::new(3, 2).padding(1),
                AveragePool2D::new([3, 2]).stride([1, 2]).padding([1, 0]).dilation([2, 1]),
                Tanh,
                Conv2D::new(2, 1),
            ],
        ),
        (
            "max pooling with stride and gaps",
            "mean_squared_error",
            layers![
                input,
                Conv2D::new(3, 1),
                MaxPool2D::new(1).stride([2, 3]),
                Conv2D::new(2, [2, 1]),
                Flatten,
                Dense::new(3)
            ],
        ),
        (
            "dropout of the input",
            classify,
            layers![input, Dropout::new(0.5), Conv2D::new(2, 3), Flatten, Dense::new(4), Softmax],
        ),
        (
            "a convolution with many channels",
            classify,
            layers![Input::new(17, 3, 3), Conv2D::new(9, 2), Tanh, Conv2D::new(13, 2), Flatten, Softmax],
        ),
    ]
}
