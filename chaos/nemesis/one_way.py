"""Nothing from a node to others, or nothing from others to it: it speaks or listens only."""
from nemesis.fault import Fault


class Nemesis(Fault):
    needs_peers = True
    hold_s = (3, 20)

    def inject(self):
        inside = [node.name for node in self.victims]
        outside = [node.name for node in self.others]
        if self.random.random() < 0.5:
            self.cluster.network.cut(inside, outside)
            return f"nothing from {', '.join(inside)} to {', '.join(outside)}"
        self.cluster.network.cut(outside, inside)
        return f"nothing from {', '.join(outside)} to {', '.join(inside)}"

    def heal(self):
        self.cluster.network.heal()
