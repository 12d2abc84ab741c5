"""The samples that Prometheus and Gnomon are given alike: random ones, the same for a seed.

Samples lie at .123 s and such, so that a range or look-back which ends at a half second never begins
exactly at one: there Prometheus 2 and 3 differ (2 takes the left end of a range for a part of it), and
Gnomon follows 3.
"""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                                "integration"))
from remote_write import STALE_MARKER, histogram, series_1  # noqa: E402

START_S = 1_700_000_000 # 2023-11-14T22:13:20Z
LENGTH_S = 3600
START_MS = START_S * 1000
INTERVAL_MS = 15_000

INFINITY, NAN = float("inf"), float("nan")
INSTANCES = (("web", "a:80"), ("web", "b:80"), ("db", "a:90"), ("db", "c:90"), ("cache", "d:1"))


class Series:
    def __init__(self, labels, samples=(), histograms=(), exemplars=()):
        self.labels = sorted(labels.items())
        self.samples = list(samples)
        self.histograms = list(histograms)
        self.exemplars = list(exemplars)

    def encode(self):
        return series_1(self.labels, self.samples, self.histograms, self.exemplars)


def times(offset_ms, interval_ms=INTERVAL_MS, first_s=-600, last_s=LENGTH_S):
    return range(START_MS + first_s * 1000 + offset_ms, START_MS + last_s * 1000, interval_ms)


def without(samples, begin_s, end_s):
    """A gap."""
    return [one for one in samples
            if not START_MS + begin_s * 1000 <= one[0] < START_MS + end_s * 1000]


def went_stale(samples, begin_s, end_s):
    """A gap that begins with a stale marker."""
    first = min(one[0] for one in samples if one[0] >= START_MS + begin_s * 1000)
    return sorted(without(samples, begin_s, end_s) + [(first, STALE_MARKER)], key=lambda one: one[0])


def counters(random_):
    """Whole numbers; they restart high, where no rate reaches back to zero (a rule that changed)."""
    for number, (job, instance) in enumerate(INSTANCES):
        for code in ("200", "404", "500"):
            value, samples = 1_000_000 * (number + 1), []
            for time_ms in times(123 + 1700 * number):
                value += random_.randrange(0, 40)
                if random_.random() < 0.01:
                    value = 100_000 + random_.randrange(1000)
                samples.append((time_ms, float(value)))
            if (number, code) == (1, "404"):
                samples = went_stale(samples, 900, 1500)
            if (number, code) == (2, "500"):
                samples = without(samples, 1800, 2500)
            if number == 3:
                samples = [one for one in samples if one[0] < START_MS + 3_000_000]
            yield Series({"__name__": "requests_total", "job": job, "instance": instance,
                          "code": code}, samples)


def small_counter(random_):
    """From zero, without gaps around what is asked: here the extrapolation stops at zero."""
    value, samples = 0.0, []
    for time_ms in times(357, first_s=-7200, last_s=LENGTH_S + 1200):
        value = 0.0 if random_.random() < 0.02 else value + random_.choice((0, 0, 1, 2, 5))
        samples.append((time_ms, value))
    yield Series({"__name__": "small_total", "job": "web"}, samples)


def gauges(random_):
    for number, (job, instance) in enumerate(INSTANCES):
        real, jittery = [], []
        for time_ms in times(250 + 900 * number):
            real.append((time_ms, round(random_.gauss(20 + number, 5), random_.randrange(0, 12))))
            jittery.append((time_ms + random_.randrange(0, 7000) // 10 * 10 + 3,
                            random_.random() * 10.0 ** random_.randrange(-9, 15)))
        if number == 0:
            real = without(real, 600, 1020)
        if number == 1:
            real = went_stale(went_stale(real, 300, 330), 2000, 2200)
        yield Series({"__name__": "temperature", "job": job, "instance": instance,
                      "sensor": f"s{number % 2}"}, real)
        yield Series({"__name__": "jittery", "job": job, "instance": instance}, jittery)
        yield Series({"__name__": "queue_length", "job": job, "instance": instance},
                     [(time_ms, float(random_.choice((0, 0, 1, 2, 3, 7, -4, 12))))
                      for time_ms in times(400 + 10 * number, 10_000)])
        yield Series({"__name__": "up", "job": job, "instance": instance},
                     [(time_ms, float(random_.random() < 0.9)) for time_ms in times(123)])
        if number != 4:
            yield Series({"__name__": "target_info", "job": job, "instance": instance,
                          "version": f"1.{number % 2}", "zone": "z" + job}, [
                              (time_ms, 1.0) for time_ms in times(123, 60_000)])


def buckets(random_):
    bounds = ("0.1", "0.5", "1", "2.5", "10", "+Inf")
    for number, (job, instance) in enumerate(INSTANCES[:3]):
        counts = [0.0] * len(bounds)
        samples = {bound: [] for bound in bounds}
        sums, total = [], 0.0
        for time_ms in times(700 + 333 * number):
            for _ in range(random_.randrange(0, 9)):
                place = random_.randrange(len(bounds))
                total += place
                for i in range(place, len(bounds)):
                    counts[i] += 1
            for i, bound in enumerate(bounds):
                samples[bound].append((time_ms, 1e6 + counts[i]))
            sums.append((time_ms, 1e6 + total))
        labels = {"job": job, "instance": instance}
        for bound in bounds:
            yield Series({"__name__": "latency_bucket", "le": bound, **labels}, samples[bound])
        yield Series({"__name__": "latency_count", **labels}, samples["+Inf"])
        yield Series({"__name__": "latency_sum", **labels}, sums)


def odd_values(random_):
    kinds = {
        "nan": (NAN,), "positive_infinity": (INFINITY,), "negative_infinity": (-INFINITY,),
        "negative_zero": (-0.0,), "zeros": (0.0, -0.0),
        "infinities": (INFINITY, 1.0, -INFINITY), "some_nan": (NAN, 1.0, 2.0, 3.0),
        "tiny": (2.2250738585072014e-308, 1e-7, 1e-6, 9.999999e-7),
        "huge": (1.7976931348623157e308, 1e21, 1e20, 999999999999999999999.0, 123456789012345680.0),
        "thirds": (1 / 3, 2 / 3, 0.1, 0.30000000000000004, 100.0),
    }
    for kind, values in kinds.items():
        yield Series({"__name__": "odd_values", "kind": kind},
                     [(time_ms, values[random_.randrange(len(values))])
                      for time_ms in times(610, 30_000)])
    # Logarithms of these are wrong in programs of Go for amd64.
    yield Series({"__name__": "denormals"}, [(time_ms, 5e-324) for time_ms in times(610, 30_000)])


def odd_labels(_random):
    odd = ("", "plain", "a b", "quote\"d", "back\\slash", "new\nline", "tab\there", "ünïcødé ☃ 𝄞",
           "a.b*c", "<html>&amp;", "\u2028line", "\x01control\x7f", "x" * 300, " space ", "{}", "a=~b")
    for number, value in enumerate(odd):
        labels = {"__name__": "odd_labels", "number": str(number), "_hidden": "yes"}
        if value:
            labels["value"] = value
        yield Series(labels, [(time_ms, float(number)) for time_ms in times(820, 60_000)])


def rare(random_):
    """Where looking back begins and ends."""
    yield Series({"__name__": "single", "job": "web"}, [(START_MS + 1_000_123, 42.0)])
    yield Series({"__name__": "sparse", "job": "web"},
                 [(time_ms, float(random_.randrange(100))) for time_ms in times(123, 240_000)])
    yield Series({"__name__": "sparse", "job": "db"},
                 [(time_ms, float(random_.randrange(100))) for time_ms in times(123, 420_000)])
    yield Series({"__name__": "flapping", "job": "web"},
                 [(time_ms, STALE_MARKER if random_.random() < 0.3 else float(random_.randrange(5)))
                  for time_ms in times(456)])
    # The same labels but for the name: dropping it makes them collide.
    for name in ("twin_left", "twin_right"):
        yield Series({"__name__": name, "job": "web"},
                     [(time_ms, float(random_.randrange(9))) for time_ms in times(345)])


def native_histograms(random_):
    for number, (job, instance) in enumerate(INSTANCES[:2]):
        counts, total, histograms = [10, 0, 20, 30], 0.0, []
        # Prometheus 2 takes no histogram that is an hour older than the newest sample.
        for time_ms in times(905 + 11 * number, first_s=300):
            for _ in range(random_.randrange(5)):
                counts[random_.randrange(len(counts))] += 1
                total += random_.randrange(4)
            histograms.append(histogram(time_ms, sum(counts) + 2, total, counts, schema=number,
                                        zero_count=2))
        yield Series({"__name__": "native", "job": job, "instance": instance}, (), histograms)


def exemplars():
    for number in range(3):
        samples = [(time_ms, float(n)) for n, time_ms in enumerate(times(123, 60_000))]
        yield Series({"__name__": "traced_total", "job": "web", "shard": str(number)}, samples, (),
                     [([("trace_id", f"{number}-{n}"), ("odd", "\"ü\n")], time_ms + 20, value / 3)
                      for n, (time_ms, value) in enumerate(samples) if n % 7 == number])


def all_series(seed=2):
    random_ = random.Random(seed)
    families = (native_histograms, counters, small_counter, gauges, buckets, odd_values, odd_labels,
                rare)
    series = [one for family in families for one in family(random_)]
    series.extend(exemplars())
    return series
