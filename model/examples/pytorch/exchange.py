#!/usr/bin/env python3
"""Takes weights from isograd to PyTorch and back, and compares logits.

    exchange.py check NETWORK WEIGHTS.safetensors LOGITS.json   weights and logits of isograd, which PyTorch must agree with
    exchange.py write NETWORK WEIGHTS.safetensors LOGITS.json   weights and logits of PyTorch, for isograd
    exchange.py golden                                          model/tests/golden/pytorch.json

The pixels are a formula. `check` and `write` compute in f32. The golden logits are those of weights that are a formula,
too, and are computed in f64.
"""

import json
import pathlib
import sys

import numpy as np
import torch

from networks import NETWORKS
from tensors import load_file, save_file

SEED, SAMPLES, CLASSES, PIXELS = 131, 2, 10, 9
TOLERANCE = 1e-5


def values(stream, length, seed=SEED):
    """Pseudo-random multiples of 2^-15 in [-1, 1)."""
    parts = []
    for start in range(0, length, 1 << 20):
        i = np.arange(start, min(start + (1 << 20), length), dtype=np.uint64)
        shift = np.uint64((stream * 1640531527 + seed) % (1 << 64))
        h = ((i * np.uint64(2654435761) + shift) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        for _ in range(2):
            h = (h ^ (h >> np.uint32(16))) * np.uint32(0x045D9F3B)
        parts.append(((h >> np.uint32(16)).astype(np.float64) - 32768.0) / 32768.0)
    return np.concatenate(parts)


def stream(name):
    """A number for the name of a tensor."""
    number = 0
    for byte in name.encode():
        number = (number * 31 + byte) % (1 << 32)
    return number


def formula(name, shape):
    """The values of a tensor, in f32: weights of the size that keeps that of activations."""
    v = values(stream(name), int(np.prod(shape)))
    if len(shape) > 1:
        v = v * np.sqrt(6.0 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        v = 1.0 + 0.5 * v
    elif name.endswith("weight"):
        v = 1.0 + 0.25 * v
    else:
        v = 0.125 * v
    return torch.from_numpy(v.astype(np.float32)).reshape(shape)


def pixels(shape):
    x = values(PIXELS, SAMPLES * int(np.prod(shape))).astype(np.float32)
    return torch.from_numpy(x).reshape(SAMPLES, *shape)


def build(name):
    make, shape = NETWORKS[name]
    return make(classes=CLASSES).eval(), shape


def without_counters(state):
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@torch.no_grad()
def check(name, weights, logits):
    network, shape = build(name)
    # Strict: every name and shape must fit.
    network.load_state_dict(load_file(weights))
    found = network(pixels(shape)).numpy()
    expected = np.array(json.loads(pathlib.Path(logits).read_text()))
    off = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{name}: logits differ by {off:.1e} of the largest")
    if not off <= TOLERANCE:
        sys.exit(f"more than {TOLERANCE}")


@torch.no_grad()
def write(name, weights, logits):
    torch.manual_seed(SEED)
    network, shape = build(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    # With the counters of batches, and as DataParallel names them: an importer must cope.
    save_file({f"module.{key}": tensor for key, tensor in network.state_dict().items()}, weights)
    pathlib.Path(logits).write_text(json.dumps(network(pixels(shape)).tolist()))


@torch.no_grad()
def golden():
    table = {}
    for name in NETWORKS:
        network, shape = build(name)
        state = without_counters(network.state_dict())
        network.load_state_dict({key: formula(key, tensor.shape) for key, tensor in state.items()})
        logits = network.double()(pixels(shape).double())
        table[name] = {"shape": shape, "logits": logits.tolist()}
    folder = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
    (folder / "pytorch.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    {"check": check, "write": write, "golden": golden}[sys.argv[1]](*sys.argv[2:])
