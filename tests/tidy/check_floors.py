#!/usr/bin/env python3
"""Checks the floors of docs/ARCHITECTURE.md and the sizes of files and functions.

A file includes only headers of its own module and of modules on lower floors.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE_LINES_MAX = 900
FUNCTION_LINES_MAX = 110


def read_floors():
    floors, folders = {}, {}
    for parent in ("src", "cluster"):
        for name in sorted(os.listdir(os.path.join(ROOT, parent))):
            path = os.path.join(ROOT, parent, name, "CMakeLists.txt")
            if not os.path.exists(path):
                continue
            text = open(path).read()
            match = re.search(r"gnomon_module\((\w+) FLOOR (\d)", text)
            if match:
                floors[match.group(1)] = int(match.group(2))
                folders[match.group(1)] = os.path.join(parent, name)
    return floors, folders


def sources_of(module, folder):
    for base in (os.path.join(ROOT, folder), os.path.join(ROOT, "include", module)):
        for directory, _, names in os.walk(base):
            for name in names:
                if name.endswith((".c", ".h", ".cc")):
                    yield os.path.join(directory, name)


def check_file(path, module, floors, problems):
    lines = open(path, encoding="utf-8").read().split("\n")
    relative = os.path.relpath(path, ROOT)
    if len(lines) > FILE_LINES_MAX:
        problems.append(f"{relative}: {len(lines)} lines, at most {FILE_LINES_MAX}")
    start = None
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "(\w+)/', line)
        if match and match.group(1) in floors:
            other = match.group(1)
            if other != module and floors[other] >= floors[module]:
                problems.append(f"{relative}:{number}: {module} (floor {floors[module]}) "
                                f"includes {other} (floor {floors[other]})")
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start > FUNCTION_LINES_MAX:
                problems.append(f"{relative}:{start}: a function of {number - start} lines, "
                                f"at most {FUNCTION_LINES_MAX}")
            start = None


def check_libraries(path, module, problems):
    """libuv and liburing only in platform, the HTTP parser only in http."""
    owners = {"uv.h": "platform", "liburing.h": "platform",
              "llhttp.h": "http", "llhttp/llhttp.h": "http"}
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        match = re.match(r"#include <([^>]+)>", line)
        if match and owners.get(match.group(1), module) != module:
            problems.append(f"{os.path.relpath(path, ROOT)}:{number}: <{match.group(1)}> belongs "
                            f"to {owners[match.group(1)]}")


def main():
    floors, folders = read_floors()
    problems = []
    for module, folder in folders.items():
        for path in sources_of(module, folder):
            check_file(path, module, floors, problems)
            check_libraries(path, module, problems)
        if not os.path.exists(os.path.join(ROOT, folder, "README.md")) and any(
                True for _ in sources_of(module, folder)):
            problems.append(f"{folder}: no README.md")
    for problem in problems:
        print(problem)
    print(f"floors: {len(folders)} modules, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
