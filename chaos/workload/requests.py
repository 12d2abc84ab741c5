"""What was asked of the nodes and how it went, for the report."""
import collections
import re
import threading
import time

ACCEPTED, UNAVAILABLE, UNREACHABLE = "accepted", "unavailable", "unreachable"
REASON_CHARACTERS = 160


class Request:
    __slots__ = ("began", "ended", "node", "outcome")

    def __init__(self, began, ended, node, outcome):
        self.began = began
        self.ended = ended
        self.node = node
        self.outcome = outcome


class Requests:
    """Of one kind (writes, queries), from many threads."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.all = []
        self.reasons = collections.Counter() # why not, without their numbers

    def add(self, began, node, outcome, reason=""):
        """Ends now; times are time.monotonic()."""
        with self.mutex:
            self.all.append(Request(began, time.monotonic(), node, outcome))
            if reason:
                self.reasons[re.sub(r"\d+", "N", reason)[:REASON_CHARACTERS]] += 1

    def count(self, outcome):
        return sum(one.outcome == outcome for one in self.all)

    def latencies_ms(self):
        """Of what was accepted, sorted."""
        return sorted((one.ended - one.began) * 1000 for one in self.all
                      if one.outcome == ACCEPTED)

    def longest_gap(self, begin, end):
        """The longest time within [begin, end] in which nothing was accepted, and when it began."""
        times = sorted(one.ended for one in self.all
                       if one.outcome == ACCEPTED and begin <= one.ended <= end)
        longest, since = 0.0, begin
        for before, after in zip([begin, *times], [*times, end]):
            if after - before > longest:
                longest, since = after - before, before
        return longest, since

    def first_accepted(self, begun_after):
        """Seconds from `begun_after` to the first answer to what was sent after it, or None."""
        ends = [one.ended for one in self.all
                if one.outcome == ACCEPTED and one.began >= begun_after]
        return min(ends) - begun_after if ends else None
