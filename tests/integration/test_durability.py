"""Nothing that was acknowledged is lost, doubled or altered: through kill -9 and SIGTERM under load,
restarts, freezes and merges, with samples in order and out of order.
"""
import http.client
import os
import random
import signal
import subprocess
import threading
import time

import harness


class Durability(harness.IntegrationTest):
    def start_writer(self, node, *arguments):
        """Sends four threads' series, a second apart, until it is told to end.

        It begins so long ago that no machine is fast enough to come to the future meanwhile.
        """
        state = os.path.join(self.folder, "writer.state")
        start_ms = int(time.time() - 30 * 86400) // 1000 * 1000 * 1000
        return self.start(harness.Program("writer", self.folder, [
            harness.WRITER, "send", f"--url={node.url()}", f"--state={state}",
            f"--start-ms={start_ms}", "--seconds=300", *arguments]))

    def acknowledged(self, node):
        return node.metric("gnomon_ingest_samples_total")

    def wait_for_samples(self, node, count):
        before = self.acknowledged(node)
        harness.wait_until(lambda: self.acknowledged(node) >= before + count,
                           f"{count} more samples are stored", alive=node)

    def end_writer(self, writer):
        writer.process.send_signal(signal.SIGTERM)
        self.assertEqual(writer.wait(), 0, writer.log_tail())

    def check(self, node):
        outcome = subprocess.run(
            [harness.WRITER, "check", f"--url={node.url()}", f"--state={self.folder}/writer.state"],
            capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        samples = int(outcome.stdout.split()[0])
        self.assertGreater(samples, 0, outcome.stdout)
        return samples

    def kill_and_restart(self, node):
        node.process.kill()
        node.wait()
        return self.restart(node)

    def test_what_is_acknowledged_survives_kill_9_in_the_middle_of_load(self):
        node = self.start_node()
        writer = self.start_writer(node, "--protocol=both", "--order=shuffled")
        for _ in range(3):
            self.wait_for_samples(node, 20000)
            node = self.kill_and_restart(node)
        self.wait_for_samples(node, 1000)
        self.end_writer(writer)
        self.check(node)
        node.terminate()
        self.check(self.restart(node))

    def watch_replay(self, node):
        """Each answer of status/walreplay until the node is ready, and the last one."""
        seen = []

        def look():
            try:
                ready = node.get("/-/ready")
                seen.append(node.get("/api/v1/status/walreplay").data())
            except OSError:
                return False
            if ready.status == 200:
                return True
            self.assertEqual(ready.status, 503)
            self.assertRegex(ready.body.decode(), r"^Service Unavailable: shards replay their logs, "
                                                  r"\d+ of \d+ entries are applied\n$")
            return False
        harness.wait_until(look, "the node is ready", alive=node)
        return seen

    def test_a_replay_tells_how_far_it_is(self):
        node = self.start_node("--telemetry.self_write=false")
        writer = self.start_writer(node, "--protocol=2")
        self.wait_for_samples(node, 100000)
        node.process.kill()
        node.wait()
        node = self.start(harness.Node(self.folder, node.port, node.settings))
        seen = self.watch_replay(node)
        for before, after in zip(seen, seen[1:]):
            self.assertEqual(after["max"], seen[-1]["max"])
            self.assertGreaterEqual(after["current"], before["current"])
        for replay in seen:
            self.assertEqual(replay["min"], 0)
            self.assertEqual(replay["state"] == "done", replay["current"] == replay["max"])
        self.assertEqual(seen[-1]["state"], "done")
        self.assertGreater(seen[-1]["max"], 10)
        self.assertIn('msg="ready" entries=', node.log_tail())
        self.end_writer(writer)
        self.check(node)

    def test_what_is_acknowledged_survives_kill_9_while_parts_are_written_and_merged(self):
        node = self.start_node("--storage.freeze_interval=1s", "--telemetry.self_write=false")
        writer = self.start_writer(node, "--protocol=2", "--order=shuffled", "--series=20",
                                   "--samples=60", "--pause-ms=40")
        for _ in range(3):
            freezes = node.metric("gnomon_shard_freezes_total")
            harness.wait_until(lambda: node.metric("gnomon_shard_freezes_total") > freezes + 4,
                               "heads are frozen", alive=node)
            node = self.kill_and_restart(node)
        self.wait_for_samples(node, 1000)
        self.end_writer(writer)
        self.check(node)
        self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        self.check(node)
        self.check(self.kill_and_restart(node))

    def test_what_is_acknowledged_survives_kill_9_at_any_moment(self):
        """Moments by chance, from a seed that a failure prints: in starts, load, freezes, merges."""
        seed = int(os.environ.get("GNOMON_KILL_SEED", random.randrange(1 << 32)))
        rounds = int(os.environ.get("GNOMON_KILL_ROUNDS", "6"))
        chance = random.Random(seed)
        node = self.start_node("--storage.freeze_interval=1s", "--telemetry.self_write=false")
        writer = self.start_writer(node, "--protocol=both", "--order=shuffled", "--pause-ms=5")
        with self.subTest(seed=seed):
            for _ in range(rounds):
                # Some die while they start.
                time.sleep(chance.choice([0.02, 0.1, 0.3, 1, 2]) * chance.random())
                if chance.random() < 0.3:
                    threading.Thread(target=self.flush_and_ignore, args=(node,), daemon=True).start()
                    time.sleep(0.2 * chance.random())
                node.process.kill()
                node.wait()
                node = self.start(harness.Node(self.folder, node.port, node.settings))
            node.wait_ready()
            self.wait_for_samples(node, 1000)
            self.end_writer(writer)
            self.check(node)
            self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
            self.check(node)
            node.terminate()
            self.check(self.restart(node))

    @staticmethod
    def flush_and_ignore(node):
        try:
            node.request("POST", "/api/v1/admin/flush")
        except (OSError, http.client.HTTPException):
            pass

    def test_SIGTERM_while_the_log_is_replayed_loses_nothing(self):
        node = self.start_node("--telemetry.self_write=false")
        writer = self.start_writer(node, "--protocol=2")
        self.wait_for_samples(node, 100000)
        self.end_writer(writer)
        for delay_s in (0, 0.02, 0.05, 0.1, 0.2):
            node.process.kill()
            node.wait()
            node = self.start(harness.Node(self.folder, node.port, node.settings))
            time.sleep(delay_s)
            node.process.send_signal(signal.SIGTERM)
            self.assertIn(node.wait(), (0, -signal.SIGTERM), node.log_tail()) # before it listens
            node = self.restart(node)
            self.check(node)

    def test_SIGTERM_under_load_drains_and_loses_nothing(self):
        node = self.start_node()
        writer = self.start_writer(node, "--protocol=1")
        for _ in range(2):
            self.wait_for_samples(node, 10000)
            self.assertLess(node.terminate(), 30)
            node = self.restart(node)
        self.wait_for_samples(node, 1000)
        self.end_writer(writer)
        self.check(node)

    def test_the_checker_notices_what_is_missing(self):
        """A check that can't fail would prove nothing."""
        node = self.start_node()
        writer = self.start_writer(node, "--requests=5")
        self.assertEqual(writer.wait(), 0, writer.log_tail())
        self.check(node)
        deleted = node.request("POST", "/api/v1/admin/tsdb/delete_series?" + harness.query_string(
            {"match[]": '{thread="2",series="7"}'}))
        self.assertEqual(deleted.status, 204)
        with self.assertRaisesRegex(AssertionError, "50 lost, 0 doubled"):
            self.check(node)


if __name__ == "__main__":
    harness.main()
