"""Addresses of nodes and of the clients, and what happens between them (network/switch.c)."""
import subprocess

import isolation

CLIENTS = "clients"
PREFIX = "10.77.0."
CERTAIN_PPM = 1000000


def run(*arguments):
    subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL)


class Network:
    """Each name has a namespace of that name and an address; `clients` is where the harness is."""

    def __init__(self, switch, names, seed):
        self.names = [CLIENTS, *names]
        self.addresses = {name: PREFIX + str(10 + i) for i, name in enumerate(self.names)}
        for name in names:
            run("ip", "netns", "add", name)
        try:
            self.switch = subprocess.Popen(
                [switch, str(seed)] + [
                    f"{self.addresses[name]}=" + ("-" if name == CLIENTS else f"/run/netns/{name}")
                    for name in self.names],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        except OSError as error:
            isolation.skip(f"{switch}: {error}")
        if self.switch.stdout.readline() != "ready\n":
            isolation.skip("network devices can't be made here")
        for name in self.names:
            where = [] if name == CLIENTS else ["-netns", name]
            run("ip", *where, "address", "add", self.addresses[name] + "/24", "dev", "chaos0")
            run("ip", *where, "link", "set", "chaos0", "up", "txqueuelen", "4000")
            run("ip", *where, "link", "set", "lo", "up")

    def command(self, line):
        self.switch.stdin.write(line + "\n")
        self.switch.stdin.flush()
        answer = self.switch.stdout.readline().strip()
        if not answer.endswith("ok"):
            raise RuntimeError(f"the switch answers '{answer}' to '{line}'")
        return answer[:-2].split()

    def path(self, origin, target, delay_ms=0, jitter_ms=0, loss=0.0):
        """One direction; `loss` is the share of packets."""
        self.command(f"path {self.names.index(origin)} {self.names.index(target)} "
                     f"{int(delay_ms * 1000)} {int(jitter_ms * 1000)} {int(loss * CERTAIN_PPM)}")

    def cut(self, origins, targets):
        """Nothing goes from `origins` to `targets` any more."""
        for origin in origins:
            for target in targets:
                if origin != target:
                    self.path(origin, target, loss=1.0)

    def heal(self):
        self.command("clear")

    def counts(self):
        """Packets carried, lost on purpose, dropped."""
        return [int(number) for number in self.command("counts")]

    def inside(self, name):
        """What begins a command that runs where `name` is."""
        return ["nsenter", f"--net=/run/netns/{name}", "--"]
