"""Debian's prometheus and Gnomon answer alike: the short run of tests/conformance/prometheus."""
import os
import sys

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance",
                                "prometheus"))
import audit # noqa: E402
import data # noqa: E402
import peers # noqa: E402

SEEDS = range(1, 31)


class PrometheusAnswers(peers.PeersTest):
    def setUp(self):
        super().setUp()
        self.start_peers(data.all_series())

    def assert_alike(self, differences):
        self.assertEqual([f"{what}: {difference}" for what, difference in differences], [])

    def test_every_endpoint_takes_every_parameter_as_prometheus_does(self):
        self.assert_alike(audit.audit_fixed(self.ours, self.theirs))

    def test_random_expressions_have_the_same_values_from_memory_and_from_files(self):
        self.assert_alike(audit.audit_random(self.ours, self.theirs, SEEDS))
        self.assertEqual(self.ours.request("POST", "/api/v1/admin/flush").status, 204)
        self.assert_alike(audit.audit_random(self.ours, self.theirs, SEEDS))

    def test_broken_expressions_have_the_same_errors(self):
        self.assert_alike(audit.audit_mutated(self.ours, self.theirs, SEEDS))


if __name__ == "__main__":
    harness.main()
