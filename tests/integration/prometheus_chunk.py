"""Chunks as Prometheus encodes them (tsdb/docs/format/chunks.md), decoded bit by bit: what remote
read streams. Samples are (timestamp, float) or (timestamp, Histogram)."""
import struct
from dataclasses import dataclass

XOR, HISTOGRAM, FLOAT_HISTOGRAM = 1, 2, 3
STALE_BITS = 0x7ff0000000000002


@dataclass
class Histogram:
    reset: int # of the first of a chunk: 0 unknown, 1 yes, 2 no, 3 a gauge
    schema: int
    zero_threshold: float
    count: float
    zero_count: float
    sum_bits: int
    positive_spans: list # (offset, length)
    negative_spans: list
    positive: list # counts of buckets
    negative: list
    bounds: list


class Bits:
    def __init__(self, data):
        self.value, self.left = int.from_bytes(data, "big"), len(data) * 8

    def take(self, count):
        self.left -= count
        assert self.left >= 0
        return self.value >> self.left & ((1 << count) - 1)

    def signed(self, count):
        """Up to and with 2^(count-1)."""
        value = self.take(count)
        return value - (1 << count) if value > 1 << (count - 1) else value

    def ones(self, most):
        count = 0
        while count < most and self.take(1):
            count += 1
        return count

    def double(self):
        return struct.unpack("<d", struct.pack("<Q", self.take(64)))[0]

    def byte_varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(8)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def varbit(self, is_signed=True):
        ones = self.ones(8)
        if ones == 0:
            return 0
        size = (3, 6, 9, 12, 18, 25, 56, 64)[ones - 1]
        value = self.signed(size) if is_signed else self.take(size)
        return value - (1 << 64) if is_signed and size == 64 and value >= 1 << 63 else value


class Xor:
    """A value of which the bits that change are kept."""

    def __init__(self, bits):
        self.bits, self.leading, self.trailing = bits, 0, 0

    def next(self, source):
        if source.take(1):
            if source.take(1):
                self.leading = source.take(5)
                self.trailing = 64 - self.leading - (source.take(6) or 64)
            self.bits ^= source.take(64 - self.leading - self.trailing) << self.trailing
        return self.bits


def as_float(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def decode(encoding, data):
    bits = Bits(data)
    count = bits.take(16)
    samples = _floats(bits, count) if encoding == XOR else \
        _histograms(bits, count, encoding == FLOAT_HISTOGRAM)
    # Prometheus begins a byte before it has a bit for it.
    assert bits.left <= 8 and bits.take(bits.left) == 0
    return samples


def _floats(bits, count):
    zigzag = bits.byte_varint()
    at, delta = zigzag >> 1 ^ -(zigzag & 1), 0
    value = Xor(bits.take(64))
    samples = [(at, value.bits)]
    for number in range(1, count):
        if number == 1:
            delta = bits.byte_varint()
        else:
            delta += _change(bits)
        at += delta
        samples.append((at, value.next(bits)))
    return samples


def _change(bits):
    size = (0, 14, 17, 20, 64)[bits.ones(4)]
    return bits.signed(size) if size else 0


def _histograms(bits, count, is_float):
    reset = {0: 0, 0x80: 1, 0x40: 2, 0xc0: 3}[bits.take(8)]
    threshold = bits.take(8)
    threshold = 0.0 if threshold == 0 else bits.double() if threshold == 255 else 2.0 ** (threshold - 244)
    schema = bits.varbit()
    spans = [[], []]
    for side in spans:
        for _ in range(bits.varbit(False)):
            length = bits.varbit(False)
            side.append((bits.varbit(), length))
    bounds = []
    if schema == -53:
        for _ in range(bits.varbit(False)):
            scaled = bits.varbit(False)
            bounds.append((scaled - 1) / 1000 if scaled else bits.double())
    sizes = [sum(length for _, length in side) for side in spans]
    read = _float_samples if is_float else _integer_samples
    return [(at, Histogram(reset, schema, threshold, total, zero, sum_bits, spans[0], spans[1],
                           buckets[:sizes[0]], buckets[sizes[0]:], bounds))
            for at, total, zero, sum_bits, buckets in read(bits, count, sizes)]


def _float_samples(bits, count, sizes):
    at, delta = bits.varbit(), 0
    values = [Xor(bits.take(64)) for _ in range(3 + sum(sizes))]
    for number in range(count):
        if number > 0:
            delta += bits.varbit()
            at += delta
            for i, value in enumerate(values):
                # The end of a series, which Prometheus puts behind others, has no buckets.
                if i < 3 or values[2].bits != STALE_BITS:
                    value.next(bits)
        floats = [as_float(value.bits) for value in values]
        yield at, floats[0], floats[1], values[2].bits, floats[3:]


def _integer_samples(bits, count, sizes):
    at, delta = bits.varbit(), 0
    numbers = [bits.varbit(False), bits.varbit(False)]
    total = Xor(bits.take(64))
    numbers += [bits.varbit() for _ in range(sum(sizes))]
    deltas = [0] * len(numbers)
    for number in range(count):
        if number > 0:
            delta += bits.varbit()
            at += delta
            for i in range(len(numbers)):
                if i == 2:
                    total.next(bits)
                if i >= 2 and total.bits == STALE_BITS:
                    break
                deltas[i] += bits.varbit()
                numbers[i] += deltas[i]
            if len(numbers) == 2:
                total.next(bits)
        buckets, start = [], 2
        for size in sizes:
            running = 0
            for step in numbers[start:start + size]:
                running += step
                buckets.append(running)
            start += size
        yield at, numbers[0], numbers[1], total.bits, buckets
