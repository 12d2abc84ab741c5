"""Moves the wall clock of a program that is started with moved_clock.c preloaded."""
import os
import struct
import time


class MovedClock:
    """The file that says by how much; a program with `environment` follows it at once."""

    def __init__(self, library, path):
        self.path = path
        self.environment = {"LD_PRELOAD": library, "MOVED_CLOCK": path}

    def set(self, now_ms):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("<q", (now_ms - int(time.time() * 1000)) * 1000000))
