"""Lets faults happen, one after the other or a few at a time, as chance says."""
import importlib
import random
import time

TAIL_S = 4 # after the end of a fault still counted to it, when looking for a gap in writes


class Happened:
    """A fault of the past."""

    def __init__(self, name, words, began):
        self.name = name
        self.words = words
        self.began = began
        self.healed = None
        self.gap_s = 0.0
        self.gap_began = began


def load(scenario, node_count):
    """The nemeses of a scenario that so many nodes can have, by name."""
    kinds = {name: importlib.import_module(f"nemesis.{name}").Nemesis for name in scenario.faults}
    return {name: kind for name, kind in kinds.items() if node_count > 1 or not kind.needs_peers}


class Director:
    def __init__(self, run, cluster, scenario, kinds):
        self.run = run
        self.cluster = cluster
        self.scenario = scenario
        self.kinds = kinds
        self.random = random.Random(f"{run.seed} faults")
        self.happened = []
        self.active = [] # (end, fault, Happened)

    def hurt(self):
        return {node for _, fault, _ in self.active for node in fault.victims}

    def choose(self):
        """A fault that may happen now, or None."""
        possible = list(self.kinds)
        if any(fault.alone for _, fault, _ in self.active):
            return None
        if self.active:
            possible = [name for name in possible if not self.kinds[name].alone]
        hurt = self.hurt()
        most = max(1, (len(self.cluster.nodes) - 1) // 2)
        # Links are healed all at once.
        if any(fault.needs_peers for _, fault, _ in self.active):
            possible = [name for name in possible if not self.kinds[name].needs_peers]
        if not possible:
            return None
        weights = [self.kinds[name].weight for name in possible]
        name = self.random.choices(possible, weights)[0]
        kind = self.kinds[name]
        if self.active and len(hurt) + kind.victim_count > most:
            return None
        well = [node for node in self.cluster.nodes if node not in hurt]
        victims = self.random.sample(well, min(kind.victim_count, len(well)))
        return name, kind(self.cluster, self.random, self.run.findings, victims)

    def begin(self, name, fault):
        began = time.monotonic()
        words = fault.inject()
        print(f"{self.run.at(began):7.2f} s  {name}: {words}", flush=True)
        happened = Happened(name, words, began)
        self.happened.append(happened)
        hold_s = self.random.uniform(*fault.hold_s)
        self.active.append((time.monotonic() + hold_s, fault, happened))

    def end_due(self, now):
        for one in [one for one in self.active if one[0] <= now]:
            self.active.remove(one)
            _, fault, happened = one
            fault.heal()
            happened.healed = time.monotonic()
            print(f"{self.run.at(happened.healed):7.2f} s  {happened.name}: healed", flush=True)

    def direct(self, duration_s):
        end = time.monotonic() + duration_s
        next_fault = time.monotonic() + self.random.uniform(*self.scenario.quiet_s)
        while time.monotonic() < end:
            now = time.monotonic()
            self.cluster.watch()
            self.end_due(now)
            if now >= next_fault and len(self.active) < self.scenario.together:
                chosen = self.choose()
                if chosen is not None and (self.active or self.everybody_is_ready()):
                    self.begin(*chosen)
                next_fault = time.monotonic() + self.random.uniform(*self.scenario.quiet_s)
            time.sleep(0.02)
        self.end_due(float("inf"))

    def everybody_is_ready(self):
        """A node that is not back yet is still hurt."""
        late = self.cluster.wait_ready()
        if late:
            self.run.findings.add("not ready", f"{', '.join(late)} long after the last fault")
        return not late

    def find_gaps(self):
        """How long no write was accepted around each fault."""
        for one in self.happened:
            one.gap_s, one.gap_began = self.run.writes.longest_gap(
                one.began, (one.healed or one.began) + TAIL_S)
