"""Questions, and what is wrong with their answers.

`check(envelope, expected, sent)` yields (fault, text): `expected` are batches that must be in the
answer, `sent` those that may be. A fault is lost, altered, invented, doubled or partial.
"""
import urllib.parse

from workload import history

# Clients are told of an answer without all data; that is no lie.
def is_announced_partial(envelope):
    return bool(envelope.get("warnings"))


class Question:
    def __init__(self, writer, text, time_ms):
        self.writer = writer
        self.text = text
        self.time_ms = time_ms

    def path(self):
        return "/api/v1/query?" + urllib.parse.urlencode(
            {"query": self.text, "time": f"{self.time_ms / 1000:.3f}", "timeout": "60s"})


def name_some(numbers):
    numbers = sorted(numbers)
    return f"{len(numbers)} ({', '.join(map(str, numbers[:5]))}{', ...' if len(numbers) > 5 else ''})"


class Samples(Question):
    """All samples of a range as they are stored."""

    def __init__(self, writer, time_ms, range_ms):
        super().__init__(writer, f'{history.METRIC}{{writer="{writer.name}"}}[{range_ms}ms]', time_ms)

    def check(self, envelope, expected, sent):
        if is_announced_partial(envelope):
            return
        found = {one["metric"]["instance"]: one["values"] for one in envelope["data"]["result"]}
        numbers = {batch.timestamp_ms: batch.number for batch in sent}
        wanted = {batch.number for batch in expected}
        for i in range(self.writer.series_count):
            instance = f"{self.writer.name}-{i}"
            yield from self.check_series(instance, i, found.pop(instance, []), numbers, wanted)
        for instance in found:
            yield "invented", f"a series {instance}"

    @staticmethod
    def check_series(instance, number, values, numbers, wanted):
        seen, altered, invented, doubled = set(), set(), set(), set()
        previous_ms = None
        for time_s, text in values:
            time_ms = round(time_s * 1000)
            if previous_ms is not None and time_ms <= previous_ms:
                doubled.add(time_ms)
            previous_ms = time_ms
            batch = numbers.get(time_ms)
            if batch is None:
                invented.add(time_ms)
                continue
            seen.add(batch)
            if float(text) != history.value_of(batch, number):
                altered.add(batch)
        lost = wanted - seen
        for fault, some in (("lost", lost), ("altered", altered), ("invented", invented),
                            ("doubled", doubled)):
            if some:
                yield fault, f"{instance}: {name_some(some)}"


class Counts(Question):
    """The same, counted where the samples are: only figures travel."""

    def __init__(self, writer, time_ms, range_ms):
        matching = f'{history.METRIC}{{writer="{writer.name}"}}[{range_ms}ms]'
        super().__init__(writer, f"sum(count_over_time({matching}))", time_ms)

    def check(self, envelope, expected, sent):
        if is_announced_partial(envelope):
            return
        result = envelope["data"]["result"]
        count = float(result[0]["value"][1]) if result else 0.0
        least = len(expected) * self.writer.series_count
        most = len(sent) * self.writer.series_count
        if count < least:
            yield "lost", f"{count:.0f} samples counted where {least} are acknowledged"
        if count > most:
            yield "doubled", f"{count:.0f} samples counted where {most} were sent"


