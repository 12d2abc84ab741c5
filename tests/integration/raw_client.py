"""A client that sends exactly the bytes it is given, and reads answers one after the other."""
import socket
import time


class Closed(Exception):
    """The server has ended the connection."""


class RawAnswer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # lower-case names
        self.body = body


class RawClient:
    def __init__(self, port, deadline_s=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=deadline_s)
        self.received = b""

    def send(self, data):
        self.socket.sendall(data)
        return self

    def send_in_pieces(self, pieces):
        """Each in a packet of its own."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(0.002)
        return self

    def fill(self):
        received = self.socket.recv(65536)
        if not received:
            raise Closed()
        self.received += received

    def take(self, size):
        while len(self.received) < size:
            self.fill()
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def take_until(self, mark):
        while mark not in self.received:
            self.fill()
        return self.take(self.received.index(mark) + len(mark))

    def answer(self, method="GET"):
        """The next answer, whole; 100 Continue counts as one."""
        lines = self.take_until(b"\r\n\r\n").decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip()
                   for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while True:
                size = int(self.take_until(b"\r\n"), 16)
                body += self.take(size + 2)[:-2]
                if size == 0:
                    break
        elif method != "HEAD" and status not in (100, 204, 304):
            body = self.take(int(headers["content-length"]))
        return RawAnswer(status, headers, body)

    def is_closed(self, within_s=60):
        """True when the server ends the connection in time, and says nothing more before."""
        self.socket.settimeout(within_s)
        try:
            return self.received == b"" and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self):
        self.socket.close()


def ask(port, data, method="GET"):
    """One request on a connection of its own: the answer, and whether the server closed after."""
    client = RawClient(port)
    try:
        answer = client.send(data).answer(method)
        return answer, answer.headers.get("connection") == "close"
    finally:
        client.close()
