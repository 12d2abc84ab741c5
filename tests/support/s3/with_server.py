#!/usr/bin/env python3
"""Runs a command with a real S3 server beside it, and stops that afterwards.

    tests/support/s3/with_server.py ceph|swift COMMAND [ARGUMENT...]

The command finds S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION and S3_BUCKET, which is
there and empty, in its environment; S3_TLS_ENDPOINT and S3_CA_FILE are empty where the server has
no TLS. Ends with the command's status.
"""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import s3_servers  # noqa: E402


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in s3_servers.SERVERS:
        print(__doc__, file=sys.stderr)
        return 2
    # So that a server is stopped when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with s3_servers.SERVERS[sys.argv[1]]() as server:
        environment = dict(os.environ, S3_ENDPOINT=server.endpoint, S3_REGION=server.region,
                           S3_ACCESS_KEY=server.access_key, S3_SECRET_KEY=server.secret_key,
                           S3_BUCKET=server.bucket, S3_TLS_ENDPOINT=server.tls_endpoint,
                           S3_CA_FILE=server.ca_file)
        return subprocess.run(sys.argv[2:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
