#!/usr/bin/env python3
"""Writes branches.json: what PyTorch computes, in f64, for networks that branch. The test `branches.rs` holds isograd to it.

Run it beside simplecnn.py with PyTorch and NumPy installed: `python branches.py`. Weights and data are the formula of
simplecnn.py, which the test has too, so that the file holds results only. Parameters have the names that they have in
isograd; the number of a parameter's stream is its place among the sorted names.
"""

import json
import math
import pathlib

import simplecnn
import torch
from torch import nn
from torch.nn import functional as F

SEED, CLASSES, SAMPLES = 17, 10, 3
PIXELS, LABELS = 10_000, 10_001
# So many elements of each gradient are written, from its start and at equal distances.
SHOWN = 5


def conv(i, o, k, stride=1, groups=1):
    return nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False)


class Unit(nn.Module):
    """A residual block: basic, or a bottleneck with the stride in its first convolution."""

    def __init__(self, i, width, stride, bottleneck):
        super().__init__()
        o = width * (4 if bottleneck else 1)
        if bottleneck:
            convs = [conv(i, width, 1, stride), conv(width, width, 3), conv(width, o, 1)]
        else:
            convs = [conv(i, width, 3, stride), conv(width, width, 3)]
        self.count = len(convs)
        for index, c in enumerate(convs, 1):
            setattr(self, f"conv{index}", c)
            setattr(self, f"bn{index}", nn.BatchNorm2d(c.out_channels))
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        y = x
        for index in range(1, self.count + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            y = y if index == self.count else F.relu(y)
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Head(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Linear(channels, CLASSES)

    def head(self, x):
        return self.fc(x.mean((2, 3)))


class Resnet20(Head):
    def __init__(self):
        super().__init__(64)
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        i = 16
        for stage, width in enumerate([16, 32, 64], 1):
            units = []
            for k in range(3):
                units.append(Unit(i, width, 2 if stage > 1 and k == 0 else 1, False))
                i = width
            setattr(self, f"layer{stage}", nn.Sequential(*units))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.head(self.layer3(self.layer2(self.layer1(x))))


class Bottleneck(Head):
    """A bottleneck with a projection, and one without."""

    def __init__(self):
        super().__init__(16)
        self.first, self.second = Unit(4, 4, 2, True), Unit(16, 4, 1, True)

    def forward(self, x):
        return self.head(self.second(self.first(x)))


class DenseLayer(nn.Module):
    def __init__(self, i, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), conv(i, 4 * growth, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth, 3)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class Dense(Head):
    """A dense block of three layers and a transition."""

    def __init__(self):
        super().__init__(5)
        layers = {f"denselayer{k + 1}": DenseLayer(4 + 2 * k, 2) for k in range(3)}
        self.block = nn.Sequential()
        for name, layer in layers.items():
            self.block.add_module(name, layer)
        self.norm, self.conv = nn.BatchNorm2d(10), conv(10, 5, 1)

    def forward(self, x):
        x = self.block(x)
        return self.head(F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2))


class Basic(nn.Module):
    def __init__(self, i, o, k):
        super().__init__()
        self.conv, self.bn = conv(i, o, k), nn.BatchNorm2d(o, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Inception(Head):
    def __init__(self):
        super().__init__(3 + 5 + 2 + 4)
        self.branch1 = Basic(4, 3, 1)
        self.branch2 = nn.Sequential(Basic(4, 3, 1), Basic(3, 5, 3))
        self.branch3 = nn.Sequential(Basic(4, 2, 1), Basic(2, 2, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Basic(4, 4, 1))

    def forward(self, x):
        return self.head(torch.cat([b(x) for b in (self.branch1, self.branch2, self.branch3, self.branch4)], 1))


class Depthwise(Head):
    """Depthwise convolutions of stride 1 and 2, each with a pointwise one behind it."""

    def __init__(self):
        super().__init__(8)
        self.depthwise1, self.norm1 = conv(4, 4, 3, groups=4), nn.BatchNorm2d(4)
        self.pointwise1, self.norm2 = conv(4, 6, 1), nn.BatchNorm2d(6)
        self.depthwise2, self.norm3 = conv(6, 6, 3, 2, 6), nn.BatchNorm2d(6)
        self.pointwise2, self.norm4 = conv(6, 8, 1), nn.BatchNorm2d(8)

    def forward(self, x):
        x = F.relu(self.norm2(self.pointwise1(F.relu(self.norm1(self.depthwise1(x))))))
        return self.head(F.relu(self.norm4(self.pointwise2(F.relu(self.norm3(self.depthwise2(x)))))))


NETWORKS = {
    "resnet20": (Resnet20, (3, 32, 32)),
    "bottleneck": (Bottleneck, (4, 8, 8)),
    "dense": (Dense, (4, 8, 8)),
    "inception": (Inception, (4, 8, 8)),
    "depthwise": (Depthwise, (4, 8, 8)),
}


def fill(net):
    """Weights of about the size that keeps activations at 1; scales around 1."""
    with torch.no_grad():
        for stream, (name, p) in enumerate(sorted(net.named_parameters())):
            v = simplecnn.values(stream, p.shape, SEED)
            if p.dim() > 1:
                fan_in = p[0].numel()
                v = v / 2.0 ** math.floor(math.log2(math.sqrt(fan_in) / 2))
            elif name.endswith("weight"):
                v = 1 + v / 4
            else:
                v = v / 8
            p.copy_(v)


def golden(make, shape):
    net = make().double().train()
    fill(net)
    x = simplecnn.values(PIXELS, (SAMPLES, *shape), SEED)
    labels = torch.from_numpy(simplecnn.words(LABELS, SAMPLES, SEED) % CLASSES)
    logits = net(x)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    gradients = {}
    for name, p in net.named_parameters():
        flat = p.grad.flatten()
        stride = max(1, flat.numel() // SHOWN)
        gradients[name] = {"norm": float(flat.norm()), "stride": stride, "shown": flat[::stride][:SHOWN].tolist()}
    net.eval()
    return {
        "logits": logits.tolist(),
        "loss": loss.item(),
        "gradients": gradients,
        # With the running statistics that the pass above has left.
        "used": net(x).tolist(),
    }


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    out = {"torch": torch.__version__} | {name: golden(*net) for name, net in NETWORKS.items()}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(out, indent=1).replace("\n     ", " ").replace("\n    ]", " ]") + "\n")


if __name__ == "__main__":
    main()
