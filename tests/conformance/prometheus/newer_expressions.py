"""Random expressions with what Prometheus 3 has and 2.42 has not, over the samples of newer_data.py.

Left out is what depends on how Prometheus stores: empty buckets of a histogram are there or not by the
chunk it lies in, which `changes` and `==` see, and a product with NaN or infinity shows; which series
come first is not defined for `limitk` and for ties of `topk`.
"""
import expressions
from expressions import RANGES, Vector

HISTOGRAMS = ("sized", "sized", "signed", "fractions", "bounded", "level", "native", "mixed")
# A rate of gauges is nonsense, and another one where Prometheus reads nothing but counts and sums.
COUNTING = tuple(name for name in HISTOGRAMS if name != "level")
NUMBERS = ("0.5", "2", "-1", "0", "3", "1e3", "0.1")
FRACTIONS = ("0.5", "0.9", "0.99", "0", "1", "0.25", "-1", "2", "NaN", "0.001")
# Of a number without a unit, and of expressions.
DURATIONS = ("300", "60", "1m + 30s", "5m / 2", "2 * 1m", "-(1m)", "1m ^ 1", "step()", "(1m + step())",
             "90s % 1m", "0x3c", "1_0_0")


class Generator(expressions.Generator):
    def histogram_selector(self, modified=True):
        _, text = self.selector(HISTOGRAMS)
        return text + (self.modifiers() if modified else "")

    def histogram_range(self):
        _, text = self.selector(COUNTING)
        if self.chance(0.1):
            return f"({text})[{self.pick(('5m', '10m'))}250ms:{self.pick(('30s', '1m', '7s'))}]"
        return f"{text}[{self.pick(RANGES)}]{self.modifiers()}"

    def histograms(self, depth=2):
        """A vector that has histograms, mostly."""
        if depth <= 0 or self.chance(0.2):
            return self.histogram_selector()
        inner = self.histograms(depth - 1) if self.chance(0.4) else self.histogram_selector()
        grouping = self.pick(("", " by (job)", " by (instance)", " without (instance)", " by ()"))
        number = self.pick(NUMBERS)
        return self.pick((
            lambda: f"rate({self.histogram_range()})",
            lambda: f"increase({self.histogram_range()})",
            lambda: f"delta({self.histogram_range()})",
            lambda: f"irate({self.histogram_range()})",
            lambda: f"idelta({self.histogram_range()})",
            lambda: f"sum_over_time({self.histogram_range()})",
            lambda: f"avg_over_time({self.histogram_range()})",
            lambda: f"last_over_time({self.histogram_range()})",
            lambda: f"first_over_time({self.histogram_range()})",
            lambda: f"sum{grouping} ({inner})",
            lambda: f"avg{grouping} ({inner})",
            lambda: f"({inner}) * {number}",
            lambda: f"{number} * ({inner})",
            lambda: f"({inner}) / {number}",
            lambda: f"-({inner})",
            lambda: f"+({inner})",
            lambda: f"({inner}) {self.pick('+-')}{self.matching(False)} ({self.histogram_selector()})",
            lambda: f"({inner}) {self.pick(('and', 'or', 'unless'))}{self.matching(False)} "
                    f"({self.histogram_selector()})",
            lambda: f"limitk{grouping} ({self.pick((100, 0))}, {inner})",
            lambda: f"limit_ratio{grouping} ({self.pick((1, 0, -1))}, {inner})",
            lambda: f"label_replace({inner}, \"new\", \"$1\", \"instance\", \"(.):.*\")",
        ))()

    def of_histograms(self):
        """Numbers made of histograms."""
        inner = self.histograms()
        fraction = self.pick(FRACTIONS)
        grouping = self.pick(("", " by (job)", " without (instance)"))
        return self.pick((
            lambda: f"histogram_count({inner})",
            lambda: f"histogram_sum({inner})",
            lambda: f"histogram_avg({inner})",
            lambda: f"histogram_stddev({inner})",
            lambda: f"histogram_stdvar({inner})",
            lambda: f"histogram_quantile({fraction}, {inner})",
            lambda: f"histogram_quantile({fraction}, {inner})",
            lambda: f"histogram_fraction({self.pick(NUMBERS)}, {self.pick(NUMBERS + ('Inf', 'NaN'))}, {inner})",
            lambda: f"histogram_fraction(-Inf, {self.pick(NUMBERS)}, {inner})",
            lambda: f"count_over_time({self.histogram_range()})",
            lambda: f"present_over_time({self.histogram_range()})",
            lambda: f"resets({self.histogram_range()})",
            lambda: f"count{grouping} ({inner})",
            lambda: f"group{grouping} ({inner})",
            lambda: f"count_values{grouping} (\"value\", {self.histogram_selector(False)})",
            lambda: f"({inner}) {self.pick(('>', '<', '==', '> bool', '+', '^', '%', 'atan2'))} "
                    f"{self.pick(NUMBERS)}",
            lambda: f"({inner}) {self.pick(('*', '+', '/', '>', '-'))} on (job, instance) up",
            lambda: f"{self.pick(('min', 'max', 'stddev', 'stdvar'))}{grouping} ({inner})",
            lambda: f"topk{grouping} (2, {inner})",
            lambda: f"quantile{grouping} (0.5, {inner})",
            lambda: f"{self.pick(('abs', 'ceil', 'ln', 'timestamp', 'sgn', 'round'))}({inner})",
            lambda: f"{self.pick(('min', 'max', 'stddev', 'mad', 'ts_of_last', 'ts_of_first'))}"
                    f"_over_time({self.histogram_range()})",
            lambda: f"scalar({inner}) + vector(1)",
            lambda: f"absent({inner})",
            lambda: f"deriv({self.histogram_range()})",
            lambda: f"quantile_over_time(0.5, {self.histogram_range()})",
        ))()

    def newer(self, depth):
        """Functions and forms that 2.42 has not."""
        range_text, _, _ = self.range(expressions.GAUGES + expressions.COUNTERS, 0)
        inner = self.vector(depth).text
        _, selector = self.selector(("up", "queue_length", "requests_total", "latency_count"))
        return self.pick((
            lambda: f"mad_over_time({range_text})",
            lambda: f"first_over_time({range_text})",
            lambda: f"ts_of_{self.pick(('min', 'max', 'last', 'first'))}_over_time({range_text})",
            lambda: f"double_exponential_smoothing({range_text}, 0.{self.pick('159')}, 0.5)",
            lambda: f"info({selector})",
            lambda: f"info({selector}, {{version=\"9\"}})",
            lambda: f"info({selector}, {{__name__=~\".+_info\", version=~\".+\"}})",
            lambda: f"info({selector}, {{__name__=\"build_info\", revision=~\"r[12]\"}})",
            lambda: f"{{\"{self.pick(('up', 'namé with.dots', 'sparse'))}\"}}",
            lambda: "sum by (\"läbel one\", \"a:b\") ({\"namé with.dots\"})",
            lambda: f"limitk({self.pick((100, 0))}, {selector})",
            lambda: f"limit_ratio({self.pick((0.5, -0.5, 1, 0.1))}, {selector})",
            lambda: f"{selector} offset {self.pick(DURATIONS)}",
            lambda: f"sum_over_time({selector}[{self.pick(DURATIONS[:5])}])",
            lambda: f"last_over_time({selector}[{self.pick(('300', '10m'))}:{self.pick(DURATIONS[:5])}])",
            lambda: f"({inner}) + 1",
            lambda: f"{self.pick(('rate', 'increase', 'delta', 'changes', 'resets'))}"
                    f"({selector}[{self.pick(RANGES)}] {self.pick(('smoothed', 'anchored'))})",
            lambda: f"{selector} smoothed",
            lambda: f"quantile_over_time({self.pick(FRACTIONS)}, {range_text})",
            lambda: f"topk({self.pick(('NaN', '-Inf', '100'))}, {selector})",
            lambda: f"double_exponential_smoothing({range_text}, 2, 0.5)",
            lambda: f"label_replace({selector}, \"né w\", \"$1\", \"job\", \"(.*)\")",
            lambda: f"rate({self.pick(('temperature', 'up', 'sized_bucket'))}[5m])",
            lambda: f"histogram_quantile(0.9, {self.pick(('sized_bucket', 'requests_total', 'up'))})",
            lambda: f"histogram_fraction(0.2, 3, {self.pick(('latency_bucket', 'sized_bucket'))})",
        ))()

    def expression(self):
        chosen = self.random.random()
        if chosen < 0.35:
            return self.histograms(self.pick((1, 2, 2, 3))), True
        if chosen < 0.7:
            return self.of_histograms(), True
        if chosen < 0.95:
            return self.newer(self.pick((0, 1))), True
        if chosen < 0.97:
            _, text = self.selector(("versions", "odd_labels", "up"))
            return f"{self.pick(('sort_by_label', 'sort_by_label_desc'))}({text}, " \
                   f"\"{self.pick(('release', 'number', 'instance'))}\")", False
        return self.histogram_range(), False
