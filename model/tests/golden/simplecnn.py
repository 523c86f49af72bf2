#!/usr/bin/env python3
"""Writes simplecnn.json: what PyTorch computes for simplecnn in f64. The test `golden.rs` holds isograd to it.

Run it beside itself with PyTorch and NumPy installed: `python simplecnn.py`. Weights and data are a formula of integers
(`values`), which the test has too, so that the file holds results only. All inputs have at most 17 significant bits: they
are the same numbers in f32 and f64.
"""

import json
import pathlib
import re

import numpy as np
import torch

# Name in isograd, dimensions, and the power of two that the values of the tensor are divided by.
PARAMETERS = [
    ("conv2d1.weight", (4, 1, 3, 3), 2),
    ("conv2d1.bias", (4,), 8),
    ("conv2d2.weight", (8, 4, 3, 3), 4),
    ("conv2d2.bias", (8,), 8),
    ("dense1.weight", (128, 1152), 16),
    ("dense1.bias", (128,), 8),
    ("dense2.weight", (10, 128), 8),
    ("dense2.bias", (10,), 8),
]
PIXELS, LABELS = len(PARAMETERS), len(PARAMETERS) + 1
BATCHES = (5, 48)
# Of the first three hundred the one that keeps the network farthest from its kinks: there f32 takes the branches of f64.
SEED = 131
STEPS = 10
# Of gradients with more elements than this, every STRIDE-th is written, with the sum and the norm of all.
MAX_WHOLE = 10_000
STRIDE = 2357
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.001, alpha=0.9, eps=1e-7),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001, betas=(0.9, 0.999), eps=1e-7),
}


def words(stream, count, seed=SEED):
    """`count` pseudo-random 16-bit integers: a hash of the stream's number and the position."""
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + stream * 1640531527 + seed) & 0xFFFFFFFF
    for _ in range(2):
        h ^= h >> 16
        h = (h * 0x045D9F3B) & 0xFFFFFFFF
    return (h >> 16).astype(np.int64)


def values(stream, dims, seed=SEED):
    """Multiples of 2^-15 in [-1, 1)."""
    return torch.from_numpy((words(stream, int(np.prod(dims)), seed) - 32768) / 32768).reshape(dims)


def parameters():
    tensors = [values(stream, dims) / divisor for stream, (_, dims, divisor) in enumerate(PARAMETERS)]
    return [tensor.requires_grad_() for tensor in tensors]


def samples(count):
    """Pixels `[count, 1, 28, 28]`, and labels."""
    return values(PIXELS, (count, 1, 28, 28)), torch.from_numpy(words(LABELS, count) % 10)


def forward(p, x):
    """The logits, and the smallest distance of the network from a point where it is not differentiable."""
    functional = torch.nn.functional
    first = functional.conv2d(x, p[0], p[1])
    second = functional.conv2d(first.relu(), p[2], p[3])
    windows = second.relu().unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    pooled = functional.max_pool2d(second.relu(), 2)
    third = functional.linear(pooled.flatten(1), p[4], p[5])
    with torch.no_grad():
        top = windows.topk(2, dim=4).values
        gaps = (top[..., 0] - top[..., 1])[top[..., 0] > 0]
        margin = min(float(t.abs().min()) for t in (first, second, third, gaps))
    return functional.linear(third.relu(), p[6], p[7]), margin


def gradient(tensor):
    flat = tensor.detach().flatten()
    if flat.numel() <= MAX_WHOLE:
        return {"whole": flat.tolist()}
    return {"every": STRIDE, "sampled": flat[::STRIDE].tolist(), "sum": float(flat.sum()), "norm": float(flat.norm())}


def batch(count):
    p, (x, labels) = parameters(), samples(count)
    logits, margin = forward(p, x)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    return {
        "samples": count,
        "margin": margin,
        "logits": logits.tolist(),
        "loss": loss.item(),
        "gradients": {name: gradient(t.grad) for (name, _, _), t in zip(PARAMETERS, p)},
    }


def curve(make_optimizer):
    """The loss of the largest batch before each step and after the last."""
    p, (x, labels) = parameters(), samples(BATCHES[-1])
    optimizer, losses = make_optimizer(p), []
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(forward(p, x)[0], labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    losses.append(torch.nn.functional.cross_entropy(forward(p, x)[0], labels).item())
    return losses


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    golden = {
        "torch": torch.__version__,
        "batches": [batch(count) for count in BATCHES],
        "curves": {name: curve(make) for name, make in OPTIMIZERS.items()},
    }
    # A line for each list of numbers.
    text = re.sub(r"\n\s+(?=[-\d]|\][,\n])", " ", json.dumps(golden, indent=1))
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
