#!/usr/bin/env python3
"""Packs the images of MNIST as src/zero_runs.rs unpacks them: pack.py train-images-idx3-ubyte >train-images.runs.gz"""

import gzip
import re
import struct
import sys

LONGEST = 255

content = open(sys.argv[1], "rb").read()
magic, *dims = struct.unpack(">4I", content[:16])
assert magic == 0x803, f"not an IDX file of images: {magic:#x}"

zeros, others, values = bytearray(), bytearray(), bytearray()
end = 0
pixels = content[16:]
for run in re.finditer(rb"[^\0]{1,%d}" % LONGEST, pixels):
    gap = run.start() - end
    while gap > LONGEST:
        zeros.append(LONGEST)
        others.append(0)
        gap -= LONGEST
    zeros.append(gap)
    others.append(len(run.group()))
    values += run.group()
    end = run.end()

packed = struct.pack(">4I", *dims, len(zeros)) + zeros + others + values
# No time in the header: the same images give the same file.
sys.stdout.buffer.write(gzip.compress(packed, compresslevel=9, mtime=0))
