"""Users, tokens, TLS and headers from a web config, with the Prometheus that sends by them."""
import base64
import concurrent.futures
import crypt
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import warnings

import harness
import remote_write as rw
from certificates import make_certificate
from raw_client import RawClient

TOKEN = "token-of-the-agents-0123456789"


def make_hash(password, cost=6):
    """As htpasswd makes it."""
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2 ** cost))


def basic(user, password):
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class WebConfig(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "web.yml")

    def write(self, users=None, tokens=None, **more):
        """YAML takes JSON."""
        content = {"basic_auth_users": users or {}, "bearer_tokens": tokens or [], **more}
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(content, file)

    def begin(self, *settings, **content):
        self.write(**content)
        self.node = self.start_node(f"--http.web_config={self.path}",
                                    "--telemetry.self_write=false", *settings)
        return self.node

    def ask(self, headers=None, path="/api/v1/query?query=1", method="GET", body=None):
        return self.node.request(method, path, body, headers)

    def status(self, headers=None, path="/api/v1/query?query=1", method="GET"):
        return self.ask(headers, path, method).status

    def metric(self, name, **labels):
        return self.metric_by(basic("alice", "right"), name, **labels)

    def metric_by(self, who, name, **labels):
        lines = self.ask(who, "/metrics").body.decode().split("\n")
        return sum(float(line.rpartition(" ")[2]) for line in lines
                   if line.split("{")[0].split(" ")[0] == name and
                   all(f'{key}="{value}"' in line for key, value in labels.items()))

    # --- What is asked for ------------------------------------------------------------------------

    def test_who_shows_nothing_gets_401_but_for_probes(self):
        self.begin(users={"alice": make_hash("right")},
                   tokens=[{"name": "agents", "token": TOKEN}],
                   http_server_config={"headers": {"X-Frame-Options": "deny"}})
        for path in ("/api/v1/query?query=1", "/api/v1/write", "/metrics", "/-/reload", "/nowhere",
                     "/api/v1/admin/flush", "/prometheus/api/v1/labels", "/-/healthy/", "/%2d/x"):
            for method in "GET", "POST", "OPTIONS":
                answer = self.ask(None, path, method)
                self.assertEqual(answer.status, 401, (method, path))
                self.assertEqual(answer.body, b"Unauthorized\n")
                self.assertEqual(answer.headers.get_all("WWW-Authenticate"), ["Basic", "Bearer"])
                self.assertEqual(answer.headers["X-Frame-Options"], "deny")
        for path in "/-/healthy", "/-/ready":
            for method in "GET", "HEAD":
                self.assertEqual(self.status(None, path, method), 200, path)
        for who in basic("alice", "right"), bearer(TOKEN):
            answer = self.ask(who)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["X-Frame-Options"], "deny")
            self.assertEqual(self.status(who, "/nowhere"), 404)
            self.assertEqual(self.status(who, "/-/reload", "POST"), 200)
        for who in (basic("alice", "wrong"), basic("bob", "right"), basic("", ""),
                    bearer(TOKEN + "x"), bearer(TOKEN[:-1]), {"Authorization": "Digest a"},
                    {"Authorization": "Basic !"}, {"Authorization": ""}):
            self.assertEqual(self.status(who), 401, who)
        self.assertGreater(self.metric("gnomon_access_refused_total", reason="missing"), 10)
        self.assertEqual(self.metric("gnomon_access_refused_total", reason="token"), 2)
        self.assertEqual(self.metric("gnomon_access_refused_total", reason="password"), 3)
        self.assertGreater(self.metric("gnomon_access_admitted_total", by="token"), 1)
        self.node.terminate()
        log = self.node.log_text()
        self.assertIn("reason=password", log)
        for secret in (TOKEN, "right", "alice", "wrong", "$2b$"):
            self.assertNotIn(secret, log)

    def test_secrets_are_not_shown(self):
        hashed = make_hash("right")
        self.begin(users={"alice": hashed}, tokens=[{"name": "agents", "token": TOKEN}])
        for path in "/api/v1/status/config", "/api/v1/status/flags", "/metrics":
            body = self.ask(bearer(TOKEN), path).body.decode()
            self.assertNotIn(TOKEN, body)
            self.assertNotIn(hashed, body)

    def test_a_body_of_a_stranger_is_not_read(self):
        self.begin(users={"alice": make_hash("right")})
        client = RawClient(self.node.port)
        client.send(b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n")
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (401, "close"))
        client.close()

    def test_a_token_of_a_tenant_is_for_that_tenant(self):
        self.begin("--tenants.enabled=true", "--http.admin=true", tokens=[
            {"name": "all", "token": TOKEN},
            {"name": "a", "token": TOKEN + "-a", "tenant": "team-a"},
            {"name": "b", "token": TOKEN + "-b", "tenant": "team-b"}])
        self.assertEqual(self.status(bearer(TOKEN)), 401)  # names no tenant
        self.assertEqual(self.status({**bearer(TOKEN), "X-Scope-OrgID": "team-b"}), 200)
        a = bearer(TOKEN + "-a")
        self.assertEqual(self.status(a), 200)
        self.assertEqual(self.status({**a, "X-Scope-OrgID": "team-a"}), 200)
        self.assertEqual(self.status({**a, "X-Scope-OrgID": "team-b"}), 403)
        for method, path in (("GET", "/metrics"), ("POST", "/-/reload"),
                             ("POST", "/api/v1/admin/flush"), ("GET", "/api/v1/cluster"),
                             ("POST", "/prometheus/api/v1/admin/tsdb/snapshot"),
                             ("GET", "/api/v1/status/config")):
            self.assertEqual(self.status(a, path, method), 403, path)
        self.assertEqual(self.status({**bearer(TOKEN), "X-Scope-OrgID": "x"}, "/metrics"), 200)
        now = int(time.time() * 1000)
        answer = self.ask({**a, "Content-Type": "application/x-protobuf"}, "/api/v1/write", "POST",
                          rw.snappy(rw.series_1([("__name__", "mine")], [(now, 1.0)])))
        self.assertEqual(answer.status, 204, answer.body)
        self.assertEqual(len(self.ask(a, "/api/v1/query?query=mine").data()["result"]), 1)
        b = bearer(TOKEN + "-b")
        self.assertEqual(self.ask(b, "/api/v1/query?query=mine").data()["result"], [])
        queries = self.ask(b, "/api/v1/status/active_queries").data()["queries"]
        self.assertEqual([one for one in queries if one["tenant"] != "team-b"], [])

    # --- Reload -----------------------------------------------------------------------------------

    def test_a_reload_changes_users_and_a_broken_file_changes_nothing(self):
        self.begin(users={"alice": make_hash("right"), "bob": make_hash("bob")})
        self.assertEqual(self.status(basic("bob", "bob")), 200)
        self.write(users={"alice": make_hash("right"), "carol": make_hash("carol")})
        self.assertEqual(self.status(basic("bob", "bob")), 200)
        self.node.process.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: self.status(basic("bob", "bob")) == 401, "bob is gone",
                           alive=self.node)
        self.assertEqual(self.status(basic("carol", "carol")), 200)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("nonsense")
        answer = self.ask(basic("carol", "carol"), "/-/reload", "POST")
        self.assertEqual(answer.status, 500)
        self.assertIn(b"web.yml", answer.body)
        self.write(users={"alice": "plain-password"})
        answer = self.ask(basic("carol", "carol"), "/-/reload", "POST")
        self.assertIn(b"alice", answer.body)
        self.assertNotIn(b"plain-password", answer.body)
        self.assertEqual(self.status(basic("carol", "carol")), 200)
        self.write()
        self.assertEqual(self.status(basic("carol", "carol"), "/-/reload", "POST"), 200)
        self.assertEqual(self.status(), 200)  # nobody is asked any more

    def test_a_request_under_way_goes_on_through_a_reload(self):
        self.begin(users={"alice": make_hash("right"), "bob": make_hash("bob")})
        body = b"query=1%2B1"
        head = (f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {basic('bob', 'bob')['Authorization']}\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        client = RawClient(self.node.port).send(head)
        self.assertEqual(client.answer().status, 100)
        self.write(users={"alice": make_hash("right")})
        self.assertEqual(self.status(basic("alice", "right"), "/-/reload", "POST"), 200)
        self.assertEqual(self.status(basic("bob", "bob")), 401)
        self.assertEqual(client.send(body).answer().status, 200)
        self.assertEqual(client.send(head).answer().status, 401)
        client.close()

    # --- Floods -----------------------------------------------------------------------------------

    def test_wrong_passwords_do_not_stop_right_ones(self):
        self.begin(users={"alice": make_hash("right", 10), "dave": make_hash("dave", 4)},
                   tokens=[{"name": "agents", "token": TOKEN}])
        self.assertEqual(self.status(basic("alice", "right")), 200)
        stop, outcomes = time.monotonic() + 5, {}

        def guess(number):
            count = 0
            while time.monotonic() < stop:
                answer = self.ask(basic("alice", f"guess-{number}-{count}"))
                outcomes[answer.status] = outcomes.get(answer.status, 0) + 1
                if answer.status == 503:
                    self.assertEqual(answer.headers["Retry-After"], "1")
                count += 1

        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            guesses = [pool.submit(guess, number) for number in range(24)]
            took = []
            harness.wait_until(lambda: self.metric("gnomon_access_password_checks_waiting") > 0,
                               "passwords wait", alive=self.node)
            while time.monotonic() < stop:
                started = time.monotonic()
                self.assertEqual(self.status(basic("alice", "right")), 200)
                self.assertEqual(self.status(bearer(TOKEN)), 200)
                took.append(time.monotonic() - started)
            # Somebody new, from an address of his own.
            other = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60,
                                               source_address=("127.0.0.2", 0))
            other.request("GET", "/api/v1/query?query=1", headers=basic("dave", "dave"))
            self.assertEqual(other.getresponse().status, 200)
            other.close()
            for one in guesses:
                one.result()
        self.assertEqual(set(outcomes), {401, 503}, outcomes)
        print(f"refused {outcomes}; {len(took)} rounds of who is known, "
              f"median {sorted(took)[len(took) // 2] * 1000:.1f} ms")
        self.assertEqual(self.node.terminate() < 20, True)

    # --- TLS and commands -------------------------------------------------------------------------

    def test_tls_comes_from_the_web_config(self):
        certificate, _ = make_certificate(self.folder, "server")
        known = make_certificate(self.folder, "client")
        self.write(users={"alice": make_hash("right")}, tls_server_config={
            "cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "client.pem",
            "client_auth_type": "RequireAndVerifyClientCert"})
        self.node = self.start(harness.Node(self.folder, harness.free_port(),
                                            [f"--http.web_config={self.path}"]))
        trust = ssl.create_default_context(cafile=certificate)

        def ask(path, method="GET"):
            connection = http.client.HTTPSConnection("127.0.0.1", self.node.port, timeout=60,
                                                     context=trust)
            try:
                connection.request(method, path, headers=basic("alice", "right"))
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                return None, b""
            finally:
                connection.close()

        trust.load_cert_chain(*known)
        harness.wait_until(lambda: ask("/-/ready")[0] == 200, "ready by TLS", alive=self.node)
        self.assertEqual(ask("/api/v1/query?query=1")[0], 200)
        self.assertEqual(ask("/-/reload", "POST")[0], 200)
        self.write(users={"alice": make_hash("right")})
        status, body = ask("/-/reload", "POST")
        self.assertEqual(status, 500)
        self.assertIn(b"restart", body)
        stranger = ssl.create_default_context(cafile=certificate)
        with socket.create_connection(("127.0.0.1", self.node.port)) as plain, \
                self.assertRaises((OSError, ssl.SSLError)):
            with stranger.wrap_socket(plain, server_hostname="127.0.0.1") as session:
                session.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                if not session.recv(1):
                    raise ConnectionError("closed")

    def check(self, *arguments):
        outcome = subprocess.run([harness.BINARY, "check", *arguments], capture_output=True,
                                 text=True, timeout=60, check=False, cwd=self.folder)
        return outcome.returncode, outcome.stdout + outcome.stderr

    def test_files_are_checked_by_commands(self):
        self.write(users={"alice": make_hash("right")}, tokens=[{"name": "a", "token": TOKEN}])
        self.assertEqual(self.check("web-config", "web.yml"),
                         (0, "web.yml: sound, 1 users, 1 tokens, 0 headers, no TLS\n"))
        self.assertEqual(self.check("config", "--http.web_config=web.yml")[0], 0)
        self.write(tls_server_config={"cert_file": "none.pem", "key_file": "none.key"})
        status, words = self.check("web-config", "web.yml")
        self.assertEqual(status, 1)
        self.assertIn("none.pem", words)
        self.write(tokens=[{"name": "a", "token": TOKEN, "tenant": "b"}])
        status, words = self.check("config", "--http.web_config=web.yml")
        self.assertEqual(status, 1)
        self.assertIn("tenants.enabled", words)
        self.assertEqual(self.check("config", "--http.web_config=web.yml",
                                    "--tenants.enabled=true")[0], 0)
        self.write(typo={})
        status, words = self.check("config", "--http.web_config=web.yml")
        self.assertEqual(status, 1)
        self.assertIn("unknown key 'typo'", words)
        self.assertEqual(self.check("web-config", "missing.yml")[0], 1)

    # --- Prometheus -------------------------------------------------------------------------------

    def start_prometheus(self, name, **credentials):
        port = harness.free_port()
        configuration = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]},
                {"job_name": "gnomon", **credentials,
                 "static_configs": [{"targets": [f"127.0.0.1:{self.node.port}"]}]}],
            "remote_write": [{"url": self.node.url() + "/api/v1/write", **credentials,
                              "queue_config": {"batch_send_deadline": "200ms",
                                               "min_backoff": "100ms"}}],
        }
        path = os.path.join(self.folder, name + ".yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(configuration, file)
        return self.start(harness.Program(name, self.folder, [
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/{name}",
            f"--web.listen-address=127.0.0.1:{port}"]))

    def has_samples(self, expression):
        return len(self.ask(basic("alice", "right"), "/api/v1/query?" + harness.query_string(
            {"query": expression})).data()["result"]) > 0

    def test_prometheus_writes_with_a_password_and_with_a_token(self):
        self.assertIsNotNone(shutil.which("prometheus"), "prometheus is not installed")
        self.begin(users={"alice": make_hash("right", 10), "sender": make_hash("send", 10)},
                   tokens=[{"name": "agents", "token": TOKEN}])
        sender = {"basic_auth": {"username": "sender", "password": "send"}}
        agent = {"authorization": {"credentials": TOKEN}}
        stranger = {"basic_auth": {"username": "sender", "password": "wrong"}}
        by_password = self.start_prometheus("by_password", **sender)
        by_token = self.start_prometheus("by_token", **agent)
        wrong = self.start_prometheus("wrong", **stranger)
        for program in by_password, by_token:
            harness.wait_until(
                lambda name=program.name: self.has_samples(
                    f'count_over_time(up{{job="{name}"}}[1m]) > 3'),
                f"{program.name} has written", alive=program)
        harness.wait_until(lambda: self.has_samples('up{job="gnomon"} == 1'),
                           "/metrics is scraped", alive=by_password)
        harness.wait_until(lambda: "401 Unauthorized" in wrong.log_text(),
                           "the wrong one is told", alive=wrong)
        self.assertFalse(self.has_samples('up{job="wrong"}'))
        # A bcrypt for each pair of user and password, not for each request.
        self.assertLessEqual(self.metric("gnomon_access_password_checks_total"), 3)
        self.write(users={"alice": make_hash("right", 10)},
                   tokens=[{"name": "agents", "token": TOKEN}])
        self.assertEqual(self.status(basic("alice", "right"), "/-/reload", "POST"), 200)
        harness.wait_until(lambda: "401 Unauthorized" in by_password.log_text(),
                           "the removed one is told", alive=by_password)


warnings.simplefilter("ignore", DeprecationWarning)

if __name__ == "__main__":
    harness.main()
