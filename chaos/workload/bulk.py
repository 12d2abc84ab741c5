"""As many samples as the nodes take, by programs that keep up with them: tests/integration/writer."""
import os
import signal
import subprocess
import time

SERIES, SAMPLES = 400, 5 # of a request
INTERVAL_MS = 1000
END_S = 120
CHECK_S = 1800
DAY_MS = 86400 * 1000


class Bulk:
    """A program for each node that is named, each with connections of its own, and series of its own
    for each connection: `first_thread` tells those of several from each other."""

    def __init__(self, run, cluster, name, nodes, connections, first_thread=0):
        self.run = run
        self.cluster = cluster
        self.programs = []
        for i, node in enumerate(nodes):
            state = os.path.join(cluster.folder, f"{name}-{i}.state")
            start_ms = (int(time.time() * 1000) - 30 * DAY_MS) // INTERVAL_MS * INTERVAL_MS
            program = subprocess.Popen(
                [cluster.tools["writer"], "send", f"--url={node.url()}", f"--state={state}",
                 f"--start-ms={start_ms}", f"--threads={connections}", f"--series={SERIES}",
                 f"--samples={SAMPLES}", f"--interval-ms={INTERVAL_MS}", "--seconds=86400",
                 f"--first-thread={first_thread + i * connections}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.programs.append((program, state))

    def stop(self):
        for program, _ in self.programs:
            program.send_signal(signal.SIGTERM)
        for program, _ in self.programs:
            try:
                _, errors = program.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                program.kill()
                _, errors = program.communicate()
                errors += b"it did not end"
            if program.returncode != 0:
                self.run.findings.add("bulk", errors.decode(errors="replace").strip()[-300:])

    def check(self, node):
        """Compares all that was acknowledged with what the node answers; the number of samples."""
        compared = 0
        for _, state in self.programs:
            outcome = subprocess.run(
                [self.cluster.tools["writer"], "check", f"--url={node.url()}", f"--state={state}"],
                capture_output=True, text=True, timeout=CHECK_S, check=False)
            words = outcome.stdout.split()
            if outcome.returncode != 0 or not words:
                self.run.findings.add("bulk", f"{node.name}: {outcome.stdout} {outcome.stderr}")
            else:
                compared += int(words[0])
        return compared
