"""Native histograms of every kind, for what only Prometheus 3 evaluates: beside the samples of data.py."""
import random
import struct

import data # also makes the modules of tests/integration known
from data import INSTANCES, NAN, STALE_MARKER, Series, times, without
from remote_write import field_bytes, field_double, field_varint, varint, zigzag

CUSTOM_BUCKETS = -53
HINT_UNKNOWN, HINT_RESET, HINT_NO_RESET, HINT_GAUGE = range(4)


def spans_of(counts):
    """Spans of a {bucket: count}, and the counts in their order."""
    spans, ordered, end = [], [], 0
    for bucket in sorted(counts):
        if spans and bucket == end:
            spans[-1][1] += 1
        else:
            spans.append([bucket - end, 1])
        ordered.append(counts[bucket])
        end = bucket + 1
    return spans, ordered


def side(counts, is_float, span_field):
    spans, ordered = spans_of(counts)
    encoded = b"".join(field_bytes(span_field, field_varint(1, zigzag(offset)) + field_varint(2, length))
                       for offset, length in spans)
    if is_float:
        return encoded + field_bytes(span_field + 2, struct.pack(f"<{len(ordered)}d", *ordered))
    deltas = [count - before for count, before in zip(ordered, [0] + ordered)]
    return encoded + field_bytes(span_field + 1, b"".join(varint(zigzag(one)) for one in deltas))


def encode(time_ms, positive, negative=None, zero=0, total=0.0, schema=0, is_float=False,
           hint=HINT_UNKNOWN, zero_threshold=0.001, bounds=()):
    """A histogram of {bucket: count}; custom buckets when it has bounds."""
    negative = negative or {}
    zero = 0 if bounds else zero
    count = sum(positive.values()) + sum(negative.values()) + zero
    if is_float:
        numbers = field_double(2, count) + (field_double(7, zero) if not bounds else b"")
    else:
        numbers = field_varint(1, count) + (field_varint(6, zero) if not bounds else b"")
    encoded = numbers + field_double(3, total) + \
        field_varint(4, zigzag(CUSTOM_BUCKETS if bounds else schema))
    if not bounds:
        encoded += field_double(5, zero_threshold)
    encoded += side(negative, is_float, 8) + side(positive, is_float, 11)
    if hint != HINT_UNKNOWN:
        encoded += field_varint(14, hint)
    encoded += field_varint(15, time_ms)
    if bounds:
        encoded += field_bytes(16, struct.pack(f"<{len(bounds)}d", *bounds))
    return encoded


class Growing:
    """A histogram that counts up, and starts again now and then."""

    def __init__(self, random_, first, last, negative=False):
        self.random = random_
        self.buckets = range(first, last)
        self.with_negative = negative
        self.clear()

    def clear(self):
        self.positive, self.negative, self.zero, self.total = {}, {}, 0, 0.0

    def step(self, resets=0.02):
        if self.random.random() < resets:
            self.clear()
        for _ in range(self.random.randrange(6)):
            target = self.negative if self.with_negative and self.random.random() < 0.4 else \
                self.positive
            bucket = self.random.choice(self.buckets)
            target[bucket] = target.get(bucket, 0) + 1
            self.total += bucket if target is self.positive else -bucket
        self.zero += self.random.random() < 0.2


def sampled(random_, offset_ms, make, first_s=300):
    return [make(time_ms) for time_ms in times(offset_ms, first_s=first_s)
            if random_.random() > 0.01]


def growing(random_, offset_ms, first, last, negative=False, **kind):
    state = Growing(random_, first, last, negative)

    def make(time_ms):
        state.step()
        scale = 1.5 if kind.get("is_float") else 1
        return encode(time_ms, {k: v * scale for k, v in state.positive.items()},
                      {k: v * scale for k, v in state.negative.items()}, state.zero * scale,
                      state.total, **kind)
    return sampled(random_, offset_ms, make)


def gauge(random_, offset_ms, **kind):
    def make(time_ms):
        counts = {bucket: random_.randrange(1, 9) for bucket in range(-2, 5)
                  if random_.random() < 0.6}
        return encode(time_ms, counts, zero=random_.randrange(3), total=random_.random() * 9,
                      hint=HINT_GAUGE, **kind)
    return sampled(random_, offset_ms, make)


def histograms(random_):
    for number, (job, instance) in enumerate(INSTANCES[:4]):
        labels = {"job": job, "instance": instance}
        offset = 905 + 1100 * number
        yield Series({"__name__": "sized", **labels}, (),
                     growing(random_, offset, -4, 6, schema=(0, 0, 1, 3)[number]))
        yield Series({"__name__": "signed", **labels}, (),
                     growing(random_, offset + 31, -2, 5, True, schema=number % 2))
        yield Series({"__name__": "fractions", **labels}, (),
                     growing(random_, offset + 57, -3, 4, number == 1, schema=2, is_float=True,
                             zero_threshold=(0.001, 0.001, 0.1, 0.5)[number]))
        bounds = ((0.1, 1.0, 5.0, 10.0), (0.1, 1.0, 5.0, 10.0), (0.1, 0.5, 5.0, 20.0),
                  (-5.0, 0.0, 5.0))[number]
        yield Series({"__name__": "bounded", **labels}, (),
                     growing(random_, offset + 77, 0, len(bounds) + 1, bounds=bounds))
        yield Series({"__name__": "level", **labels}, (), gauge(random_, offset + 91))
    # Floats, then histograms, then both in turn.
    histogram_times = growing(random_, 1003, 0, 4)
    yield Series({"__name__": "mixed", "job": "web"},
                 [(time_ms, float(random_.randrange(50))) for time_ms in times(511, 60_000)],
                 histogram_times[:200:2])
    # As a classic histogram, too.
    for bound, part in (("0.5", 0.3), ("2", 0.7), ("+Inf", 1.0)):
        yield Series({"__name__": "sized_bucket", "job": "web", "instance": "a:80", "le": bound},
                     [(time_ms, float(int(part * number * 7)))
                      for number, time_ms in enumerate(times(905))])
    yield Series({"__name__": "sized", "job": "web", "instance": "a:80", "le": "nothing"},
                 [(time_ms, 1.0) for time_ms in times(905)])


def infos(random_):
    for number, (job, instance) in enumerate(INSTANCES):
        yield Series({"__name__": "build_info", "job": job, "instance": instance,
                      "revision": f"r{number}", "version": "9"},
                     [(time_ms, 1.0) for time_ms in times(123, 60_000)])
    yield Series({"__name__": "namé with.dots", "job": "web", "läbel one": "x", "a:b": "y"},
                 [(time_ms, float(random_.randrange(9))) for time_ms in times(345)])
    yield Series({"__name__": "versions", "job": "web", "release": "v1.10.2"},
                 [(time_ms, 2.0) for time_ms in times(345)])
    yield Series({"__name__": "versions", "job": "web", "release": "v1.9.30"},
                 without([(time_ms, 1.0) for time_ms in times(345)], 1000, 1500))
    yield Series({"__name__": "broken", "job": "web"},
                 [(time_ms, random_.choice((NAN, 1.0, 2.0, STALE_MARKER)))
                  for time_ms in times(445)])


def all_series():
    random_ = random.Random(3)
    return data.all_series() + [one for family in (histograms, infos) for one in family(random_)]
