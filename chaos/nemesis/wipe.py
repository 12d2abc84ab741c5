"""A node comes back with its name and an empty disk, and is rebuilt from the others."""
import time

from nemesis.fault import Fault

REBUILT_S = 180


class Nemesis(Fault):
    needs_peers = True
    hold_s = (0, 5)
    alone = True # until the copies are made again, another loss may be one too many

    def inject(self):
        with self.cluster.mutex:
            for node in self.victims:
                node.kill()
                node.wipe()
        return f"kill -9 {self.victim_names()}, and its disk is empty"

    def heal(self):
        self.start_again()
        end = time.monotonic() + REBUILT_S
        missing = self.cluster.what_is_missing()
        while missing:
            if time.monotonic() > end:
                self.findings.add("not rebuilt", f"{REBUILT_S} s after {self.victim_names()} lost its "
                                  f"disk: {missing}")
                return
            self.cluster.watch()
            time.sleep(0.5)
            missing = self.cluster.what_is_missing()
