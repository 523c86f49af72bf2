#!/usr/bin/env python3
"""Writes layers.json: what PyTorch computes in f64 for layers and losses. The test `golden_layers.rs` holds isograd to it.

Run it beside simplecnn.py with PyTorch and NumPy installed: `python layers.py`. Inputs are the formula of simplecnn.py, so
that the file holds results only.

A layer stands behind a shift, which adds a parameter to each feature. The loss is the squared error of the outputs, from
the vector that is 1 at the label. So the gradient by the shift is that by the layer's input, summed over the samples.
"""

import json
import pathlib
import re

import torch
from simplecnn import values, words
from torch.nn import functional as F

SAMPLES = 3
X, SHIFT, LABELS, WEIGHTS, TARGETS = 20, 21, 22, 23, 24
CLASSES = 7

# Name, shape of a sample, and the function of `[N, C, H, W]`.
LAYERS = [
    ("leaky_relu", (2, 3, 2), F.leaky_relu),
    ("leaky_relu_0.2", (2, 3, 2), lambda x: F.leaky_relu(x, 0.2)),
    ("relu6", (2, 3, 2), F.relu6),
    ("silu", (2, 3, 2), F.silu),
    ("gelu", (2, 3, 2), F.gelu),
    ("gelu_tanh", (2, 3, 2), lambda x: F.gelu(x, approximate="tanh")),
    ("hard_swish", (2, 3, 2), F.hardswish),
    # The gradient of F.hardsigmoid has a sixth in f32 precision, also in f64.
    ("hard_sigmoid", (2, 3, 2), lambda x: F.relu6(x + 3) / 6),
    ("elu", (2, 3, 2), F.elu),
    ("elu_0.5", (2, 3, 2), lambda x: F.elu(x, 0.5)),
    ("softplus", (2, 3, 2), F.softplus),
    ("lrn", (7, 2, 2), lambda x: F.local_response_norm(x, 5)),
    ("lrn_strong", (7, 2, 2), lambda x: F.local_response_norm(x, 5, alpha=0.5, beta=0.75, k=2.0)),
    ("lrn_even", (7, 2, 2), lambda x: F.local_response_norm(x, 4, alpha=1.0, beta=0.6, k=1.0)),
    ("zero_padding", (2, 3, 2), lambda x: F.pad(x, (3, 1, 1, 0))),
    ("global_average", (5, 4, 3), lambda x: F.adaptive_avg_pool2d(x, 1)),
    ("global_max", (5, 4, 3), lambda x: F.adaptive_max_pool2d(x, 1)),
    ("adaptive_average", (2, 5, 7), lambda x: F.adaptive_avg_pool2d(x, (3, 2))),
    ("adaptive_average_repeats", (2, 2, 3), lambda x: F.adaptive_avg_pool2d(x, (3, 7))),
    ("adaptive_max", (2, 5, 7), lambda x: F.adaptive_max_pool2d(x, (3, 2))),
    ("max_ceil", (2, 6, 8), lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    ("max_ceil_small", (2, 2, 2), lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    ("max_ceil_padded", (2, 5, 4), lambda x: F.max_pool2d(x, 2, 3, padding=1, ceil_mode=True)),
    ("max_stem", (2, 7, 6), lambda x: F.max_pool2d(x, 3, 2, padding=1)),
    ("average", (2, 5, 4), lambda x: F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)),
    ("average_counted", (2, 5, 4), lambda x: F.avg_pool2d(x, 3, 1, padding=1)),
    ("average_ceil", (2, 6, 5), lambda x: F.avg_pool2d(x, 3, 2, padding=1, ceil_mode=True, count_include_pad=False)),
    ("average_ceil_counted", (2, 6, 5), lambda x: F.avg_pool2d(x, 3, 2, padding=1, ceil_mode=True)),
]


def labels(classes):
    return torch.from_numpy(words(LABELS, SAMPLES) % classes)


def layer(shape, function):
    x = values(X, (SAMPLES, *shape)) * 8
    shift = values(SHIFT, shape).requires_grad_()
    y = function(x + shift)
    outputs = y[0].numel()
    loss = F.mse_loss(y.flatten(1), F.one_hot(labels(outputs), outputs).to(y.dtype))
    loss.backward()
    return {"y": y.flatten().tolist(), "loss": loss.item(), "gradient": shift.grad.flatten().tolist()}


def hinge(scores, label):
    own = scores.gather(1, label[:, None])[:, 0]
    others = scores.masked_fill(F.one_hot(label, CLASSES).bool(), -torch.inf)
    return (1 + others.max(1).values - own).clamp(min=0).sum()


def loss(function):
    x = (values(X, (SAMPLES, CLASSES)) * 4).requires_grad_()
    value = function(x)
    value.backward()
    return {"loss": value.item(), "gradient": x.grad.flatten().tolist()}


def main():
    label, weights = labels(CLASSES), values(WEIGHTS, (CLASSES,)) / 2 + 1
    targets = values(TARGETS, (SAMPLES, CLASSES)) * 4
    losses = {
        "smoothed": lambda x: F.cross_entropy(x, label, reduction="sum", label_smoothing=0.1),
        "weighted": lambda x: F.cross_entropy(x, label, weights, reduction="sum"),
        "both": lambda x: F.cross_entropy(x, label, weights, reduction="sum", label_smoothing=0.1),
        "hinge": lambda x: hinge(x, label),
        "absolute": lambda x: F.l1_loss(x, targets, reduction="sum"),
        "huber": lambda x: F.huber_loss(x, targets, reduction="sum", delta=1.5),
    }
    golden = {
        "torch": torch.__version__,
        "layers": {name: layer(shape, function) for name, shape, function in LAYERS},
        "losses": {name: loss(function) for name, function in losses.items()},
    }
    # A line for each list of numbers.
    text = re.sub(r"\n\s+(?=[-\d]|\][,\n])", " ", json.dumps(golden, indent=1))
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
