"""Real S3 servers from Debian's packages, on loopback, for tests of the object store.

    with CephServer() as server: ...        # the RADOS Gateway, its data in memory
    with SwiftServer() as server: ...       # OpenStack Swift with its S3 interface

A server has `endpoint`, `access_key`, `secret_key`, `region` and `bucket`, which is there; Ceph's
also `tls_endpoint`, whose certificate is in `ca_file`. Its processes are children of this one and end with it, however it ends; its files are in a scratch
folder. Swift knows no conditional put and is strict about signatures (region, signed headers);
Ceph's gateway knows both forms of more requests and is the quicker one.
"""
import ctypes
import datetime
import hashlib
import hmac
import http.client
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import uuid

START_S = 90
STOP_S = 10
PORTS_PER_SERVER = 8
# Below what the kernel gives to outgoing connections, and beside those of whole nodes.
PORTS = range(12000, 15000, PORTS_PER_SERVER)
_claims = []


def free_ports():
    """The first of PORTS_PER_SERVER ports in a row that are this process' alone and that nobody
    listened on a moment ago."""
    while True:
        first = random.choice(PORTS)
        claim = socket.socket(socket.AF_UNIX)
        probes = []
        try:
            # A name that the kernel forgets with this process.
            claim.bind(f"\0gnomon-s3-ports-{first}")
            for port in range(first, first + PORTS_PER_SERVER):
                probe = socket.socket()
                probes.append(probe)
                probe.bind(("127.0.0.1", port))
            _claims.append(claim)
            return first
        except OSError:
            claim.close()
        finally:
            for probe in probes:
                probe.close()


def end_with_parent():
    """In the child: the kernel ends it when this process is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


def signed_request(server, method, path, query=None, body=b""):
    """Status and body of the answer to a request that is signed with Signature Version 4."""
    asked = "&".join(f"{urllib.parse.quote(name, safe='')}={urllib.parse.quote(value, safe='')}"
                     for name, value in sorted((query or {}).items()))
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{server.region}/s3/aws4_request"
    payload = hashlib.sha256(body).hexdigest()
    host = server.endpoint.partition("://")[2]
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{path}\n{asked}\n{lines}\n{names}\n{payload}"
    to_sign = (f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n"
               f"{hashlib.sha256(canonical.encode()).hexdigest()}")
    key = ("AWS4" + server.secret_key).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={server.access_key}/{scope},"
                                f"SignedHeaders={names},Signature={signature}")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request(method, f"{path}?{asked}" if asked else path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Server:
    """What servers have in common: a folder, processes, an end."""
    name = "server"
    region = "us-east-1"
    bucket = "blocks"
    secret_key = "testsecret"
    access_key = "testaccess"
    tls_endpoint = ca_file = ""
    needs = ()

    def __init__(self):
        missing = [program for program in self.needs if shutil.which(program) is None]
        if missing:
            raise SystemExit(f"{self.name}: {', '.join(missing)} missing: "
                             "run deploy/install-dependencies.sh")
        self.processes = []
        self.folder = tempfile.mkdtemp(prefix=f"gnomon-{self.name}-")
        try:
            self.start()
            self.make_bucket()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, *command):
        """A command that ends by itself."""
        done = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START_S,
                              preexec_fn=end_with_parent, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout.decode(errors='replace')}")

    def spawn(self, name, *command):
        with open(self.path(f"{name}.log"), "ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, preexec_fn=end_with_parent)
        process.name = name
        self.processes.append(process)

    def log_tail(self):
        tails = []
        for process in self.processes:
            with open(self.path(f"{process.name}.log"), errors="replace") as log:
                tails.append(f"--- {process.name}\n{log.read()[-1500:]}")
        return "\n".join(tails)

    def wait_port(self, port):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            ended = [p.name for p in self.processes if p.poll() is not None]
            if ended:
                raise RuntimeError(f"{self.name}: {ended} ended\n{self.log_tail()}")
            time.sleep(0.02)
        raise RuntimeError(f"{self.name}: nobody listens on port {port}\n{self.log_tail()}")

    def make_bucket(self):
        end = time.monotonic() + START_S
        while True:
            try:
                status, body = signed_request(self, "PUT", f"/{self.bucket}")
            except OSError as error:
                status, body = 0, str(error).encode()
            if status == 200:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: no bucket: {status} {body!r}\n{self.log_tail()}")
            time.sleep(0.1)

    def stop(self):
        for process in reversed(self.processes):
            process.kill() # what it has is thrown away
        for process in self.processes:
            process.wait(STOP_S)
        shutil.rmtree(self.folder, ignore_errors=True)


class CephServer(Server):
    """One monitor, one OSD in memory, one gateway; no authentication among them."""
    name = "ceph"
    needs = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "openssl", "radosgw", "radosgw-admin")

    # Each new pool waits for the monitor: with its own settings for Paxos the start would take
    # twelve seconds instead of one. TCP_NODELAY makes small reads forty times as fast.
    SETTINGS = """[global]
fsid = {cluster}
mon host = v2:127.0.0.1:{monitor_port}/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr1 = false
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
keyring = {folder}/keyring
log file = {folder}/$name.out
run dir = {folder}
crash dir = {folder}
admin socket = {folder}/$name.socket
pid file =
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
[mon]
mon data = {folder}/monitor
paxos propose interval = 0.02
paxos min wait = 0.01
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 939524096
osd class load list = *
osd class default list = *
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1 ssl_endpoint=127.0.0.1:{tls_port} ssl_certificate={folder}/certificate ssl_private_key={folder}/key
rgw enable usage log = false
"""

    def start(self):
        first = free_ports()
        cluster, osd = str(uuid.uuid4()), str(uuid.uuid4())
        settings = self.path("ceph.conf")
        self.endpoint = f"http://127.0.0.1:{first}"
        self.write("ceph.conf", self.SETTINGS.format(cluster=cluster, folder=self.folder,
                                                     port=first, monitor_port=first + 1,
                                                     tls_port=first + 2))
        self.write("keyring", "")
        self.tls_endpoint, self.ca_file = f"https://127.0.0.1:{first + 2}", self.path("certificate")
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                 "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.path("key"), "-out",
                 self.ca_file)
        os.mkdir(self.path("monitor"))
        os.mkdir(self.path("osd"))
        self.run("monmaptool", "--create", "--clobber", "--fsid", cluster, "--addv", "a",
                 f"[v2:127.0.0.1:{first + 1}]", self.path("monmap"))
        self.run("ceph-mon", "-c", settings, "-i", "a", "--mkfs", "--monmap", self.path("monmap"))
        self.spawn("monitor", "ceph-mon", "-c", settings, "-i", "a", "-f")
        self.wait_port(first + 1)
        self.run("ceph", "-c", settings, "osd", "new", osd)
        self.run("ceph-osd", "-c", settings, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.spawn("osd", "ceph-osd", "-c", settings, "-i", "0", "-f")
        self.run("ceph", "-c", settings, "osd", "crush", "add", "osd.0", "1.0", "root=default",
                 "host=localhost")
        self.spawn("gateway", "radosgw", "-c", settings, "-n", "client.rgw", "-f")
        self.wait_port(first)
        self.run("radosgw-admin", "-c", settings, "user", "create", "--uid=test",
                 "--display-name=test", f"--access-key={self.access_key}",
                 f"--secret-key={self.secret_key}")


class SwiftServer(Server):
    """A proxy with s3api, account, container and object server, and memcached for the proxy."""
    name = "swift"
    access_key = "test:tester"
    needs = ("memcached", "swift-ring-builder", "swift-proxy-server", "swift-account-server",
             "swift-container-server", "swift-object-server")

    STORAGE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
workers = 0
disable_fallocate = true
fallocate_reserve = 0
[pipeline:main]
pipeline = {service}-server
[app:{service}-server]
use = egg:swift#{service}
"""
    PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats cache s3api tempauth bulk slo dlo copy versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
"""

    def start(self):
        first = free_ports()
        user = pwd.getpwuid(os.getuid()).pw_name
        values = {"user": user, "folder": self.folder, "secret": self.secret_key,
                  "region": self.region, "memcached": first + 4}
        self.endpoint = f"http://127.0.0.1:{first}"
        os.makedirs(self.path("devices", "d1"))
        services = ("account", "container", "object")
        for number, service in enumerate(services, 1):
            builder = self.path(f"{service}.builder")
            self.run("swift-ring-builder", builder, "create", "2", "1", "1")
            self.run("swift-ring-builder", builder, "add", "--region", "1", "--zone", "1", "--ip",
                     "127.0.0.1", "--port", str(first + number), "--device", "d1", "--weight", "1")
            self.run("swift-ring-builder", builder, "rebalance")
            self.write(f"{service}.conf",
                       self.STORAGE.format(port=first + number, service=service, **values))
        filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in (
            "catch_errors", "gatekeeper", "listing_formats", "bulk", "slo", "dlo", "copy",
            "versioned_writes"))
        self.write("proxy.conf", self.PROXY.format(port=first, **values) + filters)
        self.spawn("memcached", "memcached", "-u", user, "-l", "127.0.0.1", "-p", str(first + 4),
                   "-U", "0", "-m", "16")
        for service in services + ("proxy",):
            self.spawn(service, f"swift-{service}-server", self.path(f"{service}.conf"), "-v")
        for port in range(first, first + 5):
            self.wait_port(port)


SERVERS = {server.name: server for server in (CephServer, SwiftServer)}
