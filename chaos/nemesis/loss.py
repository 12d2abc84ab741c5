"""A share of the packets is lost everywhere between nodes."""
from nemesis.fault import Fault


class Nemesis(Fault):
    needs_peers = True
    hold_s = (5, 15)
    alone = True

    def inject(self):
        share = self.random.choice((0.01, 0.05, 0.2))
        for origin in self.cluster.names:
            for target in self.cluster.names:
                if origin != target:
                    self.cluster.network.path(origin, target, loss=share)
        return f"{share:.0%} of the packets between nodes lost"

    def heal(self):
        self.cluster.network.heal()
