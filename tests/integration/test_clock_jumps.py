"""A wall clock that jumps by days under a node that keeps data by age and writes its own metrics."""
import os
import sys
import time

import harness
import remote_write as rw

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support",
                                "moved_clock"))
import moved_clock # noqa: E402

DAY_MS = 24 * 3600 * 1000
SAMPLES = 100


class ClockJumps(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.clock = moved_clock.MovedClock(os.environ["MOVED_CLOCK_LIBRARY"],
                                            os.path.join(self.folder, "clock"))
        self.node_environment = {
            **self.clock.environment,
            # The preloaded library stands before the sanitizer's.
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.move_to(0)
        self.now_ms = int(time.time() * 1000)

    def move_to(self, days):
        self.clock.set(int(time.time() * 1000) + days * DAY_MS)

    def write(self, node, name, start_ms, count=1):
        body = rw.snappy(rw.series_1([("__name__", name)],
                                     [(start_ms + i * 1000, float(i)) for i in range(count)]))
        return node.request("POST", "/api/v1/write", body, rw.HEADERS_1).status

    def kept(self, node):
        result = node.query("count_over_time(kept[10d])", time=self.now_ms / 1000)["result"]
        return int(result[0]["value"][1]) if result else 0

    def own_metrics_at(self, node, days):
        return node.query("gnomon_build_info", time=time.time() + days * 86400)["result"]

    def test_jumps_delete_nothing_and_right_samples_are_taken(self):
        node = self.start_node("--storage.retention=10d", "--telemetry.interval=200ms")
        self.assertEqual(self.write(node, "kept", self.now_ms - 5 * DAY_MS, SAMPLES), 204)
        self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        for days in (30, 0, 400, -3, 0):
            self.move_to(days)
            if days > 0:
                harness.wait_until(lambda days=days: self.own_metrics_at(node, days),
                                   "the node writes by the wrong clock", alive=node)
                self.assertEqual(self.write(node, f"during_{days}", int(time.time() * 1000)), 204)
            self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
            time.sleep(1.2) # the retention is looked at every second
            self.assertEqual(self.kept(node), SAMPLES, f"{days} days ahead")
            self.assertTrue(node.is_ready())
        self.assertIn("the clock jumped ahead", node.log_text())
        node.terminate()
        node = self.restart(node)
        self.assertEqual(self.kept(node), SAMPLES)
        node.terminate()


if __name__ == "__main__":
    harness.main()
