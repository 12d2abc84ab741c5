"""What is in deploy/ fits the program: settings, web config, alerts, unit, image, compose."""
import os
import re
import shutil
import subprocess
import unittest

import yaml

import certificates
import harness

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEPLOY = os.path.join(ROOT, "deploy")
TOKEN = "0123456789abcdef0123456789abcdef"


def read(*names):
    with open(os.path.join(DEPLOY, *names), encoding="utf-8") as file:
        return file.read()


def load(*names):
    return yaml.safe_load(read(*names))


def run(*arguments, folder=None, environment=None):
    """Status and everything that was printed."""
    outcome = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False,
                             cwd=folder, env={**os.environ, **(environment or {})})
    return outcome.returncode, outcome.stdout + outcome.stderr


class Deploy(harness.IntegrationTest):
    def assert_runs(self, *arguments, **options):
        status, words = run(*arguments, **options)
        self.assertEqual(status, 0, f"{arguments}\n{words}")
        return words

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def make_web_config(self):
        """As it stands in deploy/settings, with a token beside it."""
        self.write("gnomon.token", TOKEN + "\n")
        return self.write("web.yaml", read("settings", "web.yaml"))

    # --- Settings ---------------------------------------------------------------------------------

    def test_settings_and_web_config_are_taken(self):
        web = self.make_web_config()
        self.assertIn("1 tokens", self.assert_runs(harness.BINARY, "check", "web-config", web))
        for name in "gnomon.yaml", "laptop.yaml":
            text = read("settings", name).replace("/etc/gnomon/web.yaml", web)
            self.assert_runs(harness.BINARY, "check", "config", "--config",
                             self.write(name, text))

    def test_settings_of_a_cluster_are_taken(self):
        certificates.make_certificate(self.folder, "ca")
        certificates.make_certificate(self.folder, "node", issuer="ca")
        text = read("settings", "cluster.yaml").replace("/etc/gnomon/web.yaml", self.make_web_config())
        path = self.write("cluster.yaml", text.replace("/etc/gnomon/cluster", self.folder))
        environment = dict(re.findall(r"^(GNOMON_\w+)=(.*)$", read("settings", "node.env"), re.MULTILINE))
        self.assertIn("node-1", self.assert_runs(harness.BINARY, "check", "config", "--config", path,
                                                 environment=environment))
        commented = re.findall(r"^# (GNOMON_\w+)=(.*)$", read("settings", "node.env"), re.MULTILINE)
        self.assert_runs(harness.BINARY, "check", "config", "--config", path,
                         environment={**environment, **dict(commented)})

    # --- Alerts -----------------------------------------------------------------------------------

    def test_alerts_fire_when_they_should(self):
        self.assertIsNotNone(shutil.which("promtool"), "promtool is not installed")
        rules = self.write("gnomon.yaml", read("alerts", "gnomon.yaml"))
        self.assert_runs("promtool", "check", "rules", rules)
        with open(os.path.join(ROOT, "tests", "integration", "alerts.yaml"),
                  encoding="utf-8") as file:
            cases = file.read()
        self.assert_runs("promtool", "test", "rules", self.write("alerts.yaml", cases))
        alerts = [rule["alert"] for group in load("alerts", "gnomon.yaml")["groups"]
                  for rule in group["rules"]]
        self.assertEqual([name for name in alerts if name not in cases], [], "without a case")

    def test_alerts_name_metrics_that_exist(self):
        with open(os.path.join(ROOT, "docs", "operations", "metrics.md"), encoding="utf-8") as file:
            documented = set(re.findall(r"^\| `(gnomon_\w+)` \|", file.read(), re.MULTILINE))
        for group in load("alerts", "gnomon.yaml")["groups"]:
            for rule in group["rules"]:
                for name in re.findall(r"gnomon_\w+", rule["expr"]):
                    self.assertIn(re.sub("_bucket$", "", name), documented, rule["alert"])

    # --- The unit -----------------------------------------------------------------------------------

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not there")
    def test_the_unit_is_sound_and_hardened(self):
        unit = read("systemd", "gnomon.service").replace("/usr/bin/gnomon", harness.BINARY)
        path = self.write("gnomon.service", unit)
        self.assertEqual(self.assert_runs("systemd-analyze", "verify", path), "")
        status, words = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", path)
        self.assertEqual(status, 0, words)
        for name in "io_uring_setup", "io_uring_enter", "io_uring_register":
            self.assertIn(name, unit)

    # --- The image ------------------------------------------------------------------------------------

    def test_the_image_has_the_libraries_of_the_program(self):
        if harness.SANITIZED:
            self.skipTest("sanitizers bring libraries of their own")
        packages = set()
        # What these need in turn comes with their packages.
        needed = re.findall(r"NEEDED\s+(\S+)", self.assert_runs("objdump", "-p", harness.BINARY))
        found = dict(re.findall(r"(\S+) => (/\S+)", self.assert_runs("ldd", harness.BINARY)))
        for library in (found[name] for name in needed if name in found):
            real = os.path.realpath(library)
            for path in library, real, real.replace("/usr/lib/", "/lib/", 1):
                status, words = run("dpkg", "-S", path)
                if status == 0:
                    packages.add(words.split(":")[0])
                    break
            else:
                self.fail(f"no package has {library}")
        # Every image has these, or they come with another.
        packages -= {"libc6", "libgcc-s1", "liblz4-1"}
        installed = set(re.findall(r"[\w.+-]+", read("Dockerfile").split("debian:12-slim")[1]))
        self.assertEqual(packages - installed, set())

    def test_the_image_copies_what_is_there(self):
        text = read("Dockerfile")
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
            for source in sources.split():
                self.assertTrue(os.path.exists(os.path.join(ROOT, source)), source)
        user = text.index("USER gnomon")
        self.assertLess(text.index("useradd"), user)
        self.assertLess(user, text.index("ENTRYPOINT"))
        for name, value in re.findall(r"(GNOMON_\w+)=(\S+)", text):
            self.assert_runs(harness.BINARY, "check", "config", environment={name: value})

    # --- Compose ----------------------------------------------------------------------------------------

    def test_compose_fits_together(self):
        compose = load("compose.yaml")
        for kind in "configs", "secrets":
            for name, entry in compose[kind].items():
                path = os.path.join(DEPLOY, entry["file"])
                self.assertTrue(os.path.exists(path) or name == "gnomon_token", path)
        for name, service in compose["services"].items():
            for kind in "configs", "secrets":
                for used in service.get(kind, []):
                    source = used if isinstance(used, str) else used["source"]
                    self.assertIn(source, compose[kind], name)
            for volume in service["volumes"]:
                self.assertIn(volume.split(":")[0], compose["volumes"], name)
            for port in service["ports"]:
                self.assertTrue(port.startswith("127.0.0.1:"), port)
        web = self.make_web_config()
        nodes = [name for name in compose["services"] if name.startswith("gnomon-")]
        self.assertEqual(len(nodes), 3)
        for name in nodes:
            environment = {**compose["services"][name]["environment"], "GNOMON_HTTP_WEB_CONFIG": web}
            self.assertEqual(environment["GNOMON_CLUSTER_NODE"], name)
            self.assertIn(f"{name}={name}:9010", environment["GNOMON_CLUSTER_PEERS"])
            self.assertIn(name, self.assert_runs(harness.BINARY, "check", "config",
                                                 environment=environment))
        zones = {compose["services"][name]["environment"]["GNOMON_CLUSTER_ZONE"] for name in nodes}
        self.assertEqual(len(zones), 3)

    def test_prometheus_writes_and_watches_as_configured(self):
        """The configuration of deploy/prometheus with addresses and files of this test."""
        web = self.make_web_config()
        node = self.start_node(f"--http.web_config={web}", "--telemetry.self_write=false")
        port = harness.free_port()
        text = read("prometheus", "prometheus.yml")
        for before, after in (("/run/secrets/gnomon_token", f"{self.folder}/gnomon.token"),
                              ('"gnomon-1:9009", "gnomon-2:9009", "gnomon-3:9009"',
                               f'"127.0.0.1:{node.port}"'),
                              ("//gnomon:9009", f"//127.0.0.1:{node.port}"),
                              ("localhost:9090", f"127.0.0.1:{port}"), ("15s", "1s")):
            self.assertIn(before, text)
            text = text.replace(before, after)
        self.write("alerts/gnomon.yaml", read("alerts", "gnomon.yaml"))
        path = self.write("prometheus.yml", text)
        self.assert_runs("promtool", "check", "config", path)
        prometheus = self.start(harness.Program("prometheus", self.folder, [
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{port}"]))
        who = {"Authorization": f"Bearer {TOKEN}"}

        def is_written():
            answer = node.request("GET", "/api/v1/query?query=up", headers=who).data()
            return {one["metric"]["job"]: one["value"][1] for one in answer["result"]} == {
                "gnomon": "1", "prometheus": "1"}

        harness.wait_until(is_written, "both are scraped and written", alive=prometheus)
        rules = harness.request(port, "GET", "/api/v1/rules").data()["groups"][0]["rules"]
        self.assertEqual(len(rules), len(load("alerts", "gnomon.yaml")["groups"][0]["rules"]))
        harness.wait_until(
            lambda: all(rule["health"] == "ok" for rule in harness.request(
                port, "GET", "/api/v1/rules").data()["groups"][0]["rules"]),
            "all rules are evaluated", alive=prometheus)
        node.terminate()

    def test_grafana_gets_a_data_source(self):
        source = load("grafana", "datasource.yaml")["datasources"][0]
        self.assertEqual(source["type"], "prometheus")
        names = [name for name in source["jsonData"] if name.startswith("httpHeaderName")]
        for name in names:
            self.assertIn(name.replace("Name", "Value"), source["secureJsonData"])
        host = source["url"].split("//")[1].split(":")[0]
        for name, service in load("compose.yaml")["services"].items():
            if name.startswith("gnomon-"):
                self.assertIn(host, service["networks"]["default"]["aliases"])


if __name__ == "__main__":
    harness.main()
