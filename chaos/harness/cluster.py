"""The nodes of a run: real processes, each with an address and a disk of its own."""
import http.client
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse

import disks
import moved_clock

HTTP_PORT, PEER_PORT = 9009, 9010
ZONES = ("east", "west", "north")
READY_DEADLINE_S = 120
END_DEADLINE_S = 60
NOTICED_S = 5 # the cluster has seen by then that a node is dead
BEHIND_BYTES = 1 << 20 # a write or two under way


class Unreachable(Exception):
    """No whole answer came."""


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Connection:
    """Keeps one connection to a node; for one thread."""

    def __init__(self, address, timeout_s):
        self.address = address
        self.timeout_s = timeout_s
        self.connection = None

    def request(self, method, path, body=None, headers=None):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, HTTP_PORT,
                                                             timeout=self.timeout_s)
            self.connection.request(method, path, body, headers or {})
            response = self.connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        if answer.headers.get("Connection", "").lower() == "close":
            self.close()
        return answer

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Node:
    """A gnomon, started and ended many times."""

    def __init__(self, cluster, name, zone):
        self.cluster = cluster
        self.name = name
        self.zone = zone
        self.address = cluster.network.addresses[name]
        self.folder = os.path.join(cluster.folder, name)
        os.makedirs(self.folder)
        self.log_path = os.path.join(self.folder, "log")
        self.disk = disks.make(self.folder, cluster.options.small_disks)
        self.clock = moved_clock.MovedClock(cluster.tools["moved_clock"],
                                            os.path.join(self.folder, "clock"))
        self.clock.set(int(time.time() * 1000))
        self.disk_delay = disks.Delay(cluster.tools["slow_disk"],
                                      os.path.join(self.folder, "delay"))
        self.process = None
        self.paused = False
        self.starts = 0

    def url(self):
        return f"http://{self.address}:{HTTP_PORT}"

    def arguments(self):
        cluster = self.cluster
        settings = {
            "http.listen": f"{self.address}:{HTTP_PORT}", "http.admin": "true",
            "storage.directory": os.path.join(self.disk.folder, "data"),
            "cluster.node": self.name, "telemetry.interval": "5s"}
        if cluster.options.slow_disks:
            settings["storage.engine"] = "pwritev2"
        if len(cluster.names) > 1:
            settings.update({
                "cluster.listen": f"{self.address}:{PEER_PORT}", "cluster.zone": self.zone,
                "cluster.peers": ",".join(f"{name}={cluster.network.addresses[name]}:{PEER_PORT}"
                                          for name in cluster.names)})
        settings.update(cluster.options.settings)
        return [cluster.tools["gnomon"], "serve"] + [f"--{name}={value}"
                                                     for name, value in settings.items()]

    def environment(self):
        environment = dict(os.environ)
        preloaded = []
        for source, wanted in ((self.clock, self.cluster.options.moved_clocks),
                               (self.disk_delay, self.cluster.options.slow_disks)):
            if wanted:
                preloaded.append(source.environment["LD_PRELOAD"])
                environment.update(source.environment)
        if preloaded:
            environment["LD_PRELOAD"] = ":".join(preloaded)
        return environment

    def start(self):
        assert self.process is None
        self.starts += 1
        # A core, where the kernel writes one beside the log, says most about a crash.
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with open(self.log_path, "ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                self.cluster.network.inside(self.name) + self.arguments(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment())

    def kill(self):
        """kill -9. What the kernel has taken stays: a loss of power is the simulation's."""
        process, self.process = self.process, None
        self.paused = False
        if process is not None:
            process.kill()
            process.wait()

    def terminate(self):
        """SIGTERM; returns (status, seconds) of the end."""
        self.resume()
        process, self.process = self.process, None
        began = time.monotonic()
        process.terminate()
        try:
            status = process.wait(END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = None
        return status, time.monotonic() - began

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        if self.paused:
            self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def wipe(self):
        """An empty disk under a known name; the node must not run."""
        assert self.process is None
        shutil.rmtree(os.path.join(self.disk.folder, "data"), ignore_errors=True)

    def died(self):
        """The status of a process that ended although nobody ended it, else None."""
        return None if self.process is None else self.process.poll()

    def ask(self, path, timeout_s=5, method="GET", headers=None, body=None, **parameters):
        """One request on a connection of its own; raises Unreachable."""
        connection = Connection(self.address, timeout_s)
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters, doseq=True)
        try:
            return connection.request(method, path, body, headers)
        finally:
            connection.close()

    def is_ready(self):
        if self.process is None or self.paused:
            return False
        try:
            return self.ask("/-/ready", timeout_s=2).status == 200
        except Unreachable:
            return False

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()


class Options:
    """How the nodes of a scenario are started."""

    def __init__(self, small_disks=False, slow_disks=False, moved_clocks=False, settings=None):
        self.small_disks = small_disks
        self.slow_disks = slow_disks
        self.moved_clocks = moved_clocks
        self.settings = settings or {}


class Cluster:
    def __init__(self, folder, names, network, tools, options):
        self.folder = folder
        self.names = names
        self.network = network
        self.tools = tools
        self.options = options
        self.nodes = [Node(self, name, ZONES[i % len(ZONES)]) for i, name in enumerate(names)]
        self.deaths = []
        self.mutex = threading.Lock() # of starts and ends: nemeses and the watch

    def node(self, name):
        return self.nodes[self.names.index(name)]

    def start(self):
        for node in self.nodes:
            node.start()

    def wait_ready(self, deadline_s=READY_DEADLINE_S):
        """Returns the names of nodes that are not ready by then."""
        end = time.monotonic() + deadline_s
        waiting = list(self.nodes)
        while waiting and time.monotonic() < end:
            self.watch()
            waiting = [node for node in waiting if not node.is_ready()]
            if waiting:
                time.sleep(0.1)
        return [node.name for node in waiting]

    def watch(self):
        """Notes nodes that ended by themselves, and starts them again, as a service manager would."""
        with self.mutex:
            for node in self.nodes:
                status = node.died()
                if status is not None:
                    lines = node.log_text().rstrip().split("\n")[-3:]
                    self.deaths.append(f"{node.name} ended by itself with {status}: " +
                                       " | ".join(line[:200] for line in lines))
                    node.process = None
                    node.paused = False
                    if len(self.deaths) < 20:
                        node.start()

    def status(self):
        """GET /api/v1/cluster of the first node that knows what the leader sees, or None."""
        for node in self.nodes:
            if node.process is None or node.paused:
                continue
            try:
                answer = node.ask("/api/v1/cluster", timeout_s=2)
                if answer.status == 200 and answer.json()["data"].get("observed"):
                    return answer.json()["data"]
            except (Unreachable, ValueError):
                continue
        return None

    def leaders(self):
        """Shard to the name of the node that leads it, by what the cluster says."""
        if len(self.nodes) == 1:
            return {0: self.names[0]}
        status = self.status()
        if status is None:
            return {}
        return {shard["shard"]: shard["leader"] for shard in status["shards"] if shard["leader"]}

    def what_is_missing(self):
        """Why the cluster is not whole, for people; "" when every node is alive and every shard has a
        leader and all its replicas, none of them behind."""
        if len(self.nodes) == 1:
            return ""
        status = self.status()
        if status is None:
            return "no leader of the meta group is known"
        dead = [node["name"] for node in status["nodes"]
                if node["state"] != "left" and not node.get("alive")]
        if dead:
            return f"{', '.join(dead)} not alive"
        # The cluster's own group: votes of the dead count, and those of the living are too few.
        votes = [node for node in status["nodes"] if node.get("metaVoter")]
        if any(not node.get("alive") for node in votes) or len(votes) < len(self.nodes):
            return f"votes of the meta group: {[node['id'] for node in votes]}"
        for shard in status["shards"]:
            replicas = shard["replicas"]
            if not shard["leader"] or not shard.get("settled"):
                return f"shard {shard['shard']} is not settled: {replicas}"
            behind = [one for one in replicas if one.get("bytesBehind", 0) > BEHIND_BYTES]
            if behind or len(replicas) < min(status["replication"], len(self.nodes)):
                return f"shard {shard['shard']}: {replicas}"
        return ""

    def wait_whole(self, deadline_s):
        """Returns whether it is, and has been for some seconds: what the cluster says of a node that
        just died is of before."""
        if len(self.nodes) == 1:
            return True
        end = time.monotonic() + deadline_s
        whole_since = None
        while time.monotonic() < end:
            self.watch()
            if self.what_is_missing():
                whole_since = None
            elif whole_since is None:
                whole_since = time.monotonic()
            elif time.monotonic() - whole_since > NOTICED_S:
                return True
            time.sleep(0.2)
        return False

    def heal(self):
        """Everything that a nemesis may have left: no faults after this."""
        self.network.heal()
        with self.mutex:
            for node in self.nodes:
                node.disk.empty()
                node.disk_delay.set(0)
                node.clock.set(int(time.time() * 1000))
                node.resume()
                if node.process is None:
                    node.start()

    def end(self):
        for node in self.nodes:
            node.resume()
            node.kill()
            node.disk.unmount()
