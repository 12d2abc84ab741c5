"""Series that went quiet leave the node's memory; what they were is found as before, also by name,
and when they return they are the same series. The node's clock is moved from hour to hour."""
import os
import sys
import time
import unittest

import harness
import remote_write as rw

sys.path.insert(1, os.path.join(os.path.dirname(__file__), "..", "support", "moved_clock"))
from moved_clock import MovedClock  # pylint: disable=wrong-import-position

HOUR_MS = 3600 * 1000
STAYING, LEAVING = 5, 20


def labels_of(metric, number):
    return [("__name__", metric), ("instance", f"host-{number}"), ("job", "test")]


class Forgetting(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        clock = MovedClock(os.environ["MOVED_CLOCK_LIBRARY"], os.path.join(self.folder, "clock"))
        self.node_environment = {
            **clock.environment,
            # Preloaded libraries come before the sanitizer's.
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.clock = clock
        self.start_ms = (int(time.time()) * 1000 // HOUR_MS - 48) * HOUR_MS
        self.clock.set(self.start_ms)
        self.node = self.start_node("--telemetry.self_write=false", "--cluster.shards=1")

    def write(self, metric, count, at_ms):
        """A minute of samples, each with an exemplar, and metadata."""
        request = rw.Request2()
        for number in range(count):
            samples = [(at_ms + i * 15000, float(number + i)) for i in range(4)]
            request.add(labels_of(metric, number), samples,
                        exemplars=[([("trace_id", str(at_ms))], at_ms, 1.0)],
                        metadata=(rw.METRIC_GAUGE, f"Help of {metric}.", ""))
        answer = self.node.request("POST", "/api/v1/write", rw.snappy(request.bytes()),
                                   rw.HEADERS_2)
        self.assertEqual(answer.status, 204, answer.body)

    def live_on(self, hours, first=1):
        """Only the staying series are written, every two hours."""
        for hour in range(first, hours, 2):
            at_ms = self.start_ms + hour * HOUR_MS
            self.clock.set(at_ms + 60000)
            self.write("staying", STAYING, at_ms)
            self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)

    def names_in(self, start_ms, end_ms):
        return self.node.get("/api/v1/label/__name__/values", start=start_ms / 1000,
                             end=end_ms / 1000).data()

    def check_past(self):
        """The first minute, in which all were written."""
        start_ms, end_ms = self.start_ms, self.start_ms + 45000
        count = self.node.query("sum(count_over_time(leaving[1m]))", time=end_ms / 1000)["result"]
        self.assertEqual([one["value"][1] for one in count], [str(4 * LEAVING)])
        value = self.node.query('leaving{instance="host-7"}', time=end_ms / 1000)["result"]
        self.assertEqual([one["value"][1] for one in value], ["10"])
        self.assertEqual(self.names_in(start_ms, end_ms), ["leaving", "staying"])
        found = self.node.get("/api/v1/series", **{"match[]": "leaving"}, start=start_ms / 1000,
                              end=end_ms / 1000).data()
        self.assertEqual(sorted(one["instance"] for one in found),
                         sorted(f"host-{number}" for number in range(LEAVING)))
        exemplars = self.node.get("/api/v1/query_exemplars", query="leaving",
                                  start=start_ms / 1000, end=end_ms / 1000).data()
        self.assertEqual(len(exemplars), LEAVING)
        self.assertEqual(exemplars[0]["exemplars"][0]["labels"], {"trace_id": str(start_ms)})

    def series_known(self):
        return self.node.metric("gnomon_shard_series")

    def kill_and_restart(self):
        self.node.kill()
        self.node = self.restart(self.node)

    def test_quiet_series_leave_and_return(self):
        self.write("leaving", LEAVING, self.start_ms)
        self.write("staying", STAYING, self.start_ms)
        self.assertEqual(self.series_known(), LEAVING + STAYING)
        self.live_on(12)
        harness.wait_until(lambda: self.series_known() == STAYING, "quiet series are forgotten",
                           alive=self.node)
        self.assertEqual(self.node.metric("gnomon_shard_series_forgotten_total"), LEAVING)
        self.check_past()
        now_ms = self.start_ms + 11 * HOUR_MS
        self.assertEqual(self.names_in(now_ms - HOUR_MS, now_ms), ["staying"])
        self.kill_and_restart()
        self.assertEqual(self.series_known(), STAYING)
        self.check_past()

        # Two of them return: the same series, whose samples are one row.
        self.write("leaving", 2, now_ms)
        self.assertEqual(self.series_known(), STAYING + 2)
        for _ in range(2):
            self.check_past()
            rows = self.node.query("leaving[12h]", time=(now_ms + 60000) / 1000)["result"]
            self.assertEqual(sorted(len(row["values"]) for row in rows), [4] * 18 + [8] * 2)
            found = self.node.get("/api/v1/series", **{"match[]": "leaving"},
                                  start=self.start_ms / 1000, end=now_ms / 1000).data()
            self.assertEqual(len(found), LEAVING)
            self.kill_and_restart()

    def test_metadata_leaves_a_day_later(self):
        self.write("leaving", LEAVING, self.start_ms)
        self.live_on(24)
        self.assertEqual(sorted(self.node.get("/api/v1/metadata").data()), ["leaving", "staying"])
        self.live_on(40, first=25)

        def metrics():
            return sorted(self.node.get("/api/v1/metadata").data())

        harness.wait_until(lambda: metrics() == ["staying"], "metadata is forgotten",
                           alive=self.node)
        self.check_past_of_names()
        self.kill_and_restart()
        self.assertEqual(metrics(), ["staying"])
        self.write("leaving", 1, self.start_ms + 39 * HOUR_MS)
        self.assertEqual(metrics(), ["leaving", "staying"])

    def check_past_of_names(self):
        self.assertEqual(self.names_in(self.start_ms, self.start_ms + 45000), ["leaving"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
