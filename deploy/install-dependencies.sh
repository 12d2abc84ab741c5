#!/bin/sh
# Installs what a build and the tests need, from Debian 12's packages.
#
#     deploy/install-dependencies.sh [--build-only | --benchmarks]
#
# --build-only leaves out what the tests need; --benchmarks adds the peers that tests/benchmark measures
# against. Does nothing when all is there.
# Services that come with packages are neither started nor enabled.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

build_packages='build-essential ccache cmake ninja-build pkg-config python3
    libcmocka-dev libcrypt-dev libcurl4-openssl-dev libexpat1-dev libjansson-dev libjemalloc-dev libre2-dev
    libsnappy-dev libssl-dev liburing-dev libuv1-dev libxxhash-dev libyaml-dev libzstd-dev
    zlib1g-dev'
test_packages='clang clang-format libclang-rt-14-dev llvm shellcheck
    ca-certificates curl e2fsprogs iproute2 openssl procps python3-yaml util-linux zstd prometheus prometheus-node-exporter
    ceph-common ceph-mon ceph-osd radosgw
    memcached swift-account swift-container swift-object swift-proxy'
benchmark_packages='victoria-metrics'

fail() {
    echo "install-dependencies: $*" >&2
    exit 1
}

wanted="$build_packages $test_packages"
for argument in "$@"; do
    case $argument in
    --build-only) wanted=$build_packages ;;
    --benchmarks) wanted="$wanted $benchmark_packages" ;;
    *) fail "unknown argument '$argument'; known are --build-only, --benchmarks" ;;
    esac
done

command -v apt-get >/dev/null || fail "this needs apt-get: a Debian 12 or a system made from it"

if [ "$(id -u)" -eq 0 ]; then
    as_root=''
elif command -v sudo >/dev/null; then
    as_root='sudo'
else
    as_root='none'
fi

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]
}

missing=''
for package in $wanted; do
    is_installed "$package" || missing="$missing $package"
done

# A package's service is not started while this file says "no" (invoke-rc.d asks it).
policy=/usr/sbin/policy-rc.d
made_policy=''
remove_policy() {
    [ -z "$made_policy" ] || $as_root rm -f "$policy"
}
trap remove_policy EXIT
trap 'exit 130' INT TERM

forbid_services() {
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    made_policy=yes
    $as_root chmod 755 "$policy"
}

# Only what this run installed: a Prometheus that was there before keeps running.
disable_services() {
    command -v systemctl >/dev/null || return 0
    for service in prometheus prometheus-node-exporter victoria-metrics memcached swift-account \
        swift-container swift-object swift-proxy; do
        case " $missing " in
        *" $service "*) $as_root systemctl disable "$service" >/dev/null 2>&1 || true ;;
        esac
    done
    # Ceph's packages name their units otherwise.
    case " $missing " in
    *' radosgw '*) $as_root systemctl disable ceph.target >/dev/null 2>&1 || true ;;
    esac
}

if [ -n "$missing" ]; then
    [ "$as_root" != none ] ||
        fail "packages are missing, and this user is not root and has no sudo:$missing"
    echo "install-dependencies: installing$missing"
    forbid_services
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install --yes --no-install-recommends $missing
    disable_services
fi

llhttp=${GNOMON_LLHTTP:-/usr/local/share/gnomon-llhttp}
if [ ! -s "$llhttp/llhttp.c" ]; then
    if [ -w "$(dirname "$llhttp")" ]; then
        "$here/install-llhttp.sh"
    else
        [ "$as_root" != none ] ||
            fail "llhttp is missing; set GNOMON_LLHTTP to a folder that this user may write"
        $as_root env GNOMON_LLHTTP="$llhttp" "$here/install-llhttp.sh"
    fi
fi
