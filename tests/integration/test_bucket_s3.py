"""What test_bucket.py asks of a directory, asked of real S3 servers, while one request of ten is cut,
refused, delayed, changed or answered with what was so before."""
import os
import shutil
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "s3"))
import faulty_proxy  # noqa: E402
import s3_servers  # noqa: E402

import bucket_places
import harness
import test_bucket

FAULTS_PERMILLE = 100


class OnServer(test_bucket.Alone):
    """The test itself is inherited."""
    server_name = None

    def setUp(self):
        super().setUp()
        server = s3_servers.SERVERS[self.server_name]()
        self.enterContext(server)
        seed = int(os.environ.get("GNOMON_SEED", time.time()))
        print(f"{self.server_name}: faults of GNOMON_SEED={seed}", flush=True)
        self.proxy = self.enterContext(faulty_proxy.FaultyProxy(server.endpoint, seed))
        self.proxy.permille = FAULTS_PERMILLE
        self.bucket = bucket_places.S3Place(server, self.proxy.endpoint)

    def tearDown(self):
        print(dict(self.proxy.counts), flush=True)
        super().tearDown()

    def flush(self, node):
        """Each of its requests is tried again for some time, not for ever."""
        harness.wait_until(
            lambda: node.request("POST", "/api/v1/admin/flush").status == 204,
            "all is uploaded, in spite of the faults", alive=node)

    def put_away(self):
        self.proxy.away = True

    def bring_back(self):
        self.proxy.away = False

    def another_node_is_refused(self):
        super().another_node_is_refused()
        self.assertGreater(sum(self.proxy.counts.values()), 20, self.proxy.counts)


@unittest.skipUnless(shutil.which("radosgw"), "Ceph's gateway is not installed")
class OnCeph(OnServer):
    server_name = "ceph"


@unittest.skipUnless(shutil.which("swift-proxy-server"), "Swift is not installed")
class OnSwift(OnServer):
    server_name = "swift"


del OnServer  # is no test by itself


if __name__ == "__main__":
    harness.main()
