"""SIGSTOP: the node is gone, but its connections stay, and it wakes up with old beliefs."""
from nemesis.fault import Fault


class Nemesis(Fault):
    hold_s = (1, 15)

    def inject(self):
        with self.cluster.mutex:
            for node in self.victims:
                node.pause()
        return f"SIGSTOP {self.victim_names()}"

    def heal(self):
        with self.cluster.mutex:
            for node in self.victims:
                node.resume()
