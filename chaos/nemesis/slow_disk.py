"""Each write and sync of a node waits."""
from nemesis.fault import Fault


class Nemesis(Fault):
    needs_slow_disks = True
    hold_s = (5, 15)

    def inject(self):
        delay_ms = self.random.choice((20, 200, 3000))
        for node in self.victims:
            node.disk_delay.set(delay_ms)
        return f"{self.victim_names()}: {delay_ms} ms before each write"

    def heal(self):
        for node in self.victims:
            node.disk_delay.set(0)
