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
# Batches print at their end, so that their lines do not mix.
# shellcheck disable=SC2016 # the inner shell's arguments
bad=$(list | xargs -0 -n 24 -P "$(nproc)" sh -c '
    found=$(clang-format --dry-run "$@" 2>&1 |
        sed -n "s/^\([^:]*\):[0-9]*:[0-9]*: .*/\1/p" | sort -u)
    [ -z "$found" ] || echo "$found"' check | sort)
[ -z "$bad" ] || {
    echo "clang-format would change:"
    echo "$bad"
    echo "mend with tests/tidy/check_format.sh --fix"
    exit 1
}
