#!/usr/bin/env python3
"""Writes zoo.json: the parameters that torchvision's networks have, by the names of isograd's zoo.

Run it beside itself with torchvision installed: `python zoo.py`. Of each network, the file holds the number of parameters
and the SHA-256 of the lines `name dim dim ...` of all tensors, sorted. Networks for CIFAR-10 are torchvision's with another
layer in front.
"""

import hashlib
import json
import pathlib

import torch
import torchvision.models as tv
from torch import nn


def cifar_resnet(make):
    net = make(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return net


def cifar_densenet(growth, blocks, start):
    net = tv.DenseNet(growth, blocks, start, num_classes=10)
    net.features.conv0 = nn.Conv2d(3, start, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        delattr(net.features, name)
    return net


NETWORKS = {
    "alexnet_imagenet": tv.alexnet,
    "vgg11": tv.vgg11,
    "vgg11_imagenet": tv.vgg11,
    "vgg16": tv.vgg16,
    "vgg16_imagenet": tv.vgg16,
    "vgg19_imagenet": tv.vgg19,
    "resnet18_imagenet": tv.resnet18,
    "resnet34_imagenet": tv.resnet34,
    "resnet50_imagenet": tv.resnet50,
    "resnet50v15_imagenet": tv.resnet50,
    "resnet101_imagenet": tv.resnet101,
    "resnet152_imagenet": tv.resnet152,
    "densenet121_imagenet": tv.densenet121,
    "densenet161_imagenet": tv.densenet161,
    "densenet169_imagenet": tv.densenet169,
    "densenet201_imagenet": tv.densenet201,
    "googlenet_imagenet": lambda: tv.googlenet(aux_logits=False, init_weights=False),
    "inceptionv3_imagenet": lambda: tv.inception_v3(aux_logits=False, init_weights=False),
    "mobilenetv2_imagenet": tv.mobilenet_v2,
    "resnet18_cifar10": lambda: cifar_resnet(tv.resnet18),
    "resnet34_cifar10": lambda: cifar_resnet(tv.resnet34),
    "resnet50_cifar10": lambda: cifar_resnet(tv.resnet50),
    "resnet101_cifar10": lambda: cifar_resnet(tv.resnet101),
    "resnet152_cifar10": lambda: cifar_resnet(tv.resnet152),
    "densenet121_cifar10": lambda: cifar_densenet(32, (6, 12, 24, 16), 64),
    "densenet161_cifar10": lambda: cifar_densenet(48, (6, 12, 36, 24), 96),
    "densenet169_cifar10": lambda: cifar_densenet(32, (6, 12, 32, 32), 64),
    "densenet201_cifar10": lambda: cifar_densenet(32, (6, 12, 48, 32), 64),
}


def describe(make):
    with torch.device("meta"):
        parameters = dict(make().named_parameters())
    lines = sorted(" ".join([name, *map(str, p.shape)]) for name, p in parameters.items())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"parameters": sum(p.numel() for p in parameters.values()), "sha256": digest}


def main():
    table = {name: describe(make) for name, make in NETWORKS.items()}
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
