"""The wall clock of a node jumps, ahead by days or back by less than the future window: beyond it the
node would rightly refuse what others find present."""
import time

from nemesis.fault import Fault

JUMPS_S = (-540, -60, -1, 1, 60, 540, 3 * 3600, 40 * 86400)


class Nemesis(Fault):
    needs_moved_clocks = True
    hold_s = (3, 15)

    def inject(self):
        jump_s = self.random.choice(JUMPS_S)
        for node in self.victims:
            node.clock.set(int(time.time() * 1000) + jump_s * 1000)
        return f"{self.victim_names()}: clock {jump_s:+d} s"

    def heal(self):
        for node in self.victims:
            node.clock.set(int(time.time() * 1000))
