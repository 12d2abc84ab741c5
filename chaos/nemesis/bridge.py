"""Two halves that see each other only through one node: everybody sees a majority, not the same."""
from nemesis.fault import Fault


class Nemesis(Fault):
    needs_peers = True
    hold_s = (5, 20)
    alone = True

    def inject(self):
        names = [node.name for node in self.cluster.nodes]
        self.random.shuffle(names)
        middle, half = names[0], len(names) // 2
        left, right = names[1:half + 1], names[half + 1:]
        self.cluster.network.cut(left, right)
        self.cluster.network.cut(right, left)
        return f"{', '.join(left)} | {middle} | {', '.join(right)}"

    def heal(self):
        self.cluster.network.heal()
