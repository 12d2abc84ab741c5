"""Others take the room of a node's disk, nearly or wholly, and give it back."""
from nemesis.fault import Fault

LEFT_BYTES = (0, 1 << 20, 16 << 20)


class Nemesis(Fault):
    needs_small_disks = True
    hold_s = (5, 15)

    def inject(self):
        left = self.random.choice(LEFT_BYTES)
        taken = [node.disk.fill(left) for node in self.victims]
        return f"{self.victim_names()}: {left >> 20} MiB left of the disk " \
               f"({sum(taken) >> 20} MiB taken)"

    def heal(self):
        for node in self.victims:
            node.disk.empty()
