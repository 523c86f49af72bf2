"""Prints the golden values of src/shuffle.rs and src/synthetic.rs from an independent, plain implementation.

    python3 generator.py
"""

MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def split(value):
    return [value & MASK, value >> 32]


def tag(text):
    return int.from_bytes(text, "big")


def words(seed, epoch):
    block = 0
    while True:
        yield from philox([block, *split(epoch), tag(b"shuf")], split(seed))
        block += 1


def below(bound, source):
    while True:
        product = next(source) * bound
        if product & MASK >= 2**32 % bound:
            return product >> 32


def epoch_order(seed, epoch, length):
    order, source = list(range(length)), words(seed, epoch)
    for i in range(length - 1, 0, -1):
        j = below(i + 1, source)
        order[i], order[j] = order[j], order[i]
    return order


def stream(counter_tail, key, length):
    blocks = (philox([block, *counter_tail], key) for block in range(-(-length // 16)))
    return b"".join(word.to_bytes(4, "little") for block in blocks for word in block)[:length]


def synthetic(seed, length, classes, index):
    template = stream([index % classes, 0, tag(b"tmpl")], split(seed), length)
    noise = stream([*split(index), tag(b"nois")], split(seed), length)
    return [(t + n) // 2 for t, n in zip(template, noise)]


assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
print("epoch_order(1, 0, 12) =", epoch_order(1, 0, 12))
print("epoch_order(0x0123456789abcdef, 0x100000002, 12) =", epoch_order(0x0123456789ABCDEF, 0x100000002, 12))
print("synthetic(0x0123456789abcdef, 21 bytes, 3 classes, sample 0x100000001) =")
print("   ", synthetic(0x0123456789ABCDEF, 21, 3, 0x100000001))
