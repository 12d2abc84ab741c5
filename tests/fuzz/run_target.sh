#!/bin/sh
# Runs one fuzz target over its corpus for GNOMON_FUZZ_SECONDS (default 7).
#
#     tests/fuzz/run_target.sh PROGRAM CORPUS
#
# New inputs go to a folder beside the program, begun afresh, and never into the checkout; an input
# that fails is kept there as well.
set -eu

program=$1
corpus=$2
found=$program.found
rm -rf "$found"
mkdir -p "$found"
if [ -z "$(ls -A "$corpus" 2>/dev/null)" ]; then
    echo "$corpus: a target begins with a corpus" >&2
    exit 1
fi
exec "$program" -seed=1 -max_total_time="${GNOMON_FUZZ_SECONDS:-7}" -timeout=20 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$found/failed-" "$found" "$corpus"
