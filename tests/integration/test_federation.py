"""federate: the latest samples of selected series, as text and Protobuf, and a real Prometheus that
scrapes them."""
import json
import os
import shutil
import struct
import time

import harness
import remote_write as rw

PROTOBUF = ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
            "encoding=delimited")


class Federation(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")
        self.now_ms = int(time.time() * 1000)
        span = rw.field_varint(1, rw.zigzag(1)) + rw.field_varint(2, 2)
        custom = (rw.field_double(2, 9) + rw.field_double(3, 2.5) +
                  rw.field_varint(4, rw.zigzag(-53)) + rw.field_bytes(11, span) +
                  rw.field_bytes(13, struct.pack("<2d", 2, 7)) + rw.field_varint(15, self.at(3)) +
                  rw.field_bytes(16, struct.pack("<2d", 1, 2.5)))
        stale = struct.unpack("<d", struct.pack("<Q", 0x7ff0000000000002))[0]
        self.write(
            rw.series_1([("__name__", "up"), ("instance", "a"), ("job", "x")],
                        [(self.at(60), 0.0), (self.at(5), 1.0)]),
            rw.series_1([("__name__", "up"), ("job", "y")], [(self.at(4), 2e6)]),
            rw.series_1([("__name__", "gone")], [(self.at(9), 1.0), (self.at(8), stale)]),
            rw.series_1([("__name__", "old")], [(self.at(400), 1.0)]),
            rw.series_1([("__name__", "sizes")], [], [custom]),
            rw.series_1([("__name__", "seconds")], [],
                        [rw.histogram(self.at(3), 10, 12.5, [3, 4, 2], schema=2, zero_count=1)]),
            rw.series_1([("__name__", "ä.b"), ("c d", 'e"f\\g\nh')], [(self.at(2), float("inf"))]))

    def tearDown(self):
        self.node.terminate()

    def at(self, seconds_ago):
        return self.now_ms - seconds_ago * 1000

    def write(self, *series):
        answer = self.node.request("POST", "/api/v1/write", rw.snappy(b"".join(series)), rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def federate(self, *selectors, accept=None):
        path = "/federate?" + harness.query_string({"match[]": selectors})
        answer = self.node.request("GET", path, headers={"Accept": accept} if accept else {})
        self.assertEqual(answer.status, 200, answer.body)
        return answer

    def test_text_has_the_latest_sample_of_each_series_once(self):
        answer = self.federate("up", '{job="x"}', "gone", "old", "nothing")
        self.assertEqual(answer.headers["Content-Type"],
                         "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
        self.assertEqual(answer.body.decode(),
                         "# TYPE up untyped\n"
                         f'up{{instance="a",job="x"}} 1 {self.at(5)}\n'
                         f'up{{job="y",instance=""}} 2e+06 {self.at(4)}\n')
        self.assertEqual(self.node.get("/federate").body, b"")

    def test_custom_buckets_are_classic_in_text_and_exponential_ones_are_not_there(self):
        self.assertEqual(self.federate("sizes", "seconds").body.decode(),
                         "# TYPE sizes histogram\n"
                         f'sizes_bucket{{instance="",le="1"}} 0 {self.at(3)}\n'
                         f'sizes_bucket{{instance="",le="2.5"}} 2 {self.at(3)}\n'
                         f'sizes_bucket{{instance="",le="+Inf"}} 9 {self.at(3)}\n'
                         f'sizes_sum{{instance=""}} 2.5 {self.at(3)}\n'
                         f'sizes_count{{instance=""}} 9 {self.at(3)}\n')

    def test_names_are_written_as_the_scraper_can_read_them(self):
        value = '"e\\"f\\\\g\\nh"'
        for escaping, metric, label in (("underscores", "__b", "c_d"), ("dots", "___dot_b", "c__d"),
                                        ("values", "U___e4__2e_b", "U__c_20_d")):
            text = self.federate('{"ä.b"}', accept="text/plain;escaping=" + escaping).body.decode()
            self.assertEqual(text, f"# TYPE {metric} untyped\n"
                                   f'{metric}{{{label}={value},instance=""}} +Inf {self.at(2)}\n')
        text = self.federate('{"ä.b"}', accept="text/plain;escaping=allow-utf-8").body.decode()
        self.assertEqual(text, '# TYPE "ä.b" untyped\n'
                               f'{{"ä.b","c d"={value},instance=""}} +Inf {self.at(2)}\n')

    def test_protobuf_when_the_scraper_wants_it_most(self):
        wants = f"text/plain;version=0.0.4;q=0.3,{PROTOBUF};escaping=allow-utf-8;q=0.8,*/*;q=0.1"
        answer = self.federate("up", accept=wants)
        self.assertEqual(answer.headers["Content-Type"],
                         "application/vnd.google.protobuf; "
                         "proto=io.prometheus.client.MetricFamily; encoding=delimited; "
                         "escaping=allow-utf-8")
        pair = lambda name, value: rw.field_bytes(
            1, rw.field_bytes(1, name) + rw.field_bytes(2, value))
        untyped = lambda value: rw.field_bytes(5, rw.field_double(1, value))
        family = rw.field_bytes(1, b"up") + rw.field_varint(3, 3)
        family += rw.field_bytes(4, pair(b"instance", b"a") + pair(b"job", b"x") + untyped(1.0) +
                                 rw.field_varint(6, self.at(5)))
        family += rw.field_bytes(4, pair(b"job", b"y") + pair(b"instance", b"") + untyped(2e6) +
                                 rw.field_varint(6, self.at(4)))
        self.assertEqual(answer.body, rw.varint(len(family)) + family)

    def test_wrong_selectors_are_told_as_text(self):
        answer = self.node.get("/federate", **{"match[]": "up{"})
        self.assertEqual((answer.status, answer.headers["Content-Type"]),
                         (400, "text/plain; charset=utf-8"))
        self.assertEqual(answer.body, b"1:4: parse error: unexpected end of input inside braces\n")

    def test_a_real_prometheus_federates(self):
        """As text, and with native histograms as Protobuf."""
        self.assertIsNotNone(shutil.which("prometheus"), "prometheus is not installed")
        for number, flags in enumerate(((), ("--enable-feature=native-histograms",))):
            port, folder = harness.free_port(), f"{self.folder}/prometheus{number}"
            configuration = {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [{"job_name": "federate", "honor_labels": True,
                                    "metrics_path": "/federate",
                                    "params": {"match[]": ["up", "sizes", "seconds"]},
                                    "static_configs": [{"targets": [f"127.0.0.1:{self.node.port}"]}]}]}
            os.makedirs(folder)
            with open(folder + "/prometheus.yml", "w", encoding="utf-8") as file:
                json.dump(configuration, file) # YAML takes it
            prometheus = self.start(harness.Program(f"prometheus{number}", self.folder, [
                "prometheus", f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
                *flags]))

            def ask(query):
                return harness.request(port, "GET", "/api/v1/query?" + harness.query_string(
                    {"query": query})).data()["result"]

            def has_series():
                try:
                    return len(ask('up{job=~"x|y"}')) == 2
                except (OSError, ValueError): # it is starting
                    return False

            harness.wait_until(has_series, "Prometheus has the series", alive=prometheus)
            found = {json.dumps(one["metric"], sort_keys=True): one["value"][1]
                     for one in ask('up{job=~"x|y"}')}
            self.assertEqual(found, {'{"__name__": "up", "instance": "a", "job": "x"}': "1",
                                     '{"__name__": "up", "job": "y"}': "2000000"})
            self.assertEqual(ask('sizes_bucket{le="2.5"}')[0]["value"][1], "2")
            seconds = ask("histogram_count(seconds)")
            self.assertEqual([one["value"][1] for one in seconds], ["10"] if flags else [])


if __name__ == "__main__":
    harness.main()
