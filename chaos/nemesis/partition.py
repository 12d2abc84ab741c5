"""Nothing goes between two sides. Packets vanish, nobody is told."""
from network import CLIENTS
from nemesis.fault import Fault


class Nemesis(Fault):
    needs_peers = True
    hold_s = (3, 20)

    def inject(self):
        network = self.cluster.network
        inside = [node.name for node in self.victims]
        outside = [node.name for node in self.others]
        words = f"{', '.join(inside)} apart from {', '.join(outside)}"
        if self.random.random() < 0.5:
            outside.append(CLIENTS)
            words += " and the clients"
        network.cut(inside, outside)
        network.cut(outside, inside)
        return words

    def heal(self):
        self.cluster.network.heal()
