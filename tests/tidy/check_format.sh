#!/bin/sh
# Checks that C and C++ files are laid out as .clang-format says; `--fix` lays them out.
set -eu

cd "$(dirname "$0")/../.."
list() {
    find include src cluster tests chaos -type f \
        \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) -print0 2>/dev/null || true
}

if [ "${1:-}" = --fix ]; then
    list | xargs -0 clang-format -i
    exit 0
fi
bad=$(list | xargs -0 -n 8 -P "$(nproc)" clang-format --dry-run 2>&1 |
    sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: .*/\1/p' | sort | uniq -c)
[ -z "$bad" ] || {
    echo "places where clang-format would change a file:"
    echo "$bad"
    echo "mend with tests/tidy/check_format.sh --fix"
    exit 1
}
