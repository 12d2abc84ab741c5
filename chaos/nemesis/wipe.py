"""A node comes back with its name and an empty disk, and is rebuilt from the others."""
from nemesis.fault import Fault

REBUILT_S = 180


class Nemesis(Fault):
    needs_peers = True
    hold_s = (0, 5)
    weight = 0.2 # takes long
    alone = True # until the copies are made again, another loss may be one too many

    def inject(self):
        with self.cluster.mutex:
            for node in self.victims:
                node.kill()
                node.wipe()
        return f"kill -9 {self.victim_names()}, and its disk is empty"

    def heal(self):
        self.start_again()
        if not self.cluster.wait_whole(REBUILT_S):
            self.findings.add("not rebuilt", f"{REBUILT_S} s after {self.victim_names()} lost its "
                              f"disk: {self.cluster.what_is_missing()}")
