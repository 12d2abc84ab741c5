"""SIGTERM and a start, one node after the other, each when the last is ready: an upgrade."""
import time

from nemesis.fault import Fault

END_S = 30 # promised
READY_S = 60


class Nemesis(Fault):
    hold_s = (0, 0)
    alone = True

    def inject(self):
        for node in self.cluster.nodes:
            with self.cluster.mutex:
                status, seconds = node.terminate()
                node.start()
            if status != 0 or seconds > END_S:
                self.findings.add("bad end", f"{node.name} ended with {status} after "
                                  f"{seconds:.1f} s of SIGTERM")
            end = time.monotonic() + READY_S
            while not node.is_ready():
                if time.monotonic() > end:
                    self.findings.add("not ready", f"{node.name} is not ready {READY_S} s after "
                                      "an orderly restart")
                    break
                time.sleep(0.1)
        return "all nodes restarted, one after the other"
