"""What a run says at its end."""
from report import text
from workload import requests


REASONS_SHOWN = 6


def outcomes(kind, asked):
    return (f"{kind}: {len(asked.all)} sent, {asked.count(requests.ACCEPTED)} accepted, "
            f"{asked.count(requests.UNAVAILABLE)} refused, "
            f"{asked.count(requests.UNREACHABLE)} without an answer; "
            f"latency {text.distribution(asked.latencies_ms(), 'ms', 1)}")


def print_report(run, cluster, faults, compared):
    sent, acknowledged, samples = run.history.counts()
    print("\n== report")
    kinds = {}
    for fault in faults:
        kinds.setdefault(fault.name, []).append(fault)
    counted = ", ".join(f"{len(some)} {name}" for name, some in sorted(kinds.items()))
    print(f"faults: {len(faults)}{' (' + counted + ')' if faults else ''}")
    print(f"batches: {sent} sent, {acknowledged} acknowledged, "
          f"{sent - acknowledged} may be there or not; {samples} samples acknowledged")
    print(outcomes("writes", run.writes))
    print(outcomes("queries", run.queries))
    for kind, asked in (("writes", run.writes), ("queries", run.queries)):
        for reason, count in asked.reasons.most_common(REASONS_SHOWN):
            print(f"  {count} {kind}: {reason.strip()}")
    for name, some in sorted(kinds.items()):
        worst = max(some, key=lambda fault: fault.gap_s)
        gaps = text.distribution([fault.gap_s for fault in some], "s", 2)
        print(f"longest time without an accepted write, {name}: {gaps}; "
              f"worst at {run.at(worst.gap_began):.1f} s ({worst.words})")
    carried, lost, dropped = cluster.network.counts()
    print(f"packets: {carried} carried, {lost} lost on purpose, {dropped} dropped")
    print(f"starts of nodes: {sum(node.starts for node in cluster.nodes)}; "
          f"samples compared at the end: {compared}")
    if not run.findings:
        print(f"nothing was lost, altered, doubled or invented (seed {run.seed})")
        return
    print(f"FAILED (seed {run.seed}):")
    for line in run.findings.lines():
        print("  " + line)
