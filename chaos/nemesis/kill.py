"""kill -9, and a start some time later."""
from nemesis.fault import Fault


class Nemesis(Fault):
    hold_s = (0, 8)

    def inject(self):
        with self.cluster.mutex:
            for node in self.victims:
                node.kill()
        return f"kill -9 {self.victim_names()}"

    def heal(self):
        self.start_again()
