"""Reads what lies in a bucket: the newest list of each shard, byte by byte, as
docs/formats/bucket.md says, and whether all that it names is there.
"""
from bucket_places import place_of


class Reader:
    def __init__(self, content):
        self.content = content
        self.at = 0

    def take(self, size):
        if self.at + size > len(self.content):
            raise ValueError("cut")
        self.at += size
        return self.content[self.at - size:self.at]

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                return value
            shift += 7

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def text(self):
        return self.take(self.varint())


class Block:
    def __init__(self, reader):
        self.shard = reader.varint()
        self.index, self.number = reader.varint(), reader.varint()
        self.start_ms, self.end_ms = reader.zigzag(), reader.zigzag()
        reader.zigzag()  # when it was decided
        reader.varint()  # its size where it was made
        self.series, self.samples = reader.varint(), reader.varint()
        reader.zigzag()
        reader.zigzag()
        reader.take(16)
        self.size = reader.varint()
        low, high = (int.from_bytes(reader.take(8), "little") for _ in range(2))
        self.key = (f"shards/{self.shard:08x}/blocks/{self.index:016x}-{self.number:08x}-"
                    f"{high:016x}{low:016x}")


class Retention:
    """Policies as {selector: milliseconds, None: for ever}; the selector of all others is ()."""
    def __init__(self, reader):
        flags = reader.take(1)[0]
        if flags > 7:
            raise ValueError("retention")
        self.policy = self.read_policy(reader) if flags & 1 else None
        self.announced = self.read_policy(reader) if flags & 2 else None
        self.announced_ms = reader.zigzag() if flags & 2 else None
        self.at_ms = reader.zigzag() if flags & 4 else None

    @staticmethod
    def read_policy(reader):
        policy = {(): reader.varint() or None}
        for _ in range(reader.varint()):
            tenant, keep = reader.text().decode(), reader.varint() or None
            matchers = [(reader.take(1)[0], reader.text().decode(), reader.text().decode())
                        for _ in range(reader.varint())]
            policy[(tenant, *matchers)] = keep
        return policy


class List:
    def __init__(self, content):
        reader = Reader(content)
        if reader.take(5) != b"GBKT\x01":
            raise ValueError("not a list")
        reader.take(16)
        self.shard, self.incarnation, self.index = (reader.varint() for _ in range(3))
        reader.zigzag()
        self.retention = Retention(reader)
        self.slots = 0
        for _ in range(reader.varint()):
            reader.varint()
            self.slots += reader.varint()
        self.heirs = [reader.varint() for _ in range(reader.varint())]
        for _ in range(reader.varint()):  # deletions
            reader.varint()
            reader.text()
            reader.zigzag()
            reader.zigzag()
            for _ in range(reader.varint()):
                reader.take(1)
                reader.text()
                reader.text()
        self.blocks = [Block(reader) for _ in range(reader.varint())]
        if reader.at != len(content):
            raise ValueError("stray bytes")


# --- What is there: of a bucket_places, or the path of a directory ---

def newest_lists(bucket):
    """By shard."""
    place, newest, found = place_of(bucket), {}, {}
    for key in sorted(objects(bucket, "manifests")):
        newest[key.split("/")[1]] = key
    for key in newest.values():
        content = List(place.read(key))
        assert key.rpartition("/")[2] == f"{content.incarnation:016x}-{content.index:016x}", key
        found[content.shard] = content
    return found


def objects(bucket, kind):
    """Keys of blocks or manifests, with sizes and times."""
    return {key: status for key, status in place_of(bucket).objects("shards/").items()
            if key.split("/")[2] == kind}


def listed_samples(bucket):
    """Of all shards; everything that is listed must be there."""
    samples = 0
    there = objects(bucket, "blocks")
    for content in newest_lists(bucket).values():
        for block in content.blocks:
            if block.key not in there:
                raise FileNotFoundError(block.key)
            size, _ = there[block.key]
            assert size == block.size, f"{block.key}: {size} bytes, {block.size} are listed"
            samples += block.samples
    return samples


def strays(bucket):
    """Blocks that no newest list names."""
    listed = {block.key for content in newest_lists(bucket).values() for block in content.blocks}
    return sorted(set(objects(bucket, "blocks")) - listed)
