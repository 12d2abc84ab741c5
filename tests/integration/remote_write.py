"""Makes remote-write requests, 1.0 and 2.0, byte by byte: a third writer of the protocol, which
shares nothing with the node's reader or with tests/support/write_builder.c.

Snappy bodies hold literals only, which any reader must take.
"""
import struct

TYPE_1 = "application/x-protobuf"
TYPE_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

HEADERS_1 = {"Content-Type": TYPE_1, "Content-Encoding": "snappy",
             "X-Prometheus-Remote-Write-Version": "0.1.0"}
HEADERS_2 = {"Content-Type": TYPE_2, "Content-Encoding": "snappy",
             "X-Prometheus-Remote-Write-Version": "2.0.0"}

STALE_MARKER = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


# --- Protobuf ------------------------------------------------------------------------------------

def varint(value):
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def zigzag(value):
    return value << 1 ^ value >> 63


def field_varint(number, value):
    return varint(number << 3) + varint(value)


def field_double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def field_bytes(number, content):
    if isinstance(content, str):
        content = content.encode()
    return varint(number << 3 | 2) + varint(len(content)) + content


# --- Snappy, the block format ----------------------------------------------------------------------

def snappy(body):
    pieces = [varint(len(body))]
    for begin in range(0, len(body), 65536):
        piece = body[begin:begin + 65536]
        pieces.append(b"\xf4" + struct.pack("<H", len(piece) - 1) + piece)
    return b"".join(pieces)


# --- 1.0 -------------------------------------------------------------------------------------------

def labels_1(labels):
    return b"".join(field_bytes(1, field_bytes(1, name) + field_bytes(2, value))
                    for name, value in labels)


def series_1(labels, samples, histograms=(), exemplars=()):
    """`labels` are pairs, written as they are; `samples` are (timestamp_ms, value)."""
    parts = [labels_1(labels)]
    parts += [field_bytes(2, field_double(1, value) + field_varint(2, timestamp_ms))
              for timestamp_ms, value in samples]
    parts += [field_bytes(3, labels_1(names) + field_double(2, value) +
                          field_varint(3, timestamp_ms))
              for names, timestamp_ms, value in exemplars]
    parts += [field_bytes(4, histogram) for histogram in histograms]
    return field_bytes(1, b"".join(parts))


METRIC_COUNTER, METRIC_GAUGE = 1, 2


def metadata_1(metric, kind, description, unit):
    return field_bytes(3, field_varint(1, kind) + field_bytes(2, metric) +
                       field_bytes(4, description) + field_bytes(5, unit))


# --- 2.0 -------------------------------------------------------------------------------------------

class Request2:
    """Collects series and their symbols; `bytes()` is the body."""

    def __init__(self):
        self.symbols = [""]
        self.series = b""

    def reference(self, symbol):
        if symbol not in self.symbols:
            self.symbols.append(symbol)
        return self.symbols.index(symbol)

    def references(self, labels):
        return b"".join(varint(self.reference(text)) for pair in labels for text in pair)

    def add(self, labels, samples, histograms=(), exemplars=(), metadata=None, start_ms=0):
        return self.add_raw(self.references(labels), samples, histograms,
                            [(self.references(names), timestamp_ms, value)
                             for names, timestamp_ms, value in exemplars],
                            metadata and (metadata[0], self.reference(metadata[1]),
                                          self.reference(metadata[2])), start_ms)

    def add_raw(self, references, samples, histograms=(), exemplars=(), metadata=None, start_ms=0):
        """As `add`, with references that may be wrong."""
        start = field_varint(3, start_ms) if start_ms else b""
        parts = [field_bytes(1, references)]
        parts += [field_bytes(2, field_double(1, value) + field_varint(2, timestamp_ms) + start)
                  for timestamp_ms, value in samples]
        parts += [field_bytes(3, histogram) for histogram in histograms]
        parts += [field_bytes(4, field_bytes(1, names) + field_double(2, value) +
                              field_varint(3, timestamp_ms))
                  for names, timestamp_ms, value in exemplars]
        if metadata is not None:
            kind, description, unit = metadata
            parts.append(field_bytes(5, field_varint(1, kind) + field_varint(3, description) +
                                     field_varint(4, unit)))
        self.series += field_bytes(5, b"".join(parts))
        return self

    def bytes(self):
        return b"".join(field_bytes(4, symbol) for symbol in self.symbols) + self.series


# --- Histograms, the same in both ------------------------------------------------------------------

def histogram(timestamp_ms, count, total, buckets, schema=0, zero_count=0, first_bucket=1):
    """An integer histogram of one span of positive buckets, `buckets` their counts."""
    deltas, previous = b"", 0
    for bucket in buckets:
        deltas += varint(zigzag(bucket - previous))
        previous = bucket
    span = field_varint(1, zigzag(first_bucket)) + field_varint(2, len(buckets))
    return (field_varint(1, count) + field_double(3, total) + field_varint(4, zigzag(schema)) +
            field_double(5, 0.001) + field_varint(6, zero_count) + field_bytes(11, span) +
            field_bytes(12, deltas) + field_varint(15, timestamp_ms))
