"""Packets of a node, to it and from it, take long, and differ in it."""
from nemesis.fault import Fault


class Nemesis(Fault):
    needs_peers = True
    hold_s = (5, 15)

    def inject(self):
        delay_ms = self.random.choice((20, 100, 400))
        for node in self.victims:
            for other in self.cluster.nodes:
                if other is not node:
                    self.cluster.network.path(node.name, other.name, delay_ms, delay_ms)
                    self.cluster.network.path(other.name, node.name, delay_ms, delay_ms)
        return f"{self.victim_names()}: {delay_ms} to {2 * delay_ms} ms to and from others"

    def heal(self):
        self.cluster.network.heal()
