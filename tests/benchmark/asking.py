"""Asks over one kept connection and takes the time, without the cost of Python's HTTP client.

That client spends 0.2 ms a request on headers and chunks, as much as the servers take for a small
query, and so makes all of them look alike. Here the clock stops with the last byte of the answer;
what the bytes mean is looked at afterwards.
"""
import select
import socket
import time
import urllib.parse

DEADLINE_S = 300
RECEIVE_BYTES = 1 << 20
CHUNKS_END = b"\r\n0\r\n\r\n"


class BrokenAnswer(Exception):
    """Not an HTTP answer, or none to its end."""


class Asker:
    def __init__(self, port):
        self.port = port
        self.socket = None
        self.connect()

    def connect(self):
        self.close()
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def receive(self):
        received = self.socket.recv(RECEIVE_BYTES)
        if not received:
            raise BrokenAnswer("the connection was closed")
        return received

    def ask(self, path, parameters=()):
        """Milliseconds, status and body."""
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters, doseq=True)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        if self.is_closed():
            self.connect()
        started = time.perf_counter()
        self.socket.sendall(request)
        head, pieces = self.receive_head()
        length = field(head, b"content-length")
        if length is not None:
            self.receive_bytes(pieces, int(length))
        else:
            self.receive_chunks(pieces)
        milliseconds = (time.perf_counter() - started) * 1000
        body = b"".join(pieces)
        if length is None:
            body = join_chunks(body)
        return milliseconds, int(head.split(b" ", 2)[1]), body

    def is_closed(self):
        """Whether the server has ended the kept connection meanwhile, as each does at times: no
        answer is awaited, so that nothing else can be there to read."""
        readable, _, _ = select.select([self.socket], [], [], 0)
        return bool(readable)

    def receive_head(self):
        received = self.receive()
        while b"\r\n\r\n" not in received:
            received += self.receive()
        head, body = received.split(b"\r\n\r\n", 1)
        return head, [body]

    def receive_bytes(self, pieces, length):
        left = length - len(pieces[0])
        while left > 0:
            pieces.append(self.receive())
            left -= len(pieces[-1])

    def receive_chunks(self, pieces):
        """To the last chunk; JSON has no line ends of its own that could look like it."""
        end = (b"\r\n" + pieces[0])[-len(CHUNKS_END):]
        while end != CHUNKS_END:
            pieces.append(self.receive())
            end = (end + pieces[-1])[-len(CHUNKS_END):]


def field(head, name):
    for line in head.lower().split(b"\r\n")[1:]:
        if line.startswith(name + b":"):
            return line.split(b":", 1)[1].strip()
    return None


def join_chunks(body):
    joined, at = [], 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].split(b";")[0], 16)
        if size == 0:
            return b"".join(joined)
        joined.append(body[line_end + 2:line_end + 2 + size])
        at = line_end + 2 + size + 2
