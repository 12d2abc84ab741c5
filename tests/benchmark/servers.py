"""The servers that are measured: how each is started, asked, flushed and ended.

All listen on loopback ports that were free, keep their data in a folder of their own, and die with
this program. Settings are the defaults but for what lets them take part: remote write switched on,
no retention, no limits on what a query may select. Gnomon does not write its own metrics into
itself here, so that all hold the same series.
"""
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

PR_SET_PDEATHSIG = 1
START_DEADLINE_S = 300
STOP_DEADLINE_S = 60


class ServerFailed(Exception):
    """A server did not start, answer or end."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def folder_size(folder):
    """Bytes and number of the files below a folder; files may vanish meanwhile."""
    size = count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(parent, name)).st_size
                count += 1
            except FileNotFoundError:
                pass
    return size, count


def folder_parts(folder):
    """Bytes by sub-folder, without the small ones."""
    parts = {name: folder_size(os.path.join(folder, name))[0] for name in sorted(os.listdir(folder))}
    return {name: size for name, size in parts.items() if size > 10000}


class Server:
    """One column. Subclasses say how the program is called."""

    name = ""
    write_path = "/api/v1/write"
    ready_path = "/-/ready"

    def __init__(self, folder):
        self.folder = folder
        self.data = os.path.join(folder, "data")
        self.port = 0
        self.process = None
        self.connection = None

    def command(self):
        raise NotImplementedError

    # --- Life ---------------------------------------------------------------------------------

    def start(self):
        """Start on the data that is there; returns when the process exists, not when ready."""
        os.makedirs(self.data, exist_ok=True)
        self.port = free_port()
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=die_with_parent)

    def wait_ready(self):
        def ready():
            return self.ask(self.ready_path)[0] == 200
        self.wait_until(ready, START_DEADLINE_S, "ready")

    def wait_until(self, condition, deadline_s, what, pause_s=0.005):
        """Seconds until `condition` holds. An answer that does not come counts as no."""
        started = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - started
            except (OSError, http.client.HTTPException):
                self.close_connection()
            if self.process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with {self.process.returncode}, "
                                   f"see {self.folder}/log")
            if time.monotonic() - started > deadline_s:
                raise ServerFailed(f"{self.name}: not in {deadline_s} s: {what}")
            time.sleep(pause_s)

    def end(self, number):
        """Send a signal, wait for the end; returns the seconds that took. Kills what lingers."""
        self.close_connection()
        started = time.monotonic()
        if self.process is None:
            return 0.0
        self.process.send_signal(number)  # does nothing to one that has ended
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        return time.monotonic() - started

    def end_counting_writes(self, number, figures):
        """As end(); the counters of a process stay readable until its parent has waited for it."""
        self.close_connection()
        started = time.monotonic()
        self.process.send_signal(number)
        while os.waitid(os.P_PID, self.process.pid,
                        os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() - started > STOP_DEADLINE_S:
                raise ServerFailed(f"{self.name} does not stop")
            time.sleep(0.002)
        figures["stop_s"] = time.monotonic() - started
        figures["written_bytes"] = self.written_bytes()
        self.end(number)

    def clear(self):
        self.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def url(self):
        return f"http://127.0.0.1:{self.port}{self.write_path}"

    # --- Questions ----------------------------------------------------------------------------

    def close_connection(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def ask(self, path, parameters=(), method="GET", deadline_s=300):
        """Status and body, over one kept connection."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                         timeout=deadline_s)
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters, doseq=True)
        try:
            self.connection.request(method, path)
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.close_connection()
            raise

    def data_of(self, path, parameters):
        status, body = self.ask(path, parameters)
        if status != 200:
            raise ServerFailed(f"{self.name}: {path} {parameters}: {status} {body[:300]!r}")
        return json.loads(body)["data"]

    # --- Figures of the process -----------------------------------------------------------------

    def cpu_seconds(self):
        """Of all threads. The clock of another process: see clock_getcpuclockid(3)."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def status_bytes(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def written_bytes(self):
        with open(f"/proc/{self.process.pid}/io", encoding="ascii") as counters:
            for line in counters:
                if line.startswith("write_bytes:"):
                    return int(line.split()[1])
        return 0

    def forget_peak(self):
        """Let VmHWM start again from what is resident now."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as references:
            references.write("5")

    def settle(self, deadline_s=60):
        """Wait until a second costs less than a tenth of a core."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(1)
            if self.cpu_seconds() - before < 0.1:
                return

    # --- The form in which data stay -------------------------------------------------------------

    def compact(self):
        """Bring the data into their lasting form; returns its size in bytes, without what is of
        some fixed size or no data: logs and caches."""
        raise NotImplementedError

    def size_without(self, part):
        return folder_size(self.data)[0] - folder_size(os.path.join(self.data, part))[0]


class Gnomon(Server):
    engine = "io_uring"
    program = ""

    def __init__(self, folder):
        super().__init__(folder)
        self.name = f"gnomon {self.engine}"

    def command(self):
        return [self.program, "serve", f"--http.listen=127.0.0.1:{self.port}",
                f"--storage.directory={self.data}", f"--storage.engine={self.engine}",
                "--telemetry.self_write=false"]

    def compact(self):
        status, body = self.ask("/api/v1/admin/flush", method="POST")
        if status != 204:
            raise ServerFailed(f"{self.name}: flush: {status} {body[:300]!r}")
        self.settle()
        return self.size_without("journal")


class GnomonPwritev2(Gnomon):
    engine = "pwritev2"


class Prometheus(Server):
    name = "prometheus"

    def command(self):
        settings = os.path.join(self.folder, "prometheus.yml")
        with open(settings, "w", encoding="ascii") as file:
            file.write("storage:\n  tsdb:\n    out_of_order_time_window: 2h\n")
        return ["prometheus", f"--config.file={settings}", f"--storage.tsdb.path={self.data}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
                "--web.enable-admin-api", "--storage.tsdb.retention.time=3650d",
                "--query.max-samples=500000000"]

    def compact(self):
        """The head as a block: what a snapshot holds."""
        self.data_of_post("/api/v1/admin/tsdb/snapshot")
        size = folder_size(os.path.join(self.data, "snapshots"))[0]
        shutil.rmtree(os.path.join(self.data, "snapshots"))
        return size

    def data_of_post(self, path):
        status, body = self.ask(path, method="POST")
        if status != 200:
            raise ServerFailed(f"{self.name}: {path}: {status} {body[:300]!r}")


class VictoriaMetrics(Server):
    name = "victoria-metrics"
    ready_path = "/health"

    def command(self):
        return ["victoria-metrics", f"-storageDataPath={self.data}",
                f"-httpListenAddr=127.0.0.1:{self.port}", "-retentionPeriod=100y",
                "-search.latencyOffset=0s", "-search.maxUniqueTimeseries=10000000",
                "-search.maxSeries=10000000"]

    def compact(self):
        self.ask("/internal/force_flush")
        self.ask("/internal/force_merge")
        time.sleep(1)
        self.settle()
        return self.size_without("cache")


KINDS = {"uring": Gnomon, "pwritev2": GnomonPwritev2, "prometheus": Prometheus,
         "victoria-metrics": VictoriaMetrics}
PEERS = ("prometheus", "victoria-metrics")
