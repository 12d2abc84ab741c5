"""Tenants and rules keep as long as they say, here and in the bucket; what is kept shorter waits for
its grace over a restart; deletions of series and of tenants leave the disk and the bucket."""
import os
import subprocess
import time

import bucket_reader
import harness
from remote_write import HEADERS_1, series_1, snappy
from test_cluster import ClusterTest

HOUR_S = 60 * 60
STEP_S = 120
SERIES = 6
ADMIN = "/api/v1/admin"


class RetentionTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.bucket = os.path.join(self.folder, "bucket")
        self.file = os.path.join(self.folder, "settings.yaml")
        self.now_s = int(time.time())

    def configure(self, text):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    def settings(self):
        return (f"--config={self.file}", "--object_store.type=directory",
                f"--object_store.directory={self.bucket}", "--object_store.delete_grace=2s",
                "--object_store.sweep_age=10m", "--telemetry.self_write=false",
                "--cluster.shards=2", "--tenants.enabled=true")

    def begin(self, text):
        self.configure(text)
        self.node = self.start_node(*self.settings())
        self.wait_for_version()

    def wait_for_version(self):
        harness.wait_until(lambda: self.node.metric("gnomon_shard_state_version") >= 3 * 2,
                           "shards know policies", alive=self.node)

    def write(self, tenant, job, hours, node=None, series=SERIES):
        """Of the last hours; how many samples that is."""
        times = range(self.now_s - hours * HOUR_S, self.now_s, STEP_S)
        body = b"".join(series_1([("__name__", "m"), ("instance", f"host-{number}"), ("job", job)],
                                 [(at * 1000, float(number)) for at in times])
                        for number in range(series))
        answer = (node or self.node).request("POST", "/api/v1/write", snappy(body),
                                             {**HEADERS_1, "X-Scope-OrgID": tenant})
        self.assertEqual(answer.status, 204, answer.body)
        return len(times) * series

    def flush(self, path="/admin/flush"):
        answer = self.node.request("POST", "/api/v1" + path)
        self.assertEqual(answer.status, 204, answer.body)

    def ask(self, tenant, path, node=None, **parameters):
        answer = (node or self.node).request(
            "GET", f"/api/v1/{path}?" + harness.query_string(parameters), None,
            {"X-Scope-OrgID": tenant})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.data()

    def samples(self, tenant, node=None, **labels):
        selector = "m{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
        found = self.ask(tenant, "query", node, query=f"sum(count_over_time({selector}[40d]))",
                         time=str(self.now_s))["result"]
        return int(found[0]["value"][1]) if found else 0

    def jobs(self, tenant):
        return self.ask(tenant, "label/job/values", start="1", end=str(self.now_s))

    def listed(self):
        try:
            return bucket_reader.listed_samples(self.bucket)
        except (AssertionError, FileNotFoundError, ValueError):
            return -1  # it is being changed

    def wait_until_listed(self, expected, what):
        """`expected` takes the number of samples in the bucket."""
        harness.wait_until(lambda: expected(self.listed()) and
                           not bucket_reader.strays(self.bucket), what, alive=self.node,
                           explain=lambda: f"{self.listed()} {bucket_reader.strays(self.bucket)}")

    def reload(self, text):
        self.configure(text)
        answer = self.node.request("POST", "/-/reload")
        self.assertEqual(answer.status, 200, answer.body)

    def pending(self):
        return self.node.metric("gnomon_shard_retention_pending_files")


class Rules(RetentionTest):
    def test_tenants_and_matchers_have_ages_of_their_own(self):
        self.begin("storage:\n  retention_rules:\n"
                   "    - {tenant: short, retention: 8h}\n"
                   "    - {matchers: '{job=\"debug\"}', retention: 4h}\n")
        written = self.write("long", "app", 40)
        debug = self.write("long", "debug", 40)
        short = self.write("short", "app", 40)
        self.assertEqual(self.write("short", "debug", 40, series=1), 40 * 30)
        self.flush()
        harness.wait_until(lambda: self.samples("short") < short / 4, "ages count", alive=self.node)
        self.assertEqual(self.samples("long", job="app"), written)
        kept = {"debug": (4, self.samples("long", job="debug"), SERIES),
                "app": (8, self.samples("short", job="app"), SERIES)}
        for name, (hours, count, series) in kept.items():
            self.assertAlmostEqual(count / series, hours * 30, delta=2, msg=name)
        self.assertAlmostEqual(self.samples("short", job="debug"), 4 * 30, delta=2)
        # What is hidden leaves the blocks and the bucket, but for windows that still have some.
        bound = written + (6 + 10) * 30 * SERIES + 6 * 30 + 10
        self.wait_until_listed(lambda listed: written <= listed <= bound, "the bucket is smaller")
        self.assertLess(debug, written * 2)
        self.assertEqual(self.samples("long", job="app"), written)
        for content in bucket_reader.newest_lists(self.bucket).values():
            self.assertEqual(content.retention.policy, {
                (): None, ("short",): 8 * HOUR_S * 1000,
                ("", (0, "job", "debug")): 4 * HOUR_S * 1000})
            self.assertIsNotNone(content.retention.at_ms)
        self.node.terminate()
        self.node = self.restart(self.node)
        self.assertEqual(self.samples("long", job="app"), written)
        self.assertEqual(self.samples("short", job="app"), kept["app"][1])
        self.node.terminate()

    def test_a_series_that_is_past_its_age_has_no_values(self):
        self.begin("storage:\n  retention_rules: [{matchers: '{job=\"debug\"}', retention: 1h}]\n")
        times = [self.now_s - 5 * HOUR_S]
        body = series_1([("__name__", "m"), ("job", "debug")], [(at * 1000, 1.0) for at in times])
        answer = self.node.request("POST", "/api/v1/write", snappy(body),
                                   {**HEADERS_1, "X-Scope-OrgID": "a"})
        self.assertEqual(answer.status, 204, answer.body)
        self.assertEqual(self.jobs("a"), ["debug"])
        self.write("a", "app", 3)
        self.flush()
        harness.wait_until(lambda: self.jobs("a") == ["app"], "it has no values", alive=self.node)
        self.node.terminate()


class Grace(RetentionTest):
    def test_what_is_kept_shorter_waits_over_a_restart(self):
        self.begin("storage: {retention: 10d, retention_grace: 20s}\n")
        written = self.write("a", "app", 72)
        self.flush()
        shorter = "storage: {retention: 24h, retention_grace: 20s}\n"
        self.reload(shorter)
        announced = time.monotonic()
        harness.wait_until(lambda: self.pending() > 0, "it is announced", alive=self.node)
        self.assertGreater(self.node.metric("gnomon_shard_retention_pending_bytes"), 0)
        harness.wait_until(lambda: "the retention is shorter than it was" in self.node.log_text(),
                           "the log tells", alive=self.node)
        time.sleep(6)
        self.node.terminate()
        self.node = self.restart(self.node)
        harness.wait_until(lambda: self.pending() > 0, "it is still announced", alive=self.node)
        self.assertEqual(self.samples("a"), written)
        harness.wait_until(lambda: self.samples("a") < written / 2, "what is too old is gone",
                           alive=self.node)
        passed = time.monotonic() - announced
        self.assertGreater(passed, 18)
        self.assertLess(passed, 40)  # it did not begin again
        self.assertEqual(self.pending(), 0)
        self.wait_until_listed(lambda listed: 0 < listed < written / 2, "the bucket is smaller")
        self.node.terminate()

    def test_what_is_kept_longer_again_loses_nothing(self):
        longer = "storage: {retention: 10d, retention_grace: 5s, retention_rules: " \
                 "[{tenant: a, retention: 5d}]}\n"
        self.begin(longer)
        written = self.write("a", "app", 48)
        self.flush()
        self.reload("storage: {retention: 12h, retention_grace: 5s}\n")
        harness.wait_until(lambda: self.pending() > 0, "it is announced", alive=self.node)
        self.reload(longer)
        harness.wait_until(lambda: self.pending() == 0, "it is not any more", alive=self.node)
        time.sleep(7)
        self.assertEqual(self.samples("a"), written)
        self.assertIn("the retention is not shortened any more", self.node.log_text())
        # What cannot be read changes nothing.
        self.configure("storage: {retention: short}\n")
        self.assertEqual(self.node.request("POST", "/-/reload").status, 500)
        self.node.terminate()


class Deletion(RetentionTest):
    def test_deleted_series_leave_the_bucket(self):
        self.begin("storage: {retention: 0}\n")
        kept = self.write("a", "app", 12)
        self.write("a", "debug", 12)
        self.flush()
        before = set(bucket_reader.objects(self.bucket, "blocks"))
        answer = self.node.request(
            "POST", f"{ADMIN}/tsdb/delete_series?" + harness.query_string({
                "match[]": '{job="debug"}'}), None, {"X-Scope-OrgID": "a"})
        self.assertEqual(answer.status, 204, answer.body)
        self.assertEqual(self.samples("a"), kept)
        self.flush("/admin/tsdb/clean_tombstones")
        self.wait_until_listed(lambda listed: listed == kept, "the bucket has no deleted samples")
        self.assertEqual(before & set(bucket_reader.objects(self.bucket, "blocks")), set())
        self.assertEqual(self.samples("a"), kept)
        self.assertEqual(self.node.metric("gnomon_shard_tombstones"), 0)
        self.node.terminate()

    def command(self, *arguments):
        outcome = subprocess.run([harness.BINARY, "tenant", *arguments, f"--url={self.node.url()}"],
                                 capture_output=True, text=True, timeout=120, check=False)
        return outcome.returncode, outcome.stdout + outcome.stderr

    def mimir_status(self, tenant):
        answer = self.node.request("GET", "/compactor/delete_tenant_status", None,
                                   {"X-Scope-OrgID": tenant})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def test_a_deleted_tenant_leaves_the_disk_and_the_bucket(self):
        self.begin("storage: {retention: 0}\n")
        kept = self.write("stays", "app", 12)
        self.write("goes", "app", 12)
        self.flush()
        self.write("goes", "app", 1, series=3)  # not frozen yet
        self.assertEqual(self.mimir_status("goes"), {"tenant_id": "goes", "blocks_deleted": False})
        code, output = self.command("delete", "goes")
        self.assertEqual(code, 2, output)
        self.assertIn("--yes", output)
        self.assertGreater(self.samples("goes"), 0)
        code, output = self.command("delete", "goes", "--yes", "--wait")
        self.assertEqual(code, 0, output)
        self.assertIn("deleting: ", output)
        self.assertIn("nothing is being deleted; 0 blocks", output)
        self.assertEqual(self.samples("goes"), 0)
        self.assertEqual(self.jobs("goes"), [])
        self.assertEqual(self.samples("stays"), kept)
        self.wait_until_listed(lambda listed: listed == kept, "the bucket has the other one only")
        self.assertEqual(self.mimir_status("goes"), {"tenant_id": "goes", "blocks_deleted": True})
        self.assertEqual(self.mimir_status("stays")["blocks_deleted"], False)
        # Again, and behind it it is a tenant as any other.
        for _ in range(2):
            answer = self.node.request("POST", "/compactor/delete_tenant", None,
                                       {"X-Scope-OrgID": "goes"})
            self.assertEqual(answer.status, 200, answer.body)
        again = self.write("goes", "app", 2)
        self.assertEqual(self.samples("goes"), again)
        answer = self.node.request("POST", f"{ADMIN}/tenant/delete")
        self.assertEqual(answer.status, 400, answer.body)
        self.node.terminate()
        self.node = self.restart(self.node)
        self.assertEqual(self.samples("goes"), again)
        self.assertEqual(self.samples("stays"), kept)
        self.node.terminate()

    def test_any_node_of_a_cluster_may_be_asked(self):
        self.configure("storage: {retention: 0}\n")
        nodes = self.launch_all(["n1", "n2", "n3"], f"--config={self.file}", "--cluster.shards=8",
                                "--tenants.enabled=true")
        harness.wait_until(lambda: all(node.metric("gnomon_shard_state_version") >= 3 * 8
                                       for node in nodes), "shards know policies")
        kept = self.write("stays", "app", 6, nodes[0])
        self.write("goes", "app", 6, nodes[1])
        self.node = nodes[2]
        code, output = self.command("delete", "goes", "--yes", "--wait")
        self.assertEqual(code, 0, output)
        for node in nodes:
            self.assertEqual(self.samples("goes", node), 0)
            self.assertEqual(self.samples("stays", node), kept)
        for node in nodes:
            node.terminate()


if __name__ == "__main__":
    harness.main()
