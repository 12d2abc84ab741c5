"""Makes random PromQL expressions, well-typed, over the samples of data.py.

What Prometheus 2 and 3 answer differently is left out, and so is what has no defined answer:

- `exact` says that a result has the same bits in both whatever the order of a sum. Only such results
  are compared, rounded or given to functions that enlarge a last digit (sines, differences).
- Deviations of groups with values that are not finite; names after atan2; calendars of years that no
  integer holds; names of labels other than words; `holt_winters`, which is no more.
- predict_linear and timestamp of a selector with @, which go wrong in Prometheus 2; sums of overflow.
"""
import random

import data

MATCHERS = ('job="web"', 'job="web"', 'job!="db"', 'job=~"web|db"', 'job!~"d.+"', 'instance="a:80"',
            'instance=~".*80"', 'instance=~"[ab]:.+"', 'job=~".+"', 'missing=""', 'missing=""',
            'instance!="b:80"', 'job=~"web|cache"', 'job="none"')
RANGES = ("15s", "1m", "2m30s", "5m", "17m", "40m", "90s", "400ms", "4m59s999ms")
OFFSETS = ("1m", "5m", "15m30s", "-1m", "-10m", "1s", "30m")
GROUPINGS = ("", " by (job)", " by (instance)", " by (job, code)", " without (instance)",
             " without (job, instance)", " by ()", " by (missing)", " by (__name__)",
             " without (code, le, kind)", " by (job, le)")

# Metric -> exact whole numbers (sums have no rounding) or not.
METRICS = {"requests_total": True, "temperature": False, "jittery": False, "queue_length": True,
           "up": True, "target_info": True, "latency_bucket": True, "latency_count": True,
           "odd_labels": True, "sparse": True, "flapping": True, "single": True, "twin_left": True,
           "odd_values": False, "small_total": True}
COUNTERS = ("requests_total", "requests_total", "latency_bucket", "latency_sum", "small_total")
GAUGES = ("temperature", "queue_length", "up", "jittery", "sparse", "flapping", "odd_values")

EXACT_FUNCTIONS = ("abs", "ceil", "floor", "sgn", "round", "timestamp")
SMOOTH_FUNCTIONS = ("exp", "ln", "log2", "log10", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan",
                    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad")
CALENDAR = ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month",
            "year")
OVER_TIME_EXACT = ("min_over_time", "max_over_time", "count_over_time", "last_over_time",
                   "present_over_time", "changes", "resets", "quantile_over_time(0, ",
                   "quantile_over_time(1, ")
OVER_TIME_ROUNDED = ("avg_over_time", "stddev_over_time", "stdvar_over_time", "deriv",
                     "quantile_over_time(0.5, ", "quantile_over_time(0.93, ",
                     "quantile_over_time(-1, ", "quantile_over_time(2, ")


class Vector:
    def __init__(self, text, exact, binds_loosely=False):
        self.text = text
        self.exact = exact
        self.binds_loosely = binds_loosely

    def inner(self):
        return f"({self.text})" if self.binds_loosely else self.text


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, choices):
        return self.random.choice(choices)

    def chance(self, probability):
        return self.random.random() < probability

    # --- Selectors ---------------------------------------------------------------------------

    def modifiers(self):
        text = ""
        if self.chance(0.12):
            text += self.pick((" @ start()", " @ end()",
                               f" @ {data.START_S + self.random.randrange(4000)}.5"))
        if self.chance(0.15):
            text += " offset " + self.pick(OFFSETS)
        return text

    def selector(self, metrics):
        name = self.pick(metrics)
        matchers = []
        if not name.startswith("odd_"):
            matchers = [self.pick(MATCHERS) for _ in range(self.pick((0, 0, 0, 1, 1, 2)))]
        if name == "requests_total" and self.chance(0.4):
            matchers.append(self.pick(('code="200"', 'code!="200"', 'code=~"4.."')))
        if name == "latency_bucket" and self.chance(0.3):
            matchers.append(self.pick(('le="+Inf"', 'le=~"0.*"', 'le="10"')))
        if name == "odd_values" and self.chance(0.8):
            matchers.append('kind=' + self.pick(('"nan"', '"infinities"', '"some_nan"', '"zeros"',
                                                 '"thirds"', '~"t.*"', '~".*inf.*"', '"huge"')))
        return name, name + ("{" + ",".join(matchers) + "}" if matchers else "")

    def instant(self):
        name, text = self.selector(tuple(METRICS))
        return Vector(text + self.modifiers(), True), METRICS[name]

    def range(self, metrics, depth, whole=False):
        """A matrix: (text, samples have the same bits, and are whole numbers)."""
        if depth > 0 and self.chance(0.25):
            inner = self.vector(depth - 1)
            # The inner times are multiples of the step; a range that is none reaches no sample of
            # an inner subquery at its left end.
            length, step = self.pick((("5m", "30s"), ("10m", "1m"), ("3m", "7s"), ("20m", "2m"),
                                      ("10m", ""), ("1m", "15s"), ("50s", "1m")))
            if (length, step) == ("50s", "1m") and "@" in inner.text:
                step = "10s" # 2.42 shows a pinned point that lies behind the end
            return f"({inner.text})[{length}250ms:{step}]" + self.modifiers(), inner.exact, False
        name, text = self.selector(metrics)
        return (f"{text}[{self.pick(RANGES)}]" + self.modifiers(), True,
                METRICS.get(name, True))

    # --- Vectors -----------------------------------------------------------------------------

    def vector(self, depth):
        if depth <= 0:
            return self.instant()[0]
        makers = ((self.plain, 2), (self.over_time, 5), (self.rate, 5), (self.aggregate, 6),
                  (self.ranked, 1), (self.function, 4), (self.with_scalar, 4), (self.matched, 5),
                  (self.set_operation, 3), (self.labels, 2), (self.quantile, 2), (self.absent, 1),
                  (self.from_scalar, 1), (self.calendar, 1), (self.native, 2))
        maker = self.random.choices([one for one, _ in makers], [weight for _, weight in makers])[0]
        return maker(depth - 1)

    def plain(self, _depth):
        return self.instant()[0]

    def over_time(self, depth):
        if self.chance(0.12): # whole numbers only: no rounding
            text, _, _ = self.range(("requests_total", "queue_length", "up", "latency_count"), 0)
            return Vector(f"sum_over_time({text})", True)
        text, exact, _ = self.range(GAUGES + COUNTERS, depth)
        if self.chance(0.5) or not exact:
            name = self.pick(OVER_TIME_EXACT)
        else:
            name, exact = self.pick(OVER_TIME_ROUNDED), False
            if "odd_values" in text:
                name = "count_over_time"
        if self.chance(0.06) and "@" not in text:
            return Vector(f"predict_linear({text}, {self.pick((0, 60, 3600, -100))})", False)
        return Vector(f"{name}{text})" if name.endswith(" ") else f"{name}({text})", exact)

    def rate(self, depth):
        if self.chance(0.35):
            text, exact, whole = self.range(GAUGES, depth)
            if exact:
                name = self.pick(("delta", "idelta"))
                return Vector(f"{name}({text})", whole and name == "idelta")
        text, _, _ = self.range(COUNTERS, 0)
        return Vector(f"{self.pick(('rate', 'increase', 'irate'))}({text})", False)

    def aggregate(self, depth):
        grouping = self.pick(GROUPINGS)
        kind = self.pick(("sum", "sum", "avg", "min", "max", "count", "group", "stddev", "quantile",
                          "count_values"))
        if kind == "stddev":
            _, text = self.selector(("temperature", "queue_length", "up", "sparse"))
            return Vector(f"{self.pick(('stddev', 'stdvar'))}{grouping} ({text})", False)
        if kind == "sum" and self.chance(0.5):
            _, text = self.selector(("requests_total", "queue_length", "up", "latency_bucket"))
            return Vector(f"sum{grouping} ({text})", True)
        inner = self.vector(depth)
        if kind == "quantile":
            return Vector(f"quantile{grouping} ({self.pick((0.5, 0, 1, 0.9, -1, 2, 'NaN'))}, "
                          f"{inner.text})", False)
        if kind == "count_values":
            if not inner.exact:
                kind = "count"
            else:
                return Vector(f'count_values{grouping} ("value", {inner.text})', True)
        exact = kind in ("count", "group") or (inner.exact and kind in ("min", "max"))
        return Vector(f"{kind}{grouping} ({inner.text})", exact)

    def ranked(self, depth):
        # Ties have no defined order: values that do not tie.
        _, text = self.selector(("jittery",))
        text = f"{text}{self.modifiers()}"
        grouping = self.pick(("", "", " by (job)", " without (instance)"))
        return Vector(f"{self.pick(('topk', 'bottomk'))}{grouping} "
                      f"({self.pick((1, 2, 3, 100, 0, -1, 2.7))}, {text})", True)

    def function(self, depth):
        inner = self.vector(depth)
        if self.chance(0.25):
            return Vector(self.pick((f"clamp({inner.text}, -3, 12)", f"clamp_min({inner.text}, 2)",
                                     f"clamp_max({inner.text}, 2)", f"clamp({inner.text}, 5, 1)")),
                          inner.exact)
        if inner.exact and self.chance(0.5):
            name = self.pick(EXACT_FUNCTIONS)
            if name == "timestamp" and "@" in inner.text:
                name = "abs"
            if name == "round" and self.chance(0.5):
                return Vector(f"round({inner.text}, {self.pick((5, 10, 0.5, 1))})", True)
            return Vector(f"{name}({inner.text})", True)
        if not inner.exact:
            return Vector(f"{self.pick(('abs', 'deg', 'rad'))}({inner.text})", False)
        return Vector(f"{self.pick(SMOOTH_FUNCTIONS)}({inner.text})", False)

    def with_scalar(self, depth):
        inner = self.vector(depth)
        scalar = self.scalar(depth)
        left, right = (inner.inner(), scalar) if self.chance(0.7) else (scalar, inner.inner())
        if inner.exact and self.chance(0.45):
            comparison = self.pick(("==", "!=", ">", "<", ">=", "<="))
            boolean = self.pick(("", " bool"))
            return Vector(f"{left} {comparison}{boolean} {right}", True, True)
        if inner.exact and self.chance(0.2):
            return Vector(f"{left} % {right}", True, True)
        if self.chance(0.1):
            return Vector(f"-{inner.inner()}", inner.exact, True)
        # Not atan2: Prometheus 2 keeps the name of a metric there.
        return Vector(f"{left} {self.pick('+-*/^')} {right}", False, True)

    def scalar(self, depth):
        return self.pick(("0", "1", "2", "-1", "0.5", "1e3", "NaN", "Inf", "-Inf", "7", "3", "-0",
                          "time()", "pi()", "(2 ^ 3)", "(1 > bool 2)", "0x1f", "1e-3",
                          'scalar(up{instance="a:80"})', "scalar(up)",
                          "scalar(sum(queue_length))" if depth else "12"))

    def matching(self, many):
        text = self.pick((" on (job, instance)", " on (instance)", " on (job)", " ignoring (code)",
                          " ignoring (code, le, sensor, version, zone)", " on ()", "",
                          " ignoring (job, instance, code, sensor, le)"))
        if text and many and self.chance(0.6):
            text += self.pick((" group_left", " group_right", " group_left (version)",
                               " group_right (zone)", " group_left ()"))
        return text

    def matched(self, depth):
        if self.chance(0.3): # joins that succeed
            left, exact = self.instant()
            del exact
            operator = self.pick(("*", "+", "==", "> bool"))
            return Vector(f"{left.text} {operator} on (job, instance) group_left (version) target_info",
                          left.exact and operator in ("==", "> bool"), True)
        left, right = self.vector(depth), self.vector(depth)
        if left.exact and right.exact and self.chance(0.5):
            operator = self.pick(("==", "!=", ">", "<", ">=", "<=", "== bool", "> bool", "<= bool"))
            return Vector(f"{left.inner()} {operator}{self.matching(True)} {right.inner()}", True,
                          True)
        if self.chance(0.1):
            return Vector(f"{left.inner()} atan2 on (job, instance) {right.inner()}", False, True)
        operator = self.pick("+-*/^")
        return Vector(f"{left.inner()} {operator}{self.matching(True)} {right.inner()}", False, True)

    def set_operation(self, depth):
        left, right = self.vector(depth), self.vector(depth)
        operator = self.pick(("and", "or", "unless"))
        return Vector(f"{left.inner()} {operator}{self.matching(False)} {right.inner()}",
                      left.exact and (right.exact or operator != "or"), True)

    def labels(self, depth):
        inner = self.vector(depth)
        return Vector(self.pick((
            f'label_replace({inner.text}, "host", "$1", "instance", "(.*):.*")',
            f'label_replace({inner.text}, "job", "x", "job", "web")',
            f'label_replace({inner.text}, "new", "${{1}}-$2", "instance", "(.):(\\\\d+)")',
            f'label_replace({inner.text}, "instance", "", "instance", "a.*")',
            f'label_join({inner.text}, "joined", "-", "job", "instance", "none")',
            f'label_join({inner.text}, "job", "", "missing")')), inner.exact)

    def quantile(self, _depth):
        phi = self.pick(("0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN", "scalar(up)"))
        _, text = self.selector(("latency_bucket",))
        inner = self.pick((f"rate({text}[{self.pick(RANGES)}])", text,
                           f"sum by (le) (rate({text}[5m]))", f"sum by (job, le) ({text})",
                           f"increase({text}[10m])"))
        return Vector(f"histogram_quantile({phi}, {inner})", False)

    def absent(self, depth):
        if self.chance(0.5):
            _, text = self.selector(tuple(METRICS))
            return Vector(self.pick((f"absent({text})", f"absent_over_time({text}[5m])")), True)
        return Vector(f"absent({self.vector(depth).text})", True)

    def native(self, depth):
        """Numbers out of native histograms."""
        if depth > 0 and self.chance(0.2):
            _, text = self.selector(("native",))
            return Vector(f"count_over_time({text}[{self.pick(RANGES)}])", True)
        maker = self.pick(("histogram_count({})", "histogram_sum({})", "count({})", "group({})",
                           "absent({})", "up unless on (job, instance) ({})"))
        return Vector(maker.format(self.histograms()), False, True)

    def histograms(self):
        """Native histograms, as far as Prometheus 2.42 takes them: no function but these."""
        _, text = self.selector(("native",))
        return self.pick((f"{text}{self.modifiers()}", f"rate({text}[{self.pick(RANGES)}])",
                          f"increase({text}[5m])", f"sum by (job) ({text})", f"sum ({text})",
                          f"sum (rate({text}[{self.pick(('1m', '5m', '17m'))}]))",
                          f"{text} + on (job, instance) {text} offset 1m", f"{text} and up",
                          f"({text}) or up", f"{text} unless up"))

    def from_scalar(self, depth):
        return Vector(self.pick((f"vector({self.scalar(depth)})", f"vector(time())",
                                 f"vector(scalar({self.vector(depth).text}))")), False)

    def calendar(self, _depth):
        name = self.pick(CALENDAR)
        return Vector(self.pick((f"{name}()", f"{name}(vector(time() * {self.pick((1, 1.7, -1))}))",
                                 f"{name}({self.selector(('up', 'sparse', 'requests_total'))[1]})")),
                      True)

    # --- Queries -----------------------------------------------------------------------------

    def expression(self):
        """(expression, may be a range query)."""
        depth = self.pick((1, 1, 2, 2, 2, 3, 3, 4))
        chosen = self.random.random()
        if chosen < 0.03:
            return f"{self.scalar(2)} {self.pick('+-*/^%')} {self.scalar(2)}", True
        if chosen < 0.06:
            return self.range(tuple(METRICS), depth)[0], False
        if chosen < 0.09: # ordered
            _, text = self.selector(("jittery",))
            return f"{self.pick(('sort', 'sort_desc'))}({text})", False
        if chosen < 0.12:
            return self.histograms(), True
        return self.vector(depth).text, True

    def time(self):
        """At a half second, where no sample lies; sometimes where looking back ends."""
        if self.chance(0.8):
            return data.START_S + self.random.randrange(600, data.LENGTH_S - 300) + 0.5
        return data.START_S + self.random.randrange(-900, data.LENGTH_S + 1300) + 0.5

    def query(self):
        """(endpoint, parameters)."""
        expression, may_be_range = self.expression()
        if not may_be_range or self.chance(0.5):
            return "query", {"query": expression, "time": f"{self.time():.3f}"}
        step = self.pick((1, 5, 15, 30, 60, 77, 300, 601))
        start = self.time()
        return "query_range", {"query": expression, "start": f"{start:.3f}",
                               "end": f"{start + step * self.random.randrange(0, 60):.3f}",
                               "step": str(step)}
