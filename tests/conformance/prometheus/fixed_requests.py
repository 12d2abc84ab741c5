"""Requests to every endpoint of the query API, in every form of every parameter.

Those that must be answered differently say so in differences.py.
"""
import data

S = data.START_S
WINDOW = {"start": S, "end": S + 600, "step": 60}
AT = S + 1000.5
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Request:
    """`path` is below the server's root and may have a query string of its own."""

    def __init__(self, method, path, parameters=None, form=None, headers=None):
        self.method = method
        self.path = path
        self.parameters = parameters or {}
        self.form = form # None, text, or parameters
        self.headers = headers or {}

    def __str__(self):
        return f"{self.method} {self.path} {self.parameters}" + (
            f" form {self.form} {self.headers}" if self.form is not None or self.headers else "")


def get(path, **parameters):
    """`match` stands for match[]."""
    if "match" in parameters:
        parameters["match[]"] = parameters.pop("match")
    return Request("GET", "/api/v1/" + path, parameters)


def post(path, form, headers=None, **parameters):
    return Request("POST", "/api/v1/" + path, parameters, form, headers or FORM)


# --- Parameters ------------------------------------------------------------------------------------

TIMES = (
    S, f"{S}.5", f"{S}.123456789", "1.7e9", "17e8", "-1", "-1.5", ".5", "5.", "+5", "0", "-0", "1e-9",
    "1700000000.0005", "1700000000.00049", "0x1p4", "0x10", "  1", "1 ", "", "now", "infinity seconds",
    "2023-11-14T22:23:20Z", "2023-11-14T22:23:20.5Z", "2023-11-14T22:23:20.123456789Z",
    "2023-11-14T22:23:20,5Z", "2023-11-14T23:23:20+01:00", "2023-11-14T21:53:20-00:30",
    "2023-11-14t22:23:20z", "2023-11-14 22:23:20", "2023-11-14", "2023-11-14T22:23:20",
    "2023-11-14T22:23:20+0100", "2023-11-14T22:23:20.Z", "2023-02-30T00:00:00Z",
    "2024-02-29T00:00:00Z", "2023-11-14T24:00:00Z", "2023-11-14T22:23:60Z", "1969-12-31T23:59:59Z",
    "-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z",
    # Without meaning; see differences.py.
    "NaN", "Inf", "-Inf", "1e15", "1e20", "1_000")

DURATIONS = (
    "", "15", "15s", "1m", "1m30s", "1h1m", "30s1m", "1m1m", "1.5", "0.001", "0", "-1", "-5s", "1e3",
    "1e300", "9223372036", "9223372037", "5x", "s", "1 m", "1ms", "500ms", "1us", "1d", "1w", "1y",
    "300y", "0s", "+5", "+5s", "1.5m", "0x10", "5M", "ten", "1h0m", "Inf", "NaN")


def times():
    for time in TIMES:
        if time != "":
            for query in ("up", "1", "time()"):
                yield get("query", query=query, time=time)
        yield get("query_range", query="1", start=time, end=S + 660, step=15)
        yield get("query_range", query="1", start=S, end=time, step=15)
        yield get("series", match="up", start=time, end=S + 660)
        yield get("labels", start=time)
        yield get("label/job/values", end=time)
        yield get("query_exemplars", query="traced_total", start=time, end=S + 660)


def durations():
    for duration in DURATIONS:
        yield get("query_range", query="up", start=S, end=S + 600, step=duration)
        yield get("query", query="up", time=AT, timeout=duration)
        yield get("query_range", query="1", timeout=duration, **WINDOW)
        yield get("query", query="sparse", time=AT, lookback_delta=duration)
    for start, end, step in ((S, S - 1, 1), (S, S, 1), (S, S + 11000, 1), (S, S + 11001, 1),
                             (S, S + 10999.9, 1), (S, S + 1100.1, 0.1), (S, S + 1, 1000),
                             (S, S + 5.5, 2)):
        for query in ("1", "up{instance='a:80'}", "up[5m]", "'a'", "nothing"):
            yield get("query_range", query=query, start=start, end=end, step=step)
    for missing in ({}, {"query": "up", "start": S}, {"query": "up", "start": S, "end": S},
                    {"query": "up", "start": S, "step": 1}, {"query": "up", "end": S, "step": 1},
                    {"start": S, "end": S, "step": 1}):
        yield get("query_range", **missing)
    yield get("query")


def statistics():
    for query in ("up", "sum(up)", "rate(requests_total[5m])", "1", "max_over_time(up[5m:1m])",
                  f"up @ {S + 500}", f"sum_over_time(up[5m] @ {S + 500})", "native", "nothing",
                  "rate(native[5m])", "up + up", "up[5m]", "up[5m:1m]",
                  "sum_over_time(sum_over_time(up[1m])[5m:30s])", "up offset 1m or sparse"):
        yield get("query", query=query, time=AT, stats="all")
        yield get("query_range", query=query, stats="true", **WINDOW)
    for wanted in ("all", "true", "1", "false", "", "0", "none"):
        yield get("query", query="sum(up)", time=AT, stats=wanted)


def forms():
    up = {"query": "up", "time": AT}
    yield post("query", up)
    yield post("query", {"time": AT}, query="up")
    yield post("query", up, query="1")
    yield post("query_range", {"query": "up", **WINDOW})
    yield post("query", up, {"Content-Type": FORM["Content-Type"] + "; charset=utf-8"})
    yield post("query", '{"query":"up"}', {"Content-Type": "application/json"}, **up)
    yield post("query", "query=1", {"Content-Type": "text/plain"}, **up)
    yield post("query", "query=%zz")
    yield post("query", "query=1;time=5")
    for text in ("query=%zz", "query=1&query=2&time=5", "query=1;time=5", "query=1+%2B+1&time=5",
                 "query=1%202&time=5", "query=%ff&time=5", "query=%22%ff%22&time=5",
                 "query=%22%01%3c%3e%26%22&time=5"):
        yield Request("GET", "/api/v1/query?" + text)
    yield post("series", {"match[]": ["up", "sparse"]})
    yield post("series", {"match[]": "up", "start": S, "end": S + 10})
    yield post("labels", {"match[]": "up"})
    yield post("labels", {})
    yield post("query_exemplars", {"query": "traced_total", "start": S, "end": S + 600})
    yield post("format_query", {"query": "up+1"})


# --- Expressions -----------------------------------------------------------------------------------

EXPRESSIONS = (
    # Selectors.
    "", "up", "up{", "up}", "up{job}", "up{job=}", 'up{job="', "up{job='web'}", "{}", "{job=''}",
    "{job=~'.*'}", "{job!='x'}", "{job!~'.+'}", "{__name__='up'}", "up{__name__='x'}", "up{job=~'('}",
    "up{job=~'a{9999}'}", 'up{job="web" instance="a"}', "up{,}", 'up{job="web",}', 'up{job=="web"}',
    'up{job=~"web|db"}', "a:b", "a.b", "a-b", "ünïcode", "up{jöb='x'}", "up{and='x'}", "up{job=''}",
    "up{nothing=''}", "up{nothing!=''}", "odd_labels", "odd_values", "denormals", "flapping",
    "latency_bucket{le='0.1'}", 'up{"job"="web"}', '{"up"}', '{"up",job="web"}',
    # Ranges, offsets, times.
    "up[5m]", "up[5m:1m]", "up[5m:]", "up offset", "up offset 5m", "up offset -5m", "up[5m] offset 1m",
    "up offset 5m offset 5m", "up @", "up @ 5", "up @ start()", "up @ end()", "up @ foo()", "up @ NaN",
    "up @ Inf", "up @ 1e20", "up @ -1", "up @ 5 offset 1m", "up offset 1m @ 5", "up[5m] @ 5",
    "up[0s]", "up[-5m]", "up[5]", "up[5m", "up[5m]]", "up[5m:0s]", "up[300y]", "1[5m]", "(1)[5m:]",
    "1[5m:]", "(up)[5m]", "sum(up)[5m]", "sum(up)[5m:]", "up[5m] + 1", "up[5m:1m] offset 1m @ 100",
    f"temperature @ {S + 500}", "up offset 5", "up[5m*2]", "up[step()]", "up offset (1+2)",
    # Literals.
    "1", "'x'", '"a\\nb"', "`raw\\n`", "(", "1/0", "-1/0", "0/0", "1%0", "2^1024", "1e400", "1e-400",
    "0x1F", "0b11", "017", "1_000", "1e", "1.5e3", ".5", "5.", "Inf", "-Inf", "NaN", "inf", "nan",
    "+Inf", "iNf", "5m", "1h30m", "2by", "'\\z'", "'\\'",
    # Operators.
    "up + ", "+ up", "- up", "--up", "-1^2", "2^-1", "2^3^2", "1 + 'a'", "'a' + 'b'", "up == 1",
    "1 == 1", "1 == bool 1", "1 > bool up", "up and 1", "1 and 1", "1 or up", "up or on(job) up",
    "up + on (job) up", "up + on(instance) group_left up", "up and on() group_left up",
    "up * ignoring() up", "up unless up", "up or up", "up == bool up", "1 atan2 2", "up atan2 up",
    "temperature > 20 < 30", "temperature > bool 20", "temperature ^ 2 % 3", "twin_left + twin_right",
    "-{__name__=~'twin_.*'}", "up * on(instance) target_info", "up * on(job) target_info",
    "up * on(job) group_left(version) target_info",
    "up * on(instance) group_left(version) target_info",
    "target_info * on(instance) group_right(zone) up", "up * on (job) group_left > up",
    # Aggregations.
    "sum", "sum(", "sum()", "sum(up,up)", "sum(1)", "sum by (up)", "sum by (job) (up)",
    "sum(up) by (job)", "sum by job (up)", "sum by (job) (up) by (job)", "sum without (job) (up)",
    "sum by () (up)", "sum by (job,) (up)", "sum by (,) (up)", "group by (a-b) (up)", "sum{}",
    'sum by ("job") (up)', "topk(up)", "topk(1,2)", "topk('a',up)", "topk(NaN, up)", "topk(1e30, up)",
    "quantile(up, up)", "count_values(1,up)", "count_values('a b',up)", "count_values('a',up)",
    "sum by (le)(latency_bucket)", "sum({__name__=~'twin_.*'})", "stdvar(temperature)",
    "max(temperature) - min(temperature)", "sum(up up)", "sum(abs(up up))", "by", "bool", "on", "atan2",
    # Functions.
    "rate(up)", "rate(requests_total[5m])", "rate(up[5m])", "rate(1)", "rate()", "rate(up[5m],1)",
    "rate(rate(up[5m]))", "rate(requests_total[5m:1m])", "nofunc(up)", "nofunc(up up)", "abs(up[5m])",
    "scalar(1)", "scalar(up)", "vector(up)", "vector(1)", "vector('a')", "time(1)", "time()", "pi()",
    "pi(1)", "absent(1)", "absent(up)", "absent(nothing{a='b',c='d'})", "absent(nothing{a=~'b'})",
    "absent_over_time(nothing[5m])", "absent_over_time({job='web'}[5m])", "histogram_quantile(0.5)",
    "histogram_quantile(0.5, up)", "histogram_quantile(up, up)",
    "histogram_quantile(0.5, latency_bucket)", "histogram_quantile(NaN, latency_bucket)",
    "label_replace(up,'a','b','c')", "label_replace(up,'a','b','c','(')",
    "label_replace(up,'a-b','b','c','d')", "label_replace(up,'','b','job','.*')",
    "label_replace(twin_left, '__name__', 'x', '', '')", "label_replace(up, 'instance', '', '', '')",
    "label_join(up,'a b',',','job')", "label_join(up)", "label_join(up,'a')", "label_join(up,'a',',')",
    "label_join(up,'a',',',1)", "round(up)", "round(up,0)", "round(up,1,2)", "round(up,)",
    "clamp(up,1)", "clamp(up,0,1)", "day_of_week()", "day_of_week(up)", "hour(up,up)", "sort(up)",
    "sort_desc(up)", "sort(1)", "predict_linear(up[5m])", "deriv(up[5m])", "last_over_time(up[5m])",
    "present_over_time(up[5m])", "quantile_over_time(2,up[5m])", "stddev_over_time(up[5m])",
    "count_over_time", "rate({__name__=~'twin_.*'}[5m])", "info(up)", "limitk(1,up)", "start()",
    "mad_over_time(up[5m])", "holt_winters(up[5m],0.5,0.5)",
    # Native histograms.
    "native", "native[1m]", "rate(native[5m])", "sum(native)", "sum(rate(native[5m]))",
    "histogram_count(native)", "histogram_sum(native)", "histogram_sum(rate(native[5m]))",
    "native + native", "count(native)", "group(native)", "absent(native)", "timestamp(native)",
    "native and up", "native or up", "native unless up", "count_over_time(native[5m])",
    "present_over_time(native[5m])", "increase(native[5m])", "scalar(native)",
    "histogram_quantile(0.9, native)", "avg(native)", "native * 2", "min(native)", "irate(native[5m])",
    # Space and comments.
    "up #comment", "#", "up # c\n + 1", "up\n", "\tup", " ", "up;", "up up", "1 1", "$x", "\\", "!")

FORMATTED = (
    "up", "1", " 1", "sum(up)by(job)", "up{", "", "a:b{c='d'}[5m]", "-(up)", "(((up)))",
    "rate(up[300s])", "up offset 60s", "1e3", '"x"', "'x\"y'", "sum without()(up)", "up and on() up",
    "x @ start()", "x==bool 1",
    "sum by (job,instance)(rate(requests_total{code=~'5..'}[5m]))/ignoring(x)group_left(y)sum(up)")


def expressions():
    for query in EXPRESSIONS:
        yield get("query", query=query, time=AT)
        yield get("query_range", query=query, **WINDOW)
    for query in FORMATTED:
        yield get("format_query", query=query)
    yield get("format_query")


# --- Series, labels and the rest -------------------------------------------------------------------

SELECTORS = (
    "up", "up{job='web'}", "{job='web'}", "{__name__=~'.+'}", "{__name__=~'latency.*',job='web'}",
    "nothing", "", "{}", "{", "up[5m]", "sum(up)", "{job=~'.*'}", "{nothing=''}", "{job!=''}",
    "{number=''}", "odd_labels", "1", "up offset 5m", "{value=~'.*\\n.*'}")

LABEL_NAMES = ("job", "__name__", "le", "nothing", "value", "number", "kind", "a-b", "1a", "a:b",
               "__a", "%C3%BC", "a/b", "_hidden")


def series():
    for selector in SELECTORS:
        for window in ({}, {"start": S, "end": S + 600}, {"start": S + 100000}, {"end": S - 100000}):
            yield get("series", match=selector, **window)
            yield get("labels", match=selector, **window)
            yield get("label/instance/values", match=selector, **window)
    yield get("series")
    for path in ("series", "labels", "label/job/values"):
        for selectors in (("up", "sparse"), ("up", "up"), ("up", "{"), ("up", "{}")):
            yield get(path, match=list(selectors))
        yield get(path, match="up", start=S + 10, end=S)
    for name in LABEL_NAMES:
        yield get(f"label/{name}/values")
        yield get(f"label/{name}/values", match="up")
    for query in ("", "traced_total", "up", "{", "1", "traced_total + up", "traced_total{shard='1'}",
                  "sum(rate(traced_total[5m]))", "{__name__=~'traced.*'} or traced_total",
                  "{__name__=~'.*'}", "traced_total offset 5m", "traced_total @ 5"):
        yield get("query_exemplars", query=query)
        yield get("query_exemplars", query=query, start=S, end=S + 3600)
        yield get("query_exemplars", query=query, start=S + 10, end=S)


def others():
    for parameters in ({}, {"limit": 1}, {"limit": 0}, {"limit": -1}, {"limit": "x"}, {"limit": "1.5"},
                       {"metric": "up"}, {"metric": "x", "limit": 0}, {"limit": ""},
                       {"limit": "99999999999999999999"}):
        yield get("metadata", **parameters)
    for type_ in ("alert", "record", "odd", "", "Alert"):
        yield get("rules", type=type_)
    for path in ("rules", "alerts", "targets", "targets/metadata", "alertmanagers", "scrape_pools",
                 "status/walreplay", "targets?state=active", "targets?state=odd",
                 "targets/metadata?limit=x", "targets/metadata?match_target={",
                 "targets/metadata?metric=up&match_target={job='x'}", "status/tsdb?limit=x",
                 "status/tsdb?limit=0"):
        yield Request("GET", "/api/v1/" + path.replace("{", "%7B").replace("}", "%7D"))
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "POST"):
        for path in ("query", "query_range", "series", "labels", "label/job/values", "metadata",
                     "rules", "status/tsdb", "status/flags", "nothing", "query_exemplars",
                     "format_query", "targets"):
            yield Request(method, "/api/v1/" + path)
    for origin in ("http://elsewhere", "null"):
        yield Request("GET", "/api/v1/query?query=1&time=5", headers={"Origin": origin})
        yield Request("OPTIONS", "/api/v1/query", headers={"Origin": origin})
    for path in ("/api/v1/", "/api/v2/query", "/api/v1/nothing", "/-/healthy", "/-/ready", "/-/nothing",
                 "/api/v1/status", "/api/v1/admin/tsdb/nothing"):
        for method in ("GET", "HEAD", "POST"):
            yield Request(method, path)


def administration():
    """Nothing that would change the data."""
    for parameters in ({}, {"match[]": "{"}, {"match[]": "nothing", "start": "x"},
                       {"match[]": "nothing"}, {"match[]": ["nothing", "{}"]},
                       {"match[]": "nothing{a=~'.*'}"}, {"match[]": "nothing", "start": 5, "end": 1}):
        for method in ("POST", "PUT", "GET"):
            yield Request(method, "/api/v1/admin/tsdb/delete_series", parameters)
    yield post("admin/tsdb/delete_series", {"match[]": "nothing"})
    yield Request("POST", "/api/v1/admin/tsdb/snapshot", {"skip_head": "maybe"})
    yield Request("POST", "/api/v1/admin/tsdb/snapshot", {"skip_head": "true"})
    yield Request("PUT", "/api/v1/admin/tsdb/snapshot", {"skip_head": ""})
    yield Request("GET", "/api/v1/admin/tsdb/snapshot")
    yield Request("PUT", "/api/v1/admin/tsdb/clean_tombstones")


def all_requests():
    for family in (times, durations, statistics, forms, expressions, series, others, administration):
        yield from family()
