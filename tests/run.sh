#!/usr/bin/env bash
# Runs every test: installs what is needed, builds with sanitizers, ends with a line of counts.
#
#     tests/run.sh [STAGE...]        all stages, or: asan-ubsan tsan fuzz release
#
# A stage is a preset: what of it is built and which tests it runs stands in `run_stage` below
# (docs/TESTING.md says why). A test is a test of ctest, a fuzz target, or a build that failed.
# Logs stay in build/test-logs. GNOMON_FUZZ_SECONDS (default 10) is the time of each fuzz target.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
logs=$PWD/build/test-logs
jobs=$(nproc)
passed=0 failed=0 skipped=0

export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS="second_deadlock_stack=1 suppressions=$PWD/tests/tsan.suppressions"

say() {
    printf '\n== %s (%d min %02d s)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60))
}

# Run a step of a stage quietly; what it printed is shown when it fails, and counts as a failure.
step() {
    local name=$1 log=$logs/$1.log
    shift
    "$@" >"$log" 2>&1 && return 0
    echo "FAILED: $name; the end of $log:"
    tail -n 40 "$log"
    failed=$((failed + 1))
    return 1
}

# run_tests STAGE [LABELS]: the tests of a built preset, all or those whose label matches.
run_tests() {
    local stage=$1 counts
    local results=$logs/$stage.xml
    rm -f "$results"
    # Its exit code says no more than the results do.
    ctest --test-dir "build/$stage" --parallel "$jobs" --no-tests=error --output-junit "$results" \
        ${2:+--label-regex "$2"} | grep --line-buffered -E '^ *[0-9]+/[0-9]+ Test|^No tests'
    cp "build/$stage/Testing/Temporary/LastTest.log" "$logs/$stage.tests.log" 2>/dev/null
    if ! counts=$(python3 tests/report.py "$results"); then
        failed=$((failed + 1))
        return
    fi
    read -r stage_passed stage_failed stage_skipped <<<"$counts"
    passed=$((passed + stage_passed))
    failed=$((failed + stage_failed))
    skipped=$((skipped + stage_skipped))
}

# build STAGE [TARGET]
build() {
    say "$1: build"
    step "$1.configure" cmake --preset "$1" &&
        step "$1.build" cmake --build --preset "$1" ${2:+--target "$2"} -- -k 0
}

run_stage() {
    case $1 in
    asan-ubsan)
        build asan-ubsan && say "asan-ubsan: tests" && run_tests asan-ubsan
        ;;
    tsan) # where threads meet
        build tsan thread_tests && say "tsan: tests" && run_tests tsan '^threads$'
        ;;
    fuzz)
        build fuzz fuzz_targets && say "fuzz: targets" && run_tests fuzz '^fuzz$'
        ;;
    release) # what runs long or against the clock, as it is shipped
        build release && say "release: tests" && run_tests release '^(simulation|integration|chaos)$'
        ;;
    *)
        echo "tests/run.sh: unknown stage '$1'; known are asan-ubsan tsan fuzz release" >&2
        exit 2
        ;;
    esac
}

mkdir -p "$logs"
say "what a build and the tests need"
step install deploy/install-dependencies.sh || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }

[ $# -gt 0 ] || set -- asan-ubsan tsan fuzz release
for stage in "$@"; do
    run_stage "$stage"
done

say "done"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
