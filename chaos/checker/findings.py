"""What was found to be wrong; any finding fails the run."""
import threading

SHOWN = 12 # of each kind


class Findings:
    def __init__(self, log):
        self.log = log # takes every line
        self.mutex = threading.Lock()
        self.kinds = {}

    def add(self, kind, text):
        with self.mutex:
            self.log.write(f"{kind}: {text}\n")
            self.log.flush()
            self.kinds.setdefault(kind, []).append(text)

    def lines(self):
        for kind, texts in sorted(self.kinds.items()):
            for text in texts[:SHOWN]:
                yield f"{kind}: {text}"
            if len(texts) > SHOWN:
                yield f"{kind}: and {len(texts) - SHOWN} more"

    def __bool__(self):
        return bool(self.kinds)
