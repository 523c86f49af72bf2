#!/usr/bin/env python3
"""Makes `arrays/` beside it with numpy, safetensors and tarfile: the same few samples in all formats of arrays and tar files.

usage: arrays.py        (numpy 2, safetensors, Pillow)

Sample i of N has the value (10 i + j) mod 256 at place j of its [C, H, W]; its class is i mod 3.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent / "arrays"
OUT.mkdir(exist_ok=True)


def samples(n, shape=(3, 4, 5), first=0):
    size = int(np.prod(shape))
    return ((10 * np.arange(first, first + n)[:, None] + np.arange(size)) % 256).astype(np.uint8).reshape(n, *shape)


def classes(n, first=0, dtype=np.int64):
    return (np.arange(first, first + n) % 3).astype(dtype)


x, y = samples(6), classes(6)
np.savez(OUT / "nchw.npz", x_train=x, y_train=y, x_test=samples(2, first=6), y_test=classes(2, 6))
np.savez_compressed(OUT / "nhwc.npz", images=x.transpose(0, 2, 3, 1).copy(), labels=y.astype(np.uint8)[:, None])
np.savez(OUT / "from_one.npz", x=x, y=(y + 1).astype(np.int16))
np.savez(OUT / "floats.npz", data=x.astype(np.float64) / 4, targets=(y[:, None] + [0.5, 0.25]).astype(">f4"))
np.savez(OUT / "pickled.npz", x=x, y=np.array([{}, [], 1, 2, 3, 4], dtype=object))
np.savez(OUT / "by_columns.npz", x=np.asfortranarray(x), y=y)
np.savez(OUT / "unequal.npz", x=x, y=y[:5])
np.savez(OUT / "other_names.npz", weights=x, bias=y)
names = ["oak", "bär", "ash"]
np.savez(OUT / "named.npz", x=x, y=y, class_names=np.array(names))
np.savez_compressed(OUT / "texts.npz", x=x, y=np.array(names, dtype=">U5")[y], x_test=x[:2], y_test=np.array([b"oak", b"ash"]))
save_file({"x": x, "y": y}, OUT / "named.safetensors", metadata={"class_names": json.dumps(names)})
save_file({"train_images": x, "train_labels": y, "test_images": samples(2, first=6), "test_labels": classes(2, 6)}, OUT / "tensors.safetensors")
for part, first, n in (("a", 0, 4), ("b", 4, 3), ("c", 7, 5)):
    (OUT / "stored").mkdir(exist_ok=True)
    (OUT / "packed").mkdir(exist_ok=True)
    np.savez(OUT / "stored" / f"{part}.npz", x=samples(n, first=first), y=classes(n, first, np.int16))
    (OUT / "chunks").mkdir(exist_ok=True)
    np.savez_compressed(OUT / "chunks" / f"{part}.npz", x=samples(n, first=first), y=np.array(names)[classes(n, first)])
    np.savez_compressed(OUT / "packed" / f"{part}.npz", x=samples(n, first=first), y=classes(n, first, np.int16))


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def png(index):
    data = io.BytesIO()
    Image.fromarray(samples(1, first=index)[0].transpose(1, 2, 0).copy()).save(data, "PNG")
    return data.getvalue()


(OUT / "shards").mkdir(exist_ok=True)
for shard, (first, n) in enumerate(((0, 3), (3, 4))):
    with tarfile.open(OUT / "shards" / f"train-{shard:03}.tar", "w") as archive:
        for index in range(first, first + n):
            add(archive, f"./data/{index:04}.png", png(index))
            add(archive, f"./data/{index:04}.txt", b"a caption")
            add(archive, f"./data/{index:04}.cls", f"{index % 3}\n".encode())
with tarfile.open(OUT / "shards" / "val-000.tar", "w") as archive:
    for index in (7, 8):
        add(archive, f"{index:04}.json", json.dumps({"label": index % 3, "id": index}).encode())
        add(archive, f"{index:04}.png", png(index))
