#!/usr/bin/env python3
"""Packs the images of MNIST as src/pixel_runs.rs unpacks them: pack.py train-images-idx3-ubyte >train-images.runs.gz"""

import re
import struct
import sys

import zopfli.gzip  # pip install zopfli: 3 % smaller than zlib makes it

LONGEST = 255

content = open(sys.argv[1], "rb").read()
magic, *dims = struct.unpack(">4I", content[:16])
assert magic == 0x803, f"not an IDX file of images: {magic:#x}"

steps, lengths, values = bytearray(), bytearray(), bytearray()
start = 0
for run in re.finditer(rb"[^\0]{1,%d}" % LONGEST, content[16:]):
    step = run.start() - start
    while step > LONGEST:
        steps.append(LONGEST)
        lengths.append(0)
        step -= LONGEST
    steps.append(step)
    lengths.append(len(run.group()))
    values += run.group()
    start = run.start()

packed = struct.pack(">4I", *dims, len(steps)) + steps + lengths + values
# The header has no time: the same images give the same file.
sys.stdout.buffer.write(zopfli.gzip.compress(bytes(packed), numiterations=5))
