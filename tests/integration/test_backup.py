"""A bucket is copied to another store while it is written, and comes back as a cluster."""
import os
import shutil
import subprocess
import threading
import time

import bucket_reader
import harness
from test_bucket import BucketTest


class Backup(BucketTest):
    def setUp(self):
        super().setUp()
        self.backups = os.path.join(self.folder, "backups")

    def run_command(self, *arguments, code=0):
        outcome = subprocess.run([harness.BINARY, *arguments], check=False, timeout=120,
                                 capture_output=True, text=True)
        self.assertEqual(outcome.returncode, code, outcome.stderr + outcome.stdout)
        return outcome.stderr if code else outcome.stdout

    def backup(self, *arguments, code=0):
        return self.run_command("backup", *self.store_settings(), f"--to-directory={self.backups}",
                                *arguments, code=code)

    def points(self):
        listed = self.run_command("backup", "list", f"--from-directory={self.backups}")
        return [line.split() for line in listed.splitlines()[1:]]

    def recovered(self, name, bucket):
        """A node on what is in a bucket."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        self.bucket = bucket
        self.run_command("cluster", "recover", "--yes", *self.store_settings(),
                         f"--storage.directory={os.path.join(folder, 'data')}")
        return self.start(harness.Node(folder, harness.free_port(),
                                       self.store_settings())).wait_ready()

    def expect_samples(self, node, count):
        found = 0
        for name in node.get("/api/v1/label/__name__/values").data():
            result = node.query(f"sum(count_over_time({name}[1000h]))")["result"]
            found += int(result[0]["value"][1])
        self.assertEqual(found, count)

    def test_what_was_copied_comes_back(self):
        node = self.start_node(*self.store_settings())
        bucket = self.bucket
        self.assertIn("nothing was uploaded", self.backup(code=1))
        self.samples.write(node, 0, windows=3)
        flush = f"--flush={node.url()}"
        self.backup(flush)
        first = self.samples.count
        self.assertEqual(bucket_reader.listed_samples(self.backups), first)

        # Only what is new is copied; samples come and blocks are merged meanwhile.
        self.samples.base_s += 1
        writer = threading.Thread(target=self.samples.write, args=(node, 0, 20))
        writer.start()
        for _ in range(3):
            self.backup()
        writer.join()
        self.samples.write(node, 30, windows=2)
        self.backup(flush)
        again = self.backup()
        self.assertIn("of which 0 of 0.0 MiB were copied", again)
        points = self.points()
        self.assertEqual(len(points), 6)
        self.assertEqual(int(points[0][-1]), first)
        self.assertEqual(int(points[-1][-1]), self.samples.count)

        self.refusals(node, bucket)
        whole = self.samples.count
        node.terminate()
        shutil.rmtree(bucket)

        # Both the oldest and the newest.
        for name, at, count in (("old", [f"--at={points[0][0]}"], first), ("new", [], whole)):
            target = os.path.join(self.folder, f"bucket-{name}")
            self.restore(target, *at)
            self.assertIn("is that of a cluster", self.restore(target, *at, code=1))
            self.assertEqual(bucket_reader.listed_samples(target), count)
            revived = self.recovered(name, target)
            self.expect_samples(revived, count)
            if name == "new":
                self.goes_on(revived)
            revived.terminate()

    def goes_on(self, node):
        """What is recovered from a backup is backed up to the same place, and old ones go."""
        self.samples.write(node, 60, windows=2)
        self.backup(f"--flush={node.url()}", "--keep=2")
        self.expect_samples(node, self.samples.count)
        points = self.points()
        self.assertEqual(len(points), 2)
        self.assertEqual(int(points[-1][-1]), self.samples.count)
        self.backup("--keep=1")
        self.assertEqual(bucket_reader.listed_samples(self.backups), self.samples.count)
        self.assertEqual(bucket_reader.strays(self.backups), [])

    def restore(self, target, *arguments, code=0):
        return self.run_command("restore", "--object_store.type=directory",
                                f"--object_store.directory={target}",
                                f"--from-directory={self.backups}", *arguments, code=code)

    def refusals(self, node, bucket):
        self.assertIn("the bucket of a cluster", self.run_command(
            "backup", *self.store_settings(), f"--to-directory={bucket}", code=1))
        self.assertIn("there is no backup of that time",
                      self.restore(os.path.join(self.folder, "none"), "--at=17", code=1))
        self.assertIn("say where backups are",
                      self.run_command("backup", *self.store_settings(), code=1))
        # Another cluster.
        folder = os.path.join(self.folder, "other")
        os.makedirs(folder)
        self.bucket = os.path.join(self.folder, "bucket-other")
        other = self.start(harness.Node(folder, harness.free_port(), self.store_settings()))
        other.wait_ready()
        self.assertIn("backups of another cluster", self.backup(f"--flush={other.url()}", code=1))
        other.terminate()
        self.bucket = bucket
        self.assertEqual(node.request("GET", "/-/ready").status, 200)

    def test_what_is_killed_is_run_again(self):
        node = self.start_node(*self.store_settings())
        self.samples.write(node, 0, windows=30, series=200)
        self.flush(node)
        command = [harness.BINARY, "backup", *self.store_settings(), "--copies=1",
                   f"--to-directory={self.backups}"]
        for delay_ms in (2, 10, 20, 40):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(delay_ms / 1000)
                process.kill()
        self.backup()
        self.assertEqual(bucket_reader.listed_samples(self.backups), self.samples.count)
        node.terminate()
        target = os.path.join(self.folder, "again")
        command = [harness.BINARY, "restore", "--object_store.type=directory",
                   f"--object_store.directory={target}", f"--from-directory={self.backups}",
                   f"--at={self.points()[-1][0]}", "--copies=1"]
        for delay_ms in (2, 10, 20):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(delay_ms / 1000)
                process.kill()
            if os.path.exists(os.path.join(target, "cluster")):
                break
        else:
            self.restore(target, f"--at={self.points()[-1][0]}")
        self.assertEqual(bucket_reader.listed_samples(target), self.samples.count)
        self.expect_samples(self.recovered("revived", target), self.samples.count)


if __name__ == "__main__":
    harness.main()
