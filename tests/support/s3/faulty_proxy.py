"""Stands between a client and an S3 server, and does to some requests what networks and stores do.

    with FaultyProxy("http://127.0.0.1:7480", seed=7) as proxy:
        proxy.permille = 100            # of requests; 0: it only passes on
        ... proxy.endpoint ...
        proxy.away = True               # nobody is there

Signatures stay valid: the client signs the proxy's address as host, and that is passed on.
"""
import collections
import http.client
import http.server
import random
import socket
import struct
import threading
import time
import urllib.parse

STALL_S = 3  # above the time-out that tests set
PATIENCE_S = 60
OWN_HEADERS = ("connection", "content-length", "expect", "keep-alive", "transfer-encoding")
ERROR = ('<?xml version="1.0" encoding="UTF-8"?>'
         "<Error><Code>{}</Code><Message>by the proxy</Message></Error>")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def passed_on(headers):
    return [(name, value) for name, value in headers if name.lower() not in OWN_HEADERS]


def is_listing(method, path):
    query = urllib.parse.urlsplit(path).query
    return method == "GET" and "prefix=" in query and "uploads" not in query


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def log_message(self, *_):
        pass

    def handle_any(self):
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = proxy.choose(self.command, self.path)
        if fault is not None:
            proxy.count(fault)
            getattr(self, fault)(body)
        else:
            self.reply(self.forward(body))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def forward(self, body):
        proxy = self.server.proxy
        upstream = http.client.HTTPConnection(proxy.server, timeout=PATIENCE_S)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in passed_on(self.headers.items()):
                upstream.putheader(name, value)
            if body or "Content-Length" in self.headers:
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            content = answer.read()
            headers = passed_on(answer.getheaders())
            if self.command == "HEAD":
                headers.append(("Content-Length", answer.getheader("Content-Length", "0")))
            else:
                headers.append(("Content-Length", str(len(content))))
        finally:
            upstream.close()
        answer = Answer(answer.status, headers, content)
        if is_listing(self.command, self.path) and answer.status == 200:
            proxy.remember(self.path, answer)
        return answer

    def send_head(self, answer):
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()

    def reply(self, answer):
        self.send_head(answer)
        self.wfile.write(answer.body)

    def break_off(self):
        """With a reset, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def refuse(self, status, code):
        body = ERROR.format(code).encode()
        if self.command == "HEAD":
            body = b""
        self.reply(Answer(status, [("Content-Type", "application/xml"),
                                   ("Content-Length", str(len(body)))], body))

    # --- Faults ---

    def error_500(self, _):
        self.refuse(500, "InternalError")

    def slow_down_503(self, _):
        self.refuse(503, "SlowDown")

    def reset_before(self, _):
        self.break_off()

    def reset_after(self, body):
        """It was done, and nobody hears of it."""
        self.forward(body)
        self.break_off()

    def stall(self, _):
        time.sleep(STALL_S)
        self.break_off()

    def cut_answer(self, body):
        answer = self.forward(body)
        self.send_head(answer)
        self.wfile.write(answer.body[:len(answer.body) // 2])
        self.wfile.flush()
        self.break_off()

    def changed_body(self, body):
        """A bit of what is sent: the server finds it by the checksum that is signed."""
        if not body:
            self.error_500(body)
            return
        at = self.server.proxy.below(len(body))
        self.reply(self.forward(body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]))

    def stale_listing(self, body):
        older = self.server.proxy.recall(self.path)
        self.reply(older if older is not None else self.forward(body))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # connections that the client breaks off


class FaultyProxy:
    FAULTS = ("error_500", "slow_down_503", "reset_before", "reset_after", "stall", "cut_answer",
              "changed_body", "stale_listing")

    def __init__(self, endpoint, seed):
        self.server = endpoint.partition("://")[2]
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.listings = {}
        self.permille = 0
        self.away = False
        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.proxy = self
        self.endpoint = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def below(self, limit):
        with self.lock:
            return self.random.randrange(limit)

    def choose(self, method, path):
        with self.lock:
            if self.away:
                return "reset_before"
            if self.random.randrange(1000) >= self.permille:
                return None
            fault = self.random.choice(self.FAULTS)
        if fault == "changed_body" and method != "PUT":
            return "error_500"
        if fault == "stale_listing" and not is_listing(method, path):
            return "slow_down_503"
        return fault

    def count(self, fault):
        with self.lock:
            self.counts[fault] += 1

    def remember(self, path, answer):
        """The last three of each listing."""
        with self.lock:
            self.listings.setdefault(path, collections.deque(maxlen=3)).append(answer)

    def recall(self, path):
        with self.lock:
            answers = self.listings.get(path)
            return answers[0] if answers else None
