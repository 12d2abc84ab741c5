"""Compares Gnomon's query API with Debian's prometheus and prints what differs.

    GNOMON_BINARY=build/release/gnomon tests/conformance/prometheus/audit.py fixed
    ... audit.py random FIRST_SEED LAST_SEED     expressions, 50 a seed, over other data each 100
    ... audit.py mutated FIRST_SEED LAST_SEED    broken expressions, for the errors
    ... audit.py newer FIRST_SEED LAST_SEED      what came with Prometheus 3

The last one needs a Prometheus 3 as `prometheus` in PATH, and compares warnings as well; the others
are written for Debian's, and run in short as the test integration/prometheus_answers.
"""
import sys
import unittest

import compare
import data
import differences
import expressions
import fixed_requests
import mutations
import newer_data
import newer_expressions
import peers
from harness import query_string

QUERIES_OF_SEED = 50
SEEDS_OF_DATA = 100 # then both begin anew, with other samples


def ask(peer, request):
    form = query_string(request.form) if isinstance(request.form, dict) else request.form
    path = request.path + ("?" + query_string(request.parameters) if request.parameters else "")
    return peer.request(request.method, path, form, request.headers)


def audit_fixed(ours, theirs):
    """Yields (request, what differs)."""
    excuses = differences.Excuses()
    for request in fixed_requests.all_requests():
        found = excuses.judge(request, ask(ours, request), ask(theirs, request))
        if found:
            yield request, found
    for name in excuses.unused():
        yield name, "a rule of differences.py that excuses nothing any more"


def audit_random(ours, theirs, seeds, count=QUERIES_OF_SEED):
    for seed in seeds:
        generator = expressions.Generator(seed)
        for _ in range(count):
            path, parameters = generator.query()
            found = compare.difference_of_answers(
                parameters["query"], ours.get(path, **parameters), theirs.get(path, **parameters),
                ordered=parameters["query"].startswith("sort"))
            if found:
                yield (seed, path, parameters), found


def audit_mutated(ours, theirs, seeds, count=QUERIES_OF_SEED):
    for seed in seeds:
        for query in mutations.expressions_of(seed, count):
            answers = [peer.get("query", query=query, time=data.START_S + 2000.5)
                       for peer in (ours, theirs)]
            found = mutations.difference(query, *answers)
            if found:
                yield (seed, query), found


def audit_newer(ours, theirs, seeds, count=QUERIES_OF_SEED):
    for seed in seeds:
        generator = newer_expressions.Generator(seed)
        for _ in range(count):
            path, parameters = generator.query()
            answers = [peer.get(path, **parameters) for peer in (ours, theirs)]
            found = compare.difference_of_answers(
                parameters["query"], *answers, ordered=parameters["query"].startswith("sort")) or \
                compare.difference_of_annotations(*answers)
            if found:
                yield (seed, path, parameters), found


NEWER_FEATURES = ("--enable-feature=exemplar-storage,native-histograms,promql-experimental-functions,"
                  "promql-extended-range-selectors,promql-duration-expr,"
                  "promql-delayed-name-removal",)


class Audit(peers.PeersTest):
    def __init__(self, kind, seeds=range(0), data_seed=2):
        super().__init__()
        self.kind, self.seeds, self.data_seed = kind, seeds, data_seed

    def runTest(self):
        if self.kind == "newer":
            self.gnomon_settings += ("--query.experimental=true",)
            self.prometheus_settings += NEWER_FEATURES
        self.start_peers(newer_data.all_series() if self.kind == "newer" else
                         data.all_series(self.data_seed))
        audits = {"random": audit_random, "mutated": audit_mutated, "newer": audit_newer}
        found = audit_fixed(self.ours, self.theirs) if self.kind == "fixed" else \
            audits[self.kind](self.ours, self.theirs, self.seeds)
        count = 0
        for count, (what, difference) in enumerate(found, 1):
            print(f"{what}\n    {difference}", flush=True)
        self.assertEqual(count, 0)


def main(arguments):
    if not arguments or arguments[0] not in ("fixed", "random", "mutated", "newer") or \
            len(arguments) != (1 if arguments[0] == "fixed" else 3):
        sys.exit(__doc__)
    kind, suite = arguments[0], unittest.TestSuite()
    if kind == "fixed":
        suite.addTest(Audit(kind))
    else:
        first, last = [int(one) for one in arguments[1:]]
        step = SEEDS_OF_DATA if kind == "random" else last - first + 1
        for begin in range(first, last + 1, step):
            suite.addTest(Audit(kind, range(begin, min(begin + step, last + 1)), begin))
    result = unittest.TextTestRunner().run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
