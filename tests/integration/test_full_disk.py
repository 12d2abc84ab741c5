"""A disk that fills: writes wait, nothing is lost, and all goes on when there is room again.

The disk is a tmpfs, so this needs the right to mount one.
"""
import os
import shutil
import subprocess
import time
import unittest

import harness
import remote_write as rw

SAMPLES = 20000
DAY_MS = 24 * 3600 * 1000


def mount(folder, options):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
                          capture_output=True, check=False).returncode == 0


class FullDisk(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.folder, "disk")
        os.mkdir(self.disk)
        if not shutil.which("mount") or not mount(self.disk, "size=64m"):
            self.skipTest("a tmpfs can't be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=False)
        # Clean-ups run backwards: programs end before their disk goes.
        self.addCleanup(lambda: [program.kill() for program in self.programs])
        self.start_ms = int(time.time() * 1000) - DAY_MS
        self.node = self.start_on_disk()
        self.acknowledged = 0

    def start_on_disk(self, port=None):
        node = harness.Node(self.folder, port or harness.free_port(), [
            f"--storage.directory={self.disk}/data", "--telemetry.self_write=false",
            "--cluster.shards=2"])
        return self.start(node).wait_ready()

    def write(self, number):
        """Values that no codec makes smaller."""
        noise = os.urandom(8 * SAMPLES)
        first_ms = self.start_ms + number * SAMPLES
        parts = [rw.labels_1([("__name__", "noise"), ("n", str(number % 7))])]
        parts += [b"\x12\x10\x09" + noise[i * 8:i * 8 + 8] + b"\x10" + rw.varint(first_ms + i)
                  for i in range(SAMPLES)]
        body = rw.snappy(rw.field_bytes(1, b"".join(parts)))
        answer = self.node.request("POST", "/api/v1/write", body, rw.HEADERS_1)
        self.acknowledged += SAMPLES if answer.status == 204 else 0
        return answer

    def fill(self):
        for number in range(2000):
            answer = self.write(number)
            if answer.status != 204:
                return answer
        raise AssertionError("the disk never fills")

    def stored(self):
        result = self.node.query("count_over_time(noise[3d])",
                                 time=self.start_ms / 1000 + 2 * 86400)["result"]
        return sum(int(one["value"][1]) for one in result)

    def post(self, path, **parameters):
        return self.node.request("POST", path + "?" + harness.query_string(parameters)).status

    def is_writable(self):
        return self.node.request("POST", "/api/v1/write", rw.snappy(rw.series_1(
            [("__name__", "after")], [(self.start_ms, 1.0)])), rw.HEADERS_1).status == 204

    def test_a_full_disk_refuses_writes_and_keeps_what_it_has(self):
        refused = self.fill()
        self.assertEqual((refused.status, refused.headers["Retry-After"]), (503, "1"))
        self.assertIn(b"disk is full", refused.body)
        self.assertIn("the disk is nearly full", self.node.log_text())
        self.assertEqual(self.stored(), self.acknowledged)
        # What makes room is taken.
        self.assertEqual(self.post("/api/v1/admin/tsdb/delete_series", **{"match[]": "nothing"}), 204)
        self.assertEqual(self.node.get("/-/ready").status, 200)
        # By itself: freezes let go of log.
        harness.wait_until(
            lambda: self.node.metric("gnomon_replica_unfrozen_log_bytes") < 2 << 20,
            "log is let go of", alive=self.node)
        self.node.kill()
        self.node = self.start_on_disk(self.node.port)
        self.assertEqual(self.stored(), self.acknowledged)

        self.assertTrue(mount(self.disk, "remount,size=256m"))
        harness.wait_until(self.is_writable, "writes are taken again", alive=self.node)
        self.assertEqual(self.post("/api/v1/admin/flush"), 204)
        self.assertEqual(self.node.metric("gnomon_storage_disk_full"), 0)
        self.assertEqual(self.stored(), self.acknowledged)
        self.node.terminate()
        self.node = self.start_on_disk(self.node.port)
        self.assertEqual(self.stored(), self.acknowledged)

    def fill_up(self):
        path = os.path.join(self.disk, "filler")
        with open(path, "wb") as file:
            free = os.statvfs(self.disk)
            file.write(bytes(free.f_bavail * free.f_frsize))
        return path

    def test_a_node_starts_and_ends_on_a_disk_without_any_room(self):
        for number in range(3):
            self.assertEqual(self.write(number).status, 204)
        self.node.kill()
        filler = self.fill_up()
        self.node = self.start_on_disk(self.node.port)
        self.assertEqual(self.stored(), self.acknowledged)
        refused = self.write(3)
        self.assertEqual((refused.status, refused.headers["Retry-After"]), (503, "1"))
        self.assertLess(self.node.terminate(), 15) # the last freeze has no room
        self.assertLess(self.node.log_text().count("\n"), 60)
        os.remove(filler)
        self.assertTrue(mount(self.disk, "remount,size=256m"))
        self.node = self.start_on_disk(self.node.port)
        self.assertEqual(self.stored(), self.acknowledged)
        harness.wait_until(self.is_writable, "writes are taken", alive=self.node)
        self.node.terminate()


if __name__ == "__main__":
    harness.main()
