"""Compares what a server answers with what it was sent."""
import json

TOLERANCE = 1e-9


class Found:
    """Counts of samples."""

    def __init__(self):
        self.checked = 0
        self.lost = 0
        self.wrong = 0
        self.doubled = 0
        self.inexact = 0  # right within the tolerance, but not to the last bit
        self.invented = 0


def selector(labels):
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"


def newest_is_right(server, series):
    count = len(series["values"])
    newest_ms = series["first_ms"] + (count - 1) * series["interval_ms"]
    status, body = server.ask("/api/v1/query", {"query": selector(series["labels"]),
                                                "time": newest_ms / 1000, "nocache": 1})
    if status != 200:
        return False
    result = json.loads(body)["data"]["result"]
    return len(result) == 1 and close(float(result[0]["value"][1]), series["values"][-1])


def close(left, right):
    return left == right or abs(left - right) <= TOLERANCE * max(abs(left), abs(right))


def compare_series(server, series, found):
    values = series["values"]
    first_ms, interval_ms = series["first_ms"], series["interval_ms"]
    end_ms = first_ms + (len(values) - 1) * interval_ms
    range_s = len(values) * interval_ms // 1000
    data = server.data_of("/api/v1/query",
                          {"query": f"{selector(series['labels'])}[{range_s}s]",
                           "time": end_ms / 1000, "nocache": 1})
    seen = {}
    for part in data["result"]:
        for timestamp, value in part["values"]:
            seen.setdefault(round(timestamp * 1000), []).append(float(value))
    for tick, value in enumerate(values):
        found.checked += 1
        answers = seen.pop(first_ms + tick * interval_ms, [])
        if not answers:
            found.lost += 1
        elif not close(answers[0], value):
            found.wrong += 1
        elif answers[0] != value:
            found.inexact += 1
        found.doubled += len(answers) > 1
    found.invented += len(seen)


def compare(server, all_series):
    """Reads every sample of the series back."""
    found = Found()
    for series in all_series:
        compare_series(server, series, found)
    return found


def example_names(all_series):
    """An instance of node_exporter and a pod, out of some series."""
    hosts = [series["labels"]["instance"] for series in all_series
             if series["labels"]["job"] == "node-exporter"]
    pods = [series["labels"]["pod"] for series in all_series if "pod" in series["labels"]]
    return hosts[len(hosts) // 2], pods[len(pods) // 2]
