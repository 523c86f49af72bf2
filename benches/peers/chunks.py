"""Ten arrays of 100 MB through five stages: what the bench `stages` does, by MiniPipe and by PyTorch.

usage: python -m pip install minipipe==0.1.9 torch numpy; python benches/peers/chunks.py [runs]

A DataLoader has two workers, in which the three middle stages are three calls; its arrays come through shared memory.
Arrays are made anew, or one that was made before is handed on ten times. Each line is the median of the runs.
"""

import logging
import statistics
import sys
import time

import minipipe
import numpy
import torch

CHUNKS, LEN = 10, 12_500_000


def same(chunk):
    return chunk


def sink(chunk):
    assert chunk.shape == (LEN,)


def by_minipipe(make):
    def chunks():
        for number in range(CHUNKS):
            yield make(number)

    line = minipipe.PipeLine()
    line.add(minipipe.Source(chunks, name="source"), buffer_size=3)
    for name in ("one", "two", "three"):
        line.add(minipipe.Transform(same, name=name), buffer_size=3)
    line.add(minipipe.Sink(sink, name="sink"))
    line.build()
    start = time.perf_counter()
    line.run()
    line.close()
    return time.perf_counter() - start


class Chunks(torch.utils.data.Dataset):
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return CHUNKS

    def __getitem__(self, number):
        return same(same(same(torch.from_numpy(self.make(number)))))


def by_torch(make):
    loader = torch.utils.data.DataLoader(Chunks(make), batch_size=None, num_workers=2)
    start = time.perf_counter()
    count = 0
    for chunk in loader:
        sink(chunk)
        count += 1
    assert count == CHUNKS
    return time.perf_counter() - start


if __name__ == "__main__":
    logging.disable(logging.INFO)
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    one = numpy.full(LEN, 0.0)
    for how, make in (("made", lambda number: numpy.full(LEN, float(number))), ("handed on", lambda _: one)):
        for name, run in (("MiniPipe 0.1.9", by_minipipe), (f"PyTorch {torch.__version__} DataLoader", by_torch)):
            print(f"{name}, {how}: {statistics.median(run(make) for _ in range(runs)):.3f} s", flush=True)
