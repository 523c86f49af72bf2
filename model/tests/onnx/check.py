#!/usr/bin/env python3
"""Checks the .onnx files of a folder with onnx, and runs them with onnxruntime.

Beside x.onnx, x.x holds samples, [2, ...], and x.y the outputs that are expected of them, both f32.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["model"] == path.stem and json.loads(metadata["class_names"]) == ["cat", "dog"], metadata
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.name == "input" and given.shape[0] == "batch", given
    x = np.fromfile(path.with_suffix(".x"), np.float32).reshape(2, *given.shape[1:])
    (y,) = session.run(None, {"input": x})
    expected = np.fromfile(path.with_suffix(".y"), np.float32).reshape(y.shape)
    off = np.abs(y - expected).max() / np.abs(expected).max()
    # Any number of samples goes through at once.
    (one,) = session.run(None, {"input": x[:1]})
    assert one.shape == (1, *y.shape[1:]), one.shape
    print(f"{path.stem}: outputs differ by {off:.1e} of the largest")
    return off <= TOLERANCE


results = [check(path) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))]
assert results, "no files"
sys.exit(0 if all(results) else f"more than {TOLERANCE}")
