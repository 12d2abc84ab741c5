#!/bin/sh
# Breaks a running cluster in many ways, and proves that nothing acknowledged is lost or altered.
#
#     chaos/run.sh list
#     chaos/run.sh SCENARIO [--nodes N] [--seed N] [--duration S] [--build FOLDER] [--keep]
#     chaos/run.sh leader-kills [--count N] ...
#
# chaos/README.md says what it does. Needs root, for namespaces; where they are not allowed it says so
# and ends with 77. Builds what it needs of the release preset unless --build names a build.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
case " $* " in
*" --build "* | *" list "*) ;;
*)
    "$here/../deploy/install-dependencies.sh"
    cmake -S "$here/.." --preset release >/dev/null
    cmake --build "$here/../build/release" --target gnomon chaos_switch slow_disk moved_clock \
        integration_writer >/dev/null
    ;;
esac
exec python3 -B "$here/harness/main.py" "$@"
