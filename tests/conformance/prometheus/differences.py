"""What Gnomon answers differently from Prometheus 2.42, and why.

A rule excuses a difference that was found; one that excuses none any more is told, so that the list
stays true. docs/prometheus-differences.md has it in words.
"""
import re

import compare

# What newer versions of Prometheus take, by a part of the expression.
NEWER_EXPRESSIONS = (
    (r"offset 5$|\[5\]|\[5m\*2\]|step\(\)|offset \(1\+2\)|^1_000$|^5m$|^1h30m$|^0b11$|^1e$|^1e400$",
     "numbers are durations, durations numbers and expressions"),
    (r"^up\[-5m\]$|^up offset$|^up\[5m\*2\]$", "durations have signs and operators"),
    (r'"job"=|"up"|by \("job"\)|a-b|a b', "names are any UTF-8"),
    (r"holt_winters", "holt_winters is double_exponential_smoothing"),
    (r"^info\(|^limitk|^mad_over_time|^start\(\)", "known and not enabled"),
    (r"job=~'\('", "regular expressions are shown as they were written"),
)
# What 2.42 does with native histograms was no more than a beginning.
HISTOGRAM_EXPRESSIONS = re.compile(
    r"histogram_quantile\(0\.9, native\)|avg\(native\)|native \* 2|min\(native\)|irate\(native")

UNBOUNDED_TIMES = {"NaN", "Inf", "-Inf", "1e15", "1e20", "1_000", "-292273086-05-16T16:47:06Z",
                   "292277025-08-18T07:12:54.999999999Z"}


def query_of(request):
    return str(request.parameters.get("query", ""))


def is_query(request):
    return request.path in ("/api/v1/query", "/api/v1/query_range")


def error_of(answer):
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    return answer.json().get("error", "") if answer.body and is_json else ""


# --- Rules: (what it is, whether it is that) --------------------------------------------------------

def newer_expression(request, _ours, _theirs):
    return is_query(request) and any(re.search(pattern, query_of(request))
                                     for pattern, _ in NEWER_EXPRESSIONS)


def histograms(request, _ours, _theirs):
    return is_query(request) and HISTOGRAM_EXPRESSIONS.search(query_of(request)) is not None


def nan_of_topk(request, ours, _theirs):
    return error_of(ours) == "Parameter value is NaN" and "topk" in query_of(request)


def atan2_drops_names(request, _ours, _theirs):
    return "atan2" in query_of(request)


def time_without_meaning(request, ours, _theirs):
    """2.42 answers about some time in the far past or future."""
    return ours.status == 400 and any(
        str(request.parameters.get(name)) in UNBOUNDED_TIMES for name in ("time", "start", "end"))


def backwards(request, ours, theirs):
    """Nothing is between an end and a start behind it; 2.42 shows what its head block has."""
    start, end = request.parameters.get("start"), request.parameters.get("end")
    return isinstance(start, int) and isinstance(end, int) and start > end and \
        ours.status == theirs.status == 200 and ours.json()["data"] == []


def lookback_delta(request, _ours, _theirs):
    return "lookback_delta" in request.parameters


def odd_timeout(request, ours, theirs):
    """No time at all: where it runs out is chance, and so is whether a millisecond is enough on a
    busy machine. NaN is no time."""
    timeout = request.parameters.get("timeout")
    if timeout in ("0.001", "1ms", "1us"):
        return "query timed out" in error_of(ours) or "query timed out" in error_of(theirs)
    return timeout is not None and (
        timeout == "NaN" or "query timed out" in error_of(ours) and
        "query timed out" in error_of(theirs))


def odd_step(request, ours, theirs):
    return request.parameters.get("step") == "NaN" and ours.status == theirs.status == 400


def label_names(request, ours, theirs):
    return re.search("/label/[^/]+/values", request.path) is not None and ours.status == 200 and \
        "invalid label name" in error_of(theirs)


def malformed_form(request, ours, theirs):
    """Says what is wrong, where 2.42 takes what it can read."""
    return ("%zz" in f"{request.path}{request.form}" or ";" in f"{request.path}{request.form}") and \
        ours.status == theirs.status == 400


def newer_shape(request, ours, theirs):
    return ours.status == theirs.status == 200 and request.path.startswith("/api/v1/targets") and \
        theirs.json()["data"].items() <= ours.json()["data"].items()


def own_log(request, ours, theirs):
    """Where the replay of each log is; newer versions add the state."""
    return ours.status == theirs.status == 200 and request.path == "/api/v1/status/walreplay" and \
        theirs.json()["data"].keys() <= ours.json()["data"].keys()


def positive_limit(request, ours, _theirs):
    return request.path.startswith("/api/v1/status/tsdb?limit=") and ours.status == 400


def envelope(request, ours, theirs):
    """What is not there, or not so, is an envelope as well."""
    return ours.status == theirs.status in (404, 405)


def no_deletion_of_series(request, ours, theirs):
    return (request.method, request.path, ours.status, theirs.status) == \
        ("DELETE", "/api/v1/series", 405, 500)


def own_name(request, ours, theirs):
    return request.path in ("/-/healthy", "/-/ready") and \
        ours.body.replace(b"Gnomon", b"Prometheus Server") == theirs.body


def own_words(request, ours, theirs):
    return "skip_head" in request.parameters and ours.status == theirs.status == 400


def snapshot_name(request, ours, theirs):
    return request.path.endswith("/snapshot") and ours.status == theirs.status == 200 and \
        all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{16}", one.json()["data"]["name"])
            for one in (ours, theirs))


def histograms_count_more(request, ours, theirs):
    """By what they take: here 13 samples each, one in 2.42."""
    return "native" in query_of(request) and "stats" in request.parameters and \
        totals(ours.json()) == 13 * totals(theirs.json())


RULES = (newer_expression, histograms, histograms_count_more, nan_of_topk, atan2_drops_names, time_without_meaning, backwards,
         lookback_delta, odd_timeout, odd_step, label_names, malformed_form, newer_shape, own_log,
         positive_limit, envelope, no_deletion_of_series, own_name, own_words, snapshot_name)


# --- Comparing -------------------------------------------------------------------------------------

def totals(body):
    return body["data"]["stats"]["samples"]["totalQueryableSamples"] if \
        "stats" in body.get("data", {}) else None


def difference(request, ours, theirs):
    """None, or what differs between two answers."""
    if ours.status != theirs.status:
        return f"status {ours.status} {ours.body[:200]!r} and {theirs.status} {theirs.body[:200]!r}"
    if theirs.body == ours.body:
        return None
    if not theirs.headers.get("Content-Type", "").startswith("application/json"):
        return f"{ours.body[:200]!r} and {theirs.body[:200]!r}"
    our_body, their_body = ours.json(), theirs.json()
    if is_query(request):
        if ours.status == 200 and totals(our_body) != totals(their_body):
            return f"{totals(our_body)} and {totals(their_body)} samples"
        return compare.difference_of_answers(query_of(request), ours, theirs,
                                             query_of(request).startswith("sort"))
    for body in (our_body, their_body):
        body["error"] = compare.normal_error(body.get("error", ""))
    return None if our_body == their_body else f"{ours.body[:300]!r} and {theirs.body[:300]!r}"


def difference_of_headers(ours, theirs):
    for name in ("Content-Type", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
                 "Access-Control-Allow-Headers", "Access-Control-Expose-Headers"):
        if ours.headers.get(name) != theirs.headers.get(name) and theirs.headers.get(name):
            return f"{name}: {ours.headers.get(name)} and {theirs.headers.get(name)}"
    return None


class Excuses:
    def __init__(self):
        self.used = set()

    def judge(self, request, ours, theirs):
        """None, or what differs without a reason."""
        found = difference(request, ours, theirs) or difference_of_headers(ours, theirs)
        if found is None:
            return None
        rule = next((one for one in RULES if one(request, ours, theirs)), None)
        self.used.add(rule)
        return found if rule is None else None

    def unused(self):
        return [one.__name__ for one in RULES if one not in self.used]
