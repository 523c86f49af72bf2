"""Writes augment.txt, the golden values of src/augment/, from Pillow and torchvision.

    python3 augment.py > augment.txt

Each line is a name, a colon, and the values of an image of three channels. Bytes are rounded, halves up.
"""

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

HEIGHT, WIDTH = 9, 12


def numbered():
    """The image of the tests in src/augment/image.rs."""
    count = 3 * HEIGHT * WIDTH
    return (np.arange(count) * 37 % 251).astype(np.uint8).reshape(3, HEIGHT, WIDTH)


def line(name, values):
    numbers = " ".join(f"{value:.6g}" for value in np.asarray(values).reshape(-1).tolist())
    print(f"{name}: {numbers}")


def resized(rows, columns, height, width):
    planes = [plane[rows, columns] for plane in numbered()]
    size = (width, height)
    return [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)) for plane in planes]


for height, width in [(3, 5), (6, 20), (13, 3), (1, 1)]:
    line(f"resize {height} {width}", resized(slice(2, 8), slice(1, 11), height, width))

floats = torch.tensor(numbered(), dtype=torch.float32)
for degrees in [30.0, -77.5, 180.0]:
    # At the edge torchvision mixes with black and then with the filling: a border of it keeps that outside.
    turned = F.rotate(F.pad(floats, 10, fill=100), degrees, InterpolationMode.BILINEAR)
    inside = turned[:, 10 : 10 + HEIGHT, 10 : 10 + WIDTH]
    line(f"rotate {degrees:g}", np.floor(inside.numpy() + 0.5))

unit = floats / 255
for factor in [0.4, 1.7]:
    line(f"brightness {factor}", F.adjust_brightness(unit, factor))
    line(f"contrast {factor}", F.adjust_contrast(unit, factor))
    line(f"contrast of one channel {factor}", F.adjust_contrast(unit[:1], factor))
    line(f"saturation {factor}", F.adjust_saturation(unit, factor))
for turn in [0.2, -0.35, 0.5]:
    line(f"hue {turn}", F.adjust_hue(unit, turn))
