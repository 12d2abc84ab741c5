"""Reads everything back from every node, after the faults are over."""
import time

import cluster as nodes
from checker import answers

PIECE_MS = 60 * 1000
TIMEOUT_S = 60
DEADLINE_S = 120 # for one node to answer one question


def ask(node, question):
    """The answer, once the node gives one; None when it never does."""
    end = time.monotonic() + DEADLINE_S
    last = ""
    while time.monotonic() < end:
        try:
            answer = node.ask(question.path(), timeout_s=TIMEOUT_S)
            if answer.status == 200 and not answers.is_announced_partial(answer.json()):
                return answer.json(), last
            last = f"{answer.status} {answer.body[:200]!r}"
        except nodes.Unreachable as error:
            last = str(error)
        time.sleep(0.2)
    return None, last


def pieces(writer):
    span = writer.span_ms()
    if span is None:
        return
    at = span[0] - 1
    while at < span[1]:
        yield at + PIECE_MS
        at += PIECE_MS


def check_node(node, history, findings, when):
    """Returns how many samples were compared."""
    compared = 0
    for writer in history.writers.values():
        for time_ms in pieces(writer):
            sent = writer.between(time_ms - PIECE_MS, time_ms)
            expected = [batch for batch in sent if batch.acknowledged_at is not None]
            for form in (answers.Samples, answers.Counts):
                question = form(writer, time_ms, PIECE_MS)
                envelope, last = ask(node, question)
                if envelope is None:
                    findings.add("unreadable", f"{when}, {node.name} never answers "
                                 f"{question.text} at {time_ms}: {last}")
                    continue
                for fault, text in question.check(envelope, expected, sent):
                    findings.add(fault, f"{when}, {node.name}, {question.text} at {time_ms}: {text}")
            compared += len(expected) * writer.series_count
    return compared
