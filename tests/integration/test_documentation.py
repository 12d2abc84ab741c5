"""docs/operations says what the program does: every setting and every metric, and no others."""
import http.client
import os
import re
import ssl
import subprocess

import harness
from certificates import make_certificate

OPERATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs",
                          "operations")


def page(name):
    with open(os.path.join(OPERATIONS, name), encoding="utf-8") as file:
        return file.read()


def first_cells(text):
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


class Documentation(harness.IntegrationTest):
    def test_settings_are_documented_with_their_defaults(self):
        described = subprocess.run([harness.BINARY, "serve", "--help"], capture_output=True,
                                   text=True, timeout=60, check=True).stdout
        real = dict(re.findall(r"--([\w.]+) .*\n\s+\(default: (.*)\)", described))
        documented = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|", page("settings.md"),
                                     re.MULTILINE))
        self.assertTrue(real)
        self.assertEqual({name: value.strip("`") for name, value in documented.items()}, real)

    def metrics(self, node):
        """The text of /metrics, by TLS; None before the node listens."""
        trust = ssl.create_default_context(cafile=os.path.join(self.folder, "server.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", node.port, timeout=30, context=trust)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        except ConnectionError:
            return None
        finally:
            connection.close()

    def cluster_metrics(self, node):
        """As metrics; None before the node has heard of its cluster and has its shards."""
        text = self.metrics(node)
        return text if text and "gnomon_cluster_nodes{" in text and \
            "gnomon_shard_series{" in text else None

    def test_metrics_are_documented(self):
        # With TLS, in a cluster, with another one and with an object store, because these have
        # metrics of their own.
        certificate, key = make_certificate(self.folder, "server")
        settings = os.path.join(self.folder, "settings.yaml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write("federation: {clusters: [{name: other, url: 'http://127.0.0.1:1'}]}\n")
        node = self.start(harness.Node(self.folder, harness.free_port(), [
            f"--config={settings}",
            f"--http.tls.certificate={certificate}", f"--http.tls.key={key}",
            "--object_store.type=directory", f"--object_store.directory={self.folder}/bucket",
            f"--cluster.listen=127.0.0.1:{harness.free_port()}"]))
        lines = harness.wait_until(lambda: self.cluster_metrics(node), "the metrics are there",
                                   alive=node).split("\n")
        real = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
        documented = set(first_cells(page("metrics.md")))
        documented |= set(re.findall(r"`(gnomon_object_\w+)`", page("object-stores.md")))
        self.assertTrue(real)
        self.assertEqual(sorted(real - documented), [], "on /metrics, not in metrics.md")
        self.assertEqual(sorted(documented - real), [], "in metrics.md, not on /metrics")
        node.terminate()


if __name__ == "__main__":
    harness.main()
