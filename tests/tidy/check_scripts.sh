#!/bin/sh
# Checks the shell scripts with shellcheck, and that what is meant to be run can be.
set -eu

cd "$(dirname "$0")/../.."
scripts=$(grep -rlE --include='*.sh' --include=run '^#!/.*(bash|/sh)' .ci deploy tests chaos \
    2>/dev/null || true)
status=0
for script in $scripts; do
    [ -x "$script" ] || {
        echo "$script: no run bit"
        status=1
    }
done
# shellcheck disable=SC2086 # a list of words
shellcheck $scripts || status=1
exit $status
