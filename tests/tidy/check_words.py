#!/usr/bin/env python3
"""Checks the words of names and comments: no unfinished work, no abbreviations where a name is
declared, no paths of one machine.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = (".ci", "chaos", "cluster", "cmake", "deploy", "docs", "helm", "include", "src", "tests")
SOURCES = (".c", ".h", ".cc")
TEXTS = SOURCES + (".py", ".sh", ".md", ".cmake", ".txt", ".yaml", ".yml", ".json")

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(home|root|work|Users)/")
# A name that is declared: after a type or a `*`, before what ends a declarator.
ABBREVIATIONS = "cfg|idx|ctx|tmp|buf|len|ptr|cnt|num|str|msg|req|resp|res|ret|cb|fn|arr|elem|pos"
DECLARED = re.compile(r"\b(?:int|char|void|bool|double|float|size_t|ssize_t|u?int\d+_t|\w+ \*+|\*)"
                      r"\s*\*?\b(" + ABBREVIATIONS + r")\b\s*[;=,)\[]")


def files():
    for folder in FOLDERS:
        for directory, names, file_names in os.walk(os.path.join(ROOT, folder)):
            names[:] = [name for name in names if name not in ("corpus", "cases", "__pycache__")]
            for name in file_names:
                if name.endswith(TEXTS) or name == "run":
                    yield os.path.join(directory, name)
    for name in ("README.md", "CMakeLists.txt", "CMakePresets.json"):
        if os.path.exists(os.path.join(ROOT, name)):
            yield os.path.join(ROOT, name)


def main():
    problems = []
    for path in files():
        if os.path.samefile(path, __file__):
            continue # holds the words themselves
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                where = f"{os.path.relpath(path, ROOT)}:{number}"
                if UNFINISHED.search(line):
                    problems.append(f"{where}: unfinished: {line.strip()}")
                if MACHINE_PATHS.search(line):
                    problems.append(f"{where}: a path of one machine: {line.strip()}")
                match = DECLARED.search(line) if path.endswith(SOURCES) else None
                if match:
                    problems.append(f"{where}: '{match.group(1)}' is an abbreviation")
    for problem in problems:
        print(problem)
    print(f"words: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
