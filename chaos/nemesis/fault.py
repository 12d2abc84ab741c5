"""What every nemesis is: it injects one fault, holds it, and heals it."""


class Fault:
    """`victims` are nodes that the fault may hurt. A run has few enough of them that a majority of
    every shard is well."""

    needs_peers = False   # makes no sense with one node
    needs_small_disks = False
    needs_slow_disks = False
    needs_moved_clocks = False
    victim_count = 1
    hold_s = (3, 10)      # the fault lasts so long, by chance
    weight = 1.0          # how often among others
    # Other faults at the same time would ask for more than is promised.
    alone = False

    def __init__(self, cluster, random, findings, victims):
        self.cluster = cluster
        self.random = random
        self.findings = findings
        self.victims = victims
        self.others = [node for node in cluster.nodes if node not in victims]

    def inject(self):
        """Returns what was done, for the log."""
        raise NotImplementedError

    def heal(self):
        """Takes the fault back; the nodes need not be ready then."""

    def victim_names(self):
        return ", ".join(node.name for node in self.victims)

    def start_again(self):
        with self.cluster.mutex:
            for node in self.victims:
                if node.process is None:
                    node.start()
