"""kill -9 of every node at once: what was acknowledged was on disks."""
from nemesis.fault import Fault


class Nemesis(Fault):
    hold_s = (0, 2)
    alone = True

    def inject(self):
        self.victims = list(self.cluster.nodes)
        with self.cluster.mutex:
            for node in self.victims:
                node.kill()
        return "kill -9 all nodes"

    def heal(self):
        self.start_again()
