"""Reads and writes safetensors files with numpy and PyTorch alone.

The package `safetensors` does the same: `safetensors.torch.load_file` and `save_file`.
"""

import json

import numpy as np
import torch

TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}


def load_file(path):
    """The tensors of a file, by name."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        start, end = about["data_offsets"]
        values = np.frombuffer(data[start:end], TYPES[about["dtype"]]).reshape(about["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    return tensors


def save_file(tensors, path):
    """Writes tensors by name."""
    names = {kind: name for name, kind in TYPES.items()}
    header, parts, end = {}, [], 0
    for name, tensor in tensors.items():
        values = np.ascontiguousarray(tensor.detach().numpy())
        part = values.tobytes()
        offsets = [end, end + len(part)]
        header[name] = {"dtype": names[values.dtype.type], "shape": list(tensor.shape), "data_offsets": offsets}
        parts.append(part)
        end += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(parts)
