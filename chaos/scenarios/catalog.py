"""Which faults belong together, and how long a run takes. Each nemesis alone is a scenario of its
name."""

ALONE = ("kill", "kill_all", "pause", "partition", "bridge", "one_way", "loss", "delay", "full_disk",
         "slow_disk", "clock_jump", "rolling_restart", "wipe")


class Scenario:
    def __init__(self, description, faults, duration_s=90, quiet_s=(2, 6), together=1):
        self.description = description
        self.faults = faults
        self.duration_s = duration_s
        self.quiet_s = quiet_s # between faults
        self.together = together # faults at once, as far as nodes allow


SCENARIOS = {
    **{name: Scenario(f"{name} alone, again and again", (name,)) for name in ALONE},
    "network": Scenario("everything between nodes",
                        ("partition", "bridge", "one_way", "loss", "delay"), 180),
    "disks": Scenario("everything that disks do", ("full_disk", "slow_disk", "kill"), 180),
    "mixed": Scenario("all faults, two at a time where the nodes allow it",
                      ALONE, 300,
                      quiet_s=(1, 5), together=2),
    "short": Scenario("the run of tests/run.sh",
                      ("kill", "partition", "pause", "kill_all", "rolling_restart"), 45,
                      quiet_s=(1, 3)),
}
