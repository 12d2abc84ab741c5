#!/usr/bin/env python3
"""Reads what ctest wrote with --output-junit: the end of each failed test's output goes to stderr,
one line `passed failed skipped` to stdout.

    tests/report.py RESULTS.xml
"""
import re
import sys
import xml.etree.ElementTree as xml

LINES_SHOWN = 60
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")


def show(case):
    output = case.findtext("system-out") or ""
    lines = output.rstrip().split("\n")
    print(f"--- {case.get('name')} failed; the last of its {len(lines)} lines:", file=sys.stderr)
    for line in lines[-LINES_SHOWN:]:
        print("    " + line, file=sys.stderr)


def main():
    try:
        with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
            suite = xml.fromstring(NOT_XML.sub("?", file.read()))
    except (OSError, xml.ParseError) as error:
        print(f"report: no results of ctest: {error}", file=sys.stderr)
        return 1
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for case in suite.iter("testcase"):
        # A test that could not be run at all is "notrun" like one that asked to be skipped.
        if case.get("status") == "run":
            counts["passed"] += 1
        elif case.find("skipped") is not None and case.get("status") in ("notrun", "disabled") and \
                "SKIP" in (case.find("skipped").get("message") or ""):
            counts["skipped"] += 1
        else:
            counts["failed"] += 1
            show(case)
    if not any(counts.values()):
        print("report: no test was run", file=sys.stderr)
        return 1
    print(counts["passed"], counts["failed"], counts["skipped"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
