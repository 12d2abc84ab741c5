"""What was sent, and what became of it: the truth that answers are compared with.

A writer sends batches, numbered from 0; batch k holds one sample of each of its series. Value and
labels follow from the numbers, so a record is the batch and its time:

    sent WRITER K TIMESTAMP_MS          before the first attempt
    acknowledged WRITER K NODE          after the answer

A batch that was sent and not acknowledged may be there or not. Records are in a file before the next
batch begins.
"""
import bisect
import threading

METRIC = "chaos_samples"


def value_of(batch, series):
    """Exact in a double, and no other sample of the writer has it."""
    return float(batch * 1000 + series)


class Batch:
    __slots__ = ("number", "timestamp_ms", "acknowledged_at", "acknowledged_by")

    def __init__(self, number, timestamp_ms):
        self.number = number
        self.timestamp_ms = timestamp_ms
        self.acknowledged_at = None # time.monotonic()
        self.acknowledged_by = None # a node's name


class WriterHistory:
    """Of one writer; it alone changes it, anybody may look."""

    def __init__(self, name, series_count, log):
        self.name = name
        self.series_count = series_count
        self.log = log
        self.batches = []
        self.times = [] # (timestamp_ms, number), sorted
        self.mutex = threading.Lock()

    def sent(self, timestamp_ms):
        with self.mutex:
            batch = Batch(len(self.batches), timestamp_ms)
            self.log.write(f"sent {self.name} {batch.number} {timestamp_ms}\n")
            self.batches.append(batch)
            bisect.insort(self.times, (timestamp_ms, batch.number))
        return batch

    def acknowledged(self, batch, node, now):
        with self.mutex:
            self.log.write(f"acknowledged {self.name} {batch.number} {node}\n")
            batch.acknowledged_by = node
            batch.acknowledged_at = now

    def between(self, after_ms, until_ms):
        """Batches of (after_ms, until_ms], as PromQL's ranges are open at their beginning."""
        with self.mutex:
            first = bisect.bisect_right(self.times, (after_ms, float("inf")))
            last = bisect.bisect_right(self.times, (until_ms, float("inf")))
            return [self.batches[number] for _, number in self.times[first:last]]

    def span_ms(self):
        with self.mutex:
            return (self.times[0][0], self.times[-1][0]) if self.times else None


class History:
    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8", buffering=1)
        self.writers = {}

    def writer(self, name, series_count):
        self.writers[name] = WriterHistory(name, series_count, self.file)
        return self.writers[name]

    def counts(self):
        """Batches sent, acknowledged; samples acknowledged."""
        sent = acknowledged = samples = 0
        for writer in self.writers.values():
            done = sum(batch.acknowledged_at is not None for batch in writer.batches)
            sent += len(writer.batches)
            acknowledged += done
            samples += done * writer.series_count
        return sent, acknowledged, samples

    def close(self):
        self.file.close()
