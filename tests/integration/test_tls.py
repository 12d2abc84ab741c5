"""TLS of the API: encrypted, with client certificates, and with certificates that change."""
import os
import shutil
import signal
import socket
import ssl
import time
import unittest

import harness
from certificates import make_certificate


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
class Tls(harness.IntegrationTest):
    def begin(self, *settings):
        self.certificate, self.key = make_certificate(self.folder, "server")
        self.node = self.start(harness.Node(self.folder, harness.free_port(), [
            f"--http.tls.certificate={self.certificate}", f"--http.tls.key={self.key}",
            "--telemetry.self_write=false", *settings]))
        harness.wait_until(self.listens, "the node listens", alive=self.node)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.node.port)).close()
            return True
        except OSError:
            return False

    def ask(self, path, method="GET", trusted=None, client=None):
        """Status and body; ssl.SSLError or ConnectionError when there is no agreement."""
        trust = ssl.create_default_context(cafile=trusted or self.certificate)
        if client:
            trust.load_cert_chain(*client)
        connection = harness.http.client.HTTPSConnection("127.0.0.1", self.node.port, timeout=30,
                                                         context=trust)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def test_answers_are_encrypted_and_plain_clients_are_not_served(self):
        self.begin()
        harness.wait_until(lambda: self.ask("/-/ready")[0] == 200, "ready", alive=self.node)
        self.assertEqual(self.ask("/api/v1/query?query=1")[0], 200)
        with self.assertRaises((OSError, harness.http.client.HTTPException)):
            self.node.get("/-/healthy")
        other, _ = make_certificate(self.folder, "other")
        with self.assertRaises(ssl.SSLError):
            self.ask("/-/healthy", trusted=other)
        self.assertEqual(self.ask("/-/healthy")[0], 200)
        self.node.terminate()

    def test_clients_show_a_certificate_when_an_authority_is_given(self):
        authority, _ = make_certificate(self.folder, "authority")
        self.begin(f"--http.tls.client_ca={authority}")
        known = make_certificate(self.folder, "known", issuer="authority")
        stranger = make_certificate(self.folder, "stranger")
        self.assertEqual(self.ask("/-/healthy", client=known)[0], 200)
        for client in None, stranger:
            with self.assertRaises((ssl.SSLError, ConnectionError,
                                    harness.http.client.HTTPException)):
                self.ask("/-/healthy", client=client)
        self.assertEqual(self.ask("/-/healthy", client=known)[0], 200)

    def test_a_reload_takes_the_new_certificate_and_a_broken_one_changes_nothing(self):
        self.begin()
        before = ssl.get_server_certificate(("127.0.0.1", self.node.port))

        def replace(name):
            certificate, key = make_certificate(self.folder, name)
            os.replace(certificate, self.certificate)
            os.replace(key, self.key)
        replace("second")
        self.assertEqual(ssl.get_server_certificate(("127.0.0.1", self.node.port)), before)
        self.node.process.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: ssl.get_server_certificate(
            ("127.0.0.1", self.node.port)) != before, "the new certificate is shown",
            alive=self.node)
        second = ssl.get_server_certificate(("127.0.0.1", self.node.port))
        replace("third")
        self.assertEqual(self.ask_any("/-/reload", "POST")[0], 200)
        third = ssl.get_server_certificate(("127.0.0.1", self.node.port))
        self.assertNotEqual(third, second)
        with open(self.certificate, "w", encoding="utf-8") as file:
            file.write("no certificate")
        status, message = self.ask_any("/-/reload", "POST")
        self.assertEqual(status, 500)
        self.assertIn(b"server.pem", message)
        self.assertEqual(ssl.get_server_certificate(("127.0.0.1", self.node.port)), third)
        self.node.process.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: "the reload failed" in self.node.log_text(),
                           "the log tells of it", alive=self.node)
        self.assertEqual(self.ask_any("/-/healthy")[0], 200)

    def ask_any(self, path, method="GET"):
        """As `ask`, whoever answers."""
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        connection = harness.http.client.HTTPSConnection("127.0.0.1", self.node.port, timeout=30,
                                                         context=trust)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def test_a_metric_says_when_the_certificate_ends(self):
        self.begin()

        def end():
            return [float(line.split()[1]) for line in self.ask_any("/metrics")[1].decode().split("\n")
                    if line.startswith("gnomon_http_certificate_expiry_timestamp_seconds ")]
        self.assertAlmostEqual(end()[0] - time.time(), 2 * 86400, delta=300)
        certificate, key = make_certificate(self.folder, "longer", days=9)
        os.replace(certificate, self.certificate)
        os.replace(key, self.key)
        self.assertEqual(self.ask_any("/-/reload", "POST")[0], 200)
        self.assertAlmostEqual(end()[0] - time.time(), 9 * 86400, delta=300)

    def test_keys_are_not_shown(self):
        self.begin()
        with open(self.key, encoding="utf-8") as file:
            secret = file.read().split("\n")[1].encode()
        for path in "/api/v1/status/config", "/api/v1/status/flags", "/metrics":
            self.assertNotIn(secret, self.ask(path)[1], path)


if __name__ == "__main__":
    harness.main()
