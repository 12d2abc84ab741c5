"""Runs PromQL cases against the built program over HTTP: what a file loads is sent by remote write
1.0 and 2.0, what it evaluates is asked of the query API.

    served.py FILE.test...

Every `clear` begins a new tenant, which is as good as a new server. What 2.0 sent is flushed before
it is asked for, so that heads answer in one run and blocks in the other. promqltest parses the files.
"""
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "prometheus"))
import data # also makes the modules of tests/integration known
import harness
from newer_data import side
from remote_write import (HEADERS_1, HEADERS_2, Request2, field_bytes, field_double, field_varint,
                          series_1, snappy, zigzag)

PROMQLTEST = os.environ.get("PROMQLTEST", "")
CUSTOM_BUCKETS = -53
TOLERANCE = 1e-6 # of the reference's own runner
MINUTE_MS = 60 * 1000
OF_THE_WHOLE_QUERY = ("start()", "end()", "step()", "range()")


def number(digits):
    return struct.unpack(">d", bytes.fromhex(digits))[0]


# --- Sending ----------------------------------------------------------------------------------------

def encode_histogram(time_ms, start_ms, histogram):
    encoded = (field_double(2, number(histogram["count"])) + field_double(3, number(histogram["sum"])) +
               field_varint(4, zigzag(histogram["schema"])))
    if histogram["schema"] != CUSTOM_BUCKETS:
        encoded += field_double(5, number(histogram["zero_threshold"])) + \
            field_double(7, number(histogram["zero_count"]))
    for name, field in (("negative", 8), ("positive", 11)):
        encoded += side({bucket: number(count) for bucket, count in histogram[name]}, True, field)
    encoded += field_varint(14, histogram["reset"]) + field_varint(15, time_ms)
    if histogram["bounds"]:
        encoded += field_bytes(16, b"".join(struct.pack("<d", number(bound))
                                            for bound in histogram["bounds"]))
    return encoded + (field_varint(17, start_ms) if start_ms else b"")


def body_of(series, version):
    """One request with one series. 2.0 has a start timestamp of each sample."""
    labels = [tuple(pair) for pair in series["labels"]]
    histograms = [encode_histogram(time_ms, start_ms if version == 2 else 0, value)
                  for time_ms, start_ms, value in series["samples"] if isinstance(value, dict)]
    floats = [(time_ms, start_ms, value) for time_ms, start_ms, value in series["samples"]
              if not isinstance(value, dict)]
    if version == 1:
        return series_1(labels, [(time_ms, number(value)) for time_ms, _, value in floats],
                        histograms)
    request = Request2()
    parts = [field_bytes(1, request.references(labels))]
    # The bits of a NaN say whether it is a stale marker.
    parts += [field_bytes(2, field_double(1, number(value)) + field_varint(2, time_ms) +
                          (field_varint(3, start_ms) if start_ms else b""))
              for time_ms, start_ms, value in floats]
    parts += [field_bytes(3, histogram) for histogram in histograms]
    request.series = field_bytes(5, b"".join(parts))
    return request.bytes()


# --- Comparing --------------------------------------------------------------------------------------

def agree(left, right):
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    if left == right or left + right == 0 and abs(left) < 1e-300:
        return left == right or abs(left) < 1e-300
    if math.isinf(left) or math.isinf(right):
        return False
    return abs(left - right) / (abs(left) + abs(right)) < TOLERANCE


def bounds_of(histogram, bucket):
    """Lower and upper bound of a positive bucket."""
    if histogram["schema"] == CUSTOM_BUCKETS:
        bounds = [-math.inf] + [number(bound) for bound in histogram["bounds"]] + [math.inf]
        return bounds[bucket], bounds[bucket + 1]

    def bound(index):
        # Beyond what a double holds lies a last bucket, up to the largest one and then to infinity.
        exponent = index * 2.0 ** -histogram["schema"]
        if exponent < 1024:
            return 2.0 ** exponent
        return sys.float_info.max if exponent == 1024 else math.inf
    return bound(bucket - 1), bound(bucket)


def buckets_of(histogram):
    """[lower, upper, count] of an expected histogram, ascending, without the empty ones."""
    found = []
    for bucket, count in histogram["negative"]:
        lower, upper = bounds_of(histogram, bucket)
        found.append([-upper, -lower, number(count)])
    threshold, zeros = number(histogram["zero_threshold"]), number(histogram["zero_count"])
    found.append([-threshold, threshold, zeros])
    for bucket, count in histogram["positive"]:
        found.append([*bounds_of(histogram, bucket), number(count)])
    return sorted(bucket for bucket in found if bucket[2] != 0)


def histograms_differ(expected, answered):
    for name in ("count", "sum"):
        if not agree(number(expected[name]), float(answered[name])):
            return f"{name} is {answered[name]}, not {number(expected[name])}"
    wanted = buckets_of(expected)
    found = [[float(part) for part in bucket[1:]] for bucket in answered.get("buckets", [])]
    if len(wanted) != len(found) or not all(agree(a, b) for one, other in zip(wanted, found)
                                            for a, b in zip(one, other)):
        return f"buckets are {found}, not {wanted}"
    return None


def points_of(series):
    """{time_ms: (kind, value)} of a series of an answer."""
    points = {}
    for kind, one, many in (("float", "value", "values"), ("histogram", "histogram", "histograms")):
        for time, value in ([series[one]] if one in series else []) + series.get(many, []):
            points[round(time * 1000)] = (kind, value)
    return points


def point_differs(expected, answered):
    if expected is None or answered is None:
        return None if expected == answered else f"is {answered}, not {expected}"
    kind, value = answered
    if isinstance(expected, dict) != (kind == "histogram"):
        return f"is a {kind}"
    if kind == "histogram":
        return histograms_differ(expected, value)
    return None if agree(number(expected), float(value)) else f"is {value}, not {number(expected)}"


def series_differ(case, answered, only_ms):
    """Why the series of an answer are not the expected ones; None when they are."""
    start_ms, step_ms = case["start_ms"], case["step_ms"] or 1
    if "matrix_start_ms" in case:
        start_ms, step_ms = case["matrix_start_ms"], case["matrix_step_ms"]
    found = [(series["metric"], points_of(series)) for series in answered]
    if only_ms is not None:
        found = [(labels, {only_ms: points[only_ms]}) for labels, points in found if only_ms in points]
    wanted = [series for series in case["series"] if any(point is not None for point in series["points"])]
    if len(found) != len(wanted):
        return f"{len(found)} series, not {len(wanted)}: {[labels for labels, _ in found]}"
    for position, expected in enumerate(wanted):
        labels = dict(expected["labels"])
        matching = [i for i, (of, _) in enumerate(found) if of == labels]
        if len(matching) != 1:
            return f"{len(matching)} series {labels}: {[of for of, _ in found]}"
        if case["is_ordered"] and matching[0] != position:
            return f"{labels} stands at {matching[0]}, not {position}"
        points = dict(found[matching[0]][1])
        for i, point in enumerate(expected["points"]):
            time_ms = start_ms + i * step_ms
            difference = point_differs(point, points.pop(time_ms, None))
            if difference:
                return f"{labels} at {time_ms} ms {difference}"
        if points:
            return f"{labels} has more: {points}"
    return None


def message_matches(kind, message, text):
    if kind == "any":
        return True
    return message == text if kind == "exact" else re.search(message, text) is not None


def annotations_differ(name, expectation, messages):
    if expectation["forbidden"] and messages:
        return f"unexpected {name}: {messages}"
    if expectation["expected"] and not messages:
        return f"no {name}"
    for kind, message in expectation["messages"]:
        if not any(message_matches(kind, message, text) for text in messages):
            return f"no {name} {message!r}, but {messages}"
    return None


def failure_differs(case, answer):
    if not case["fail"]["expected"]:
        return f"failed: {answer.status} {answer.body[:500]!r}"
    if answer.status not in (400, 422):
        return f"status {answer.status}"
    error = answer.json()["error"].removeprefix('invalid parameter "query": ')
    for kind, message in case["fail"]["messages"]:
        # Long messages are cut.
        if not message_matches(kind, message[:len(error)] if len(error) > 200 else message, error):
            return f"failed with {error!r}, not {message!r}"
    return None


def result_differs(case, result, only_ms):
    if "string" in case:
        return None if result["resultType"] == "string" and result["result"][1] == case["string"] else \
            f"{result}, not the string {case['string']!r}"
    if "scalar" in case:
        if result["resultType"] == "scalar":
            value = result["result"][1]
        else:
            value = points_of(result["result"][0]).get(only_ms, (None, "nothing"))[1]
        return None if agree(number(case["scalar"]), float(value)) else \
            f"{value}, not {number(case['scalar'])}"
    if result["resultType"] in ("scalar", "string"):
        return f"a {result['resultType']}"
    return series_differ(case, result["result"], only_ms)


# --- Running ----------------------------------------------------------------------------------------

class Run:
    """One file by one version of the protocol."""

    def __init__(self, node, path, version):
        self.node = node
        self.path = path
        self.version = version
        self.sections = 0
        self.loaded = False
        self.passed = 0
        self.failures = []

    def headers(self, more=None):
        name = os.path.basename(self.path)
        return {"X-Scope-OrgID": f"{name}-{self.version}-{self.sections}", **(more or {})}

    def load(self, series):
        for one in series:
            answer = self.node.request(
                "POST", "/api/v1/write", snappy(body_of(one, self.version)),
                self.headers(HEADERS_1 if self.version == 1 else HEADERS_2))
            if answer.status // 100 != 2:
                self.failures.append(f"{self.path}: write of {one['labels']}: {answer.status} "
                                     f"{answer.body.decode()}")
        self.loaded = True

    def flush(self):
        if self.loaded and self.version == 2:
            answer = self.node.request("POST", "/api/v1/admin/flush")
            if answer.status != 204:
                self.failures.append(f"{self.path}: flush: {answer.status}")
        self.loaded = False

    def ask(self, case, start_ms, end_ms, step_ms, only_ms):
        if step_ms == 0:
            path, parameters = "query", {"time": start_ms / 1000}
        else:
            path, parameters = "query_range", {"start": start_ms / 1000, "end": end_ms / 1000,
                                               "step": step_ms / 1000}
        answer = self.node.request("GET", f"/api/v1/{path}?" + harness.query_string(
            {"query": case["query"], **parameters}), headers=self.headers())
        if answer.status != 200:
            return failure_differs(case, answer)
        if case["fail"]["expected"]:
            return "did not fail"
        difference = result_differs(case, answer.json()["data"], only_ms)
        if difference is None and only_ms is None:
            difference = annotations_differ("warning", case["warn"], answer.json().get("warnings", []))
        if difference is None and only_ms is None:
            difference = annotations_differ("info", case["info"], answer.json().get("infos", []))
        return difference

    def evaluate(self, case):
        self.flush()
        difference = self.ask(case, case["start_ms"], case["end_ms"], case["step_ms"], None)
        also_as_range = not (case["is_range"] or case["is_ordered"] or "matrix_start_ms" in case or
                             "string" in case or case["fail"]["expected"] or
                             any(call in case["query"] for call in OF_THE_WHOLE_QUERY))
        if difference is None and also_as_range:
            difference = self.ask(case, case["start_ms"] - MINUTE_MS, case["end_ms"] + MINUTE_MS,
                                  MINUTE_MS, case["start_ms"])
            difference = difference and "as a range: " + difference
        if difference is None:
            self.passed += 1
        else:
            self.failures.append(f"{self.path}:{case['line']}: {case['query']}\n    {difference}")

    def all(self):
        cases = subprocess.run([PROMQLTEST, "--json", self.path], check=True, capture_output=True)
        for line in cases.stdout.splitlines():
            command = json.loads(line)
            if "clear" in command:
                self.sections += 1
            elif "load" in command:
                self.load(command["load"])
            else:
                self.evaluate(command)
        print(f"{os.path.basename(self.path):28} {self.version}.0 {self.passed:4} passed, "
              f"{len(self.failures):4} failed", flush=True)
        for failure in self.failures:
            print(failure, flush=True)
        return not self.failures


def has_start_timestamps(path):
    """1.0 can't carry them."""
    with open(path, encoding="utf-8") as file:
        return "@st" in file.read()


def main(paths):
    folder = tempfile.mkdtemp(prefix="gnomon-conformance-")
    node = harness.Node(folder, harness.free_port(), (
        "--tenants.enabled=true", "--query.experimental=true", "--telemetry.self_write=false"))
    try:
        node.wait_ready()
        good = [Run(node, path, version).all() for path in paths for version in (1, 2)
                if version == 2 or not has_start_timestamps(path)]
    finally:
        node.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good and all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
