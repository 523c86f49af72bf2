#!/usr/bin/env python3
"""Makes `images/` and `images.json` beside it with Pillow: files in all formats, depths and colours, and what Pillow decodes and resizes them to.

usage: images.py        (Pillow 11 or newer)
"""

import json
import random
from pathlib import Path

from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
OUT = HERE / "images"
OUT.mkdir(exist_ok=True)
random.seed(1)


def picture(width, height):
    """Smooth colours with a few hard edges."""
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            edge = 90 if (x // 5 + y // 3) % 2 else 0
            image.putpixel((x, y), (255 * x // width, 255 * y // height, (edge + 2 * x + 3 * y) % 256))
    return image


base = picture(23, 17)
saved = {
    "rgb.png": dict(image=base),
    "grey.png": dict(image=base.convert("L")),
    "palette.png": dict(image=base.quantize(16)),
    "rgba.png": dict(image=base.convert("RGBA")),
    "one_bit.png": dict(image=base.convert("1")),
    "grey16.png": dict(image=Image.frombytes("I;16", (23, 17), bytes(random.randrange(256) for _ in range(23 * 17 * 2)))),
    "rgb.bmp": dict(image=base),
    "palette.bmp": dict(image=base.quantize(16)),
    "lossless.webp": dict(image=base, lossless=True),
    "lossy.webp": dict(image=base, quality=80),
    "baseline.jpg": dict(image=base, quality=90, subsampling=0),
    "halved.jpg": dict(image=base, quality=90, subsampling=2),
    "progressive.jpg": dict(image=base, quality=90, progressive=True, subsampling=0),
    "grey.jpg": dict(image=base.convert("L"), quality=90),
    "cmyk.jpg": dict(image=base.convert("CMYK"), quality=90),
}
for orientation in (2, 3, 5, 6, 8):
    tagged = Image.Exif()
    tagged[0x0112] = orientation
    saved[f"turned_{orientation}.jpg"] = dict(image=base, quality=90, subsampling=0, exif=tagged)

decoded = {}
for name, options in saved.items():
    options = dict(options)
    image = options.pop("image")
    image.save(OUT / name, **options)
    with Image.open(OUT / name) as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode == "I;16":
            # Pillow clips here; the upper byte, rounded, is meant.
            values = [round(value * 255 / 65535) for value in upright.getdata()]
            upright = Image.new("L", upright.size)
            upright.putdata(values)
        pixels = upright.convert("RGB")
    decoded[name] = {"width": pixels.width, "height": pixels.height, "rgb": list(pixels.tobytes())}

resized = []
for box, size in [
    ((0, 0, 23, 17), (8, 6)),
    ((0, 0, 23, 17), (23, 17)),
    ((0, 0, 23, 17), (40, 29)),
    ((0, 0, 23, 17), (1, 1)),
    ((2.5, 1.25, 20.75, 16.5), (7, 9)),
    ((3, 2, 15, 14), (12, 12)),
]:
    image = base.resize(size, Image.Resampling.BILINEAR, box=box)
    resized.append({"box": box, "size": size, "rgb": list(image.tobytes())})

# As torchvision's Resize(12) and CenterCrop(10).
shorter = base.resize((12 * 23 // 17, 12), Image.Resampling.BILINEAR)
left, top = round((shorter.width - 10) / 2), round((shorter.height - 10) / 2)
fitted = list(shorter.crop((left, top, left + 10, top + 10)).tobytes())
grey = list(base.convert("L").tobytes())
(HERE / "images.json").write_text(
    json.dumps({"decoded": decoded, "resized": resized, "fitted": fitted, "grey": grey}, separators=(",", ":"))
)
