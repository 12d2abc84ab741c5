"""Where a bucket may lie, as tests look into it: a directory, or a real S3 server behind a proxy that
makes faults. Keys are those below the store's prefix."""
import os
import sys
import xml.etree.ElementTree as xml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "s3"))
import s3_servers  # noqa: E402

PREFIX = "metrics/of-a-test"


class DirectoryPlace:
    def __init__(self, path):
        self.path = path

    def settings(self):
        return ("--object_store.type=directory", f"--object_store.directory={self.path}")

    def objects(self, prefix=""):
        """By key: size, and what changes when it is put anew."""
        found = {}
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = os.path.join(folder, name)
                key = os.path.relpath(path, self.path)
                if not name.startswith("~") and key.startswith(prefix):
                    status = os.stat(path)
                    found[key] = (status.st_size, status.st_mtime_ns)
        return found

    def read(self, key):
        with open(os.path.join(self.path, key), "rb") as file:
            return file.read()


class S3Place:
    """`endpoint`: where the program finds it; tests ask the server itself."""

    def __init__(self, server, endpoint):
        self.server = server
        self.endpoint = endpoint

    def settings(self):
        return ("--object_store.type=s3", f"--object_store.s3.endpoint={self.endpoint}",
                f"--object_store.s3.bucket={self.server.bucket}",
                f"--object_store.s3.prefix={PREFIX}",
                f"--object_store.s3.region={self.server.region}",
                f"--object_store.s3.access_key={self.server.access_key}",
                f"--object_store.s3.secret_key={self.server.secret_key}",
                "--object_store.s3.stall_timeout=1s", "--object_store.s3.part_size=5MiB")

    def ask(self, path, query=None):
        status, body = s3_servers.signed_request(self.server, "GET",
                                                 f"/{self.server.bucket}{path}", query)
        if status == 404:
            raise FileNotFoundError(path)
        assert status == 200, f"GET {path} {query}: {status} {body[:500]!r}"
        return body

    def objects(self, prefix=""):
        found, query = {}, {"list-type": "2", "prefix": f"{PREFIX}/{prefix}"}
        while True:
            page = xml.fromstring(self.ask("", query))
            space = page.tag.partition("}")[0] + "}" if page.tag.startswith("{") else ""
            for entry in page.iter(f"{space}Contents"):
                key = entry.findtext(f"{space}Key")[len(PREFIX) + 1:]
                found[key] = (int(entry.findtext(f"{space}Size")),
                              entry.findtext(f"{space}LastModified"))
            query["continuation-token"] = page.findtext(f"{space}NextContinuationToken") or ""
            if not query["continuation-token"]:
                return found

    def read(self, key):
        return self.ask(f"/{PREFIX}/{key}")


def place_of(bucket):
    return DirectoryPlace(bucket) if isinstance(bucket, str) else bucket
