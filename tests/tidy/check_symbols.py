#!/usr/bin/env python3
"""Checks that no two modules define the same function: the linker takes either without a word.

Usage: check_symbols.py BUILD_DIRECTORY
"""
import os
import subprocess
import sys


def archives(build):
    for parent in ("src", "cluster"):
        for directory, _, names in os.walk(os.path.join(build, parent)):
            for name in names:
                if name.startswith("libgnomon_") and name.endswith(".a"):
                    yield os.path.join(directory, name)


def defined(archive):
    """Names of functions and data that other modules can see."""
    listing = subprocess.run(["nm", "--defined-only", "--extern-only", archive],
                             capture_output=True, text=True, check=True).stdout
    for line in listing.split("\n"):
        fields = line.split()
        if len(fields) == 3 and fields[1] in "TDBR":
            yield fields[2]


def main():
    owners, problems = {}, []
    found = sorted(archives(sys.argv[1]))
    for archive in found:
        module = os.path.basename(archive)[len("libgnomon_"):-len(".a")]
        for symbol in defined(archive):
            if symbol.startswith("__"):
                continue  # the compiler's
            other = owners.setdefault(symbol, module)
            if other != module:
                problems.append(f"{symbol}: in {other} and in {module}")
    for problem in sorted(problems):
        print(problem)
    print(f"{len(owners)} names in {len(found)} modules, {len(problems)} twice")
    return 1 if problems or not found else 0


if __name__ == "__main__":
    sys.exit(main())
