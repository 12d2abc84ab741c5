#!/usr/bin/env bash
# From nothing to answers: builds Gnomon, starts a node, lets a real Prometheus write into it, asks.
#
#     deploy/quickstart.sh [start]   start what is not running, show an answer
#     deploy/quickstart.sh status    what runs
#     deploy/quickstart.sh stop      end what this script started; data stays
#
# The node runs on its defaults. Everything is kept in quickstart-data/ (or in the folder that
# GNOMON_QUICKSTART names): the node's gnomon-data, Prometheus' data, logs, process ids. All ports
# are on loopback; GNOMON_PORT moves the node off 9009.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
home=${GNOMON_QUICKSTART:-$root/quickstart-data}
port=${GNOMON_PORT:-9009}
url=http://127.0.0.1:$port

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

# --- Processes: a file holds the id and the start time, since ids are used again -----------------

started_at() {
    # The 22nd field, counted behind the name, which may hold spaces.
    sed -e 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

# process_id NAME: prints the id when the process that we started runs.
process_id() {
    local id start
    { read -r id start <"$home/$1.pid"; } 2>/dev/null || return 1
    [ -n "$id" ] && [ "$(started_at "$id")" = "$start" ] && echo "$id"
}

# launch NAME PROGRAM [ARGUMENT...]: in the background, from $home, output to NAME.log.
launch() {
    local name=$1
    shift
    (cd "$home" && exec setsid "$@" </dev/null >>"$home/$name.log" 2>&1) &
    echo "$! $(started_at $!)" >"$home/$name.pid"
    disown
}

end_process() {
    local name=$1 id
    if ! id=$(process_id "$name"); then
        rm -f "$home/$name.pid"
        return
    fi
    echo "stopping $name (process $id)"
    kill -TERM "$id" 2>/dev/null || true
    for _ in $(seq 350); do
        process_id "$name" >/dev/null || break
        sleep 0.1
    done
    if process_id "$name" >/dev/null; then
        echo "$name does not end by itself, killing it" >&2
        kill -KILL "$id"
    fi
    rm -f "$home/$name.pid"
}

# --- Waiting ---------------------------------------------------------------------------------

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port NAME FIRST: the port of the process that runs, or the first free one from FIRST on.
free_port() {
    local name=$1 candidate=$2
    if process_id "$name" >/dev/null && [ -s "$home/$name.port" ]; then
        cat "$home/$name.port"
        return
    fi
    while listens "$candidate"; do
        candidate=$((candidate + 1))
    done
    echo "$candidate" | tee "$home/$name.port"
}

# wait_for SECONDS NAME COMMAND...: until the command succeeds; NAME must keep running.
wait_for() {
    local seconds=$1 name=$2 deadline
    shift 2
    deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        process_id "$name" >/dev/null || {
            tail -n 20 "$home/$name.log" >&2
            fail "$name ended; its log is $home/$name.log"
        }
        [ "$SECONDS" -lt "$deadline" ] || fail "$name: not there after $seconds s ($*)"
        sleep 0.2
    done
}

# answers EXPRESSION: whether the node's answer holds a sample.
answers() {
    curl -sf "$url/api/v1/query" --data-urlencode "query=$1" | grep -q '"value":'
}

# --- Commands --------------------------------------------------------------------------------

start_node() {
    if process_id gnomon >/dev/null; then
        echo "gnomon runs already"
        return
    fi
    ! listens "$port" || fail "port $port is in use by another program; choose one: GNOMON_PORT=9010 $0"
    if [ "$port" = 9009 ]; then
        launch gnomon "$root/build/release/gnomon" serve
    else
        launch gnomon "$root/build/release/gnomon" serve "--http.listen=127.0.0.1:$port"
    fi
    wait_for 30 gnomon curl -sf "$url/-/ready"
}

start_prometheus() {
    local exporter_port prometheus_port
    exporter_port=$(free_port node_exporter 19100)
    process_id node_exporter >/dev/null ||
        launch node_exporter prometheus-node-exporter "--web.listen-address=127.0.0.1:$exporter_port"
    prometheus_port=$(free_port prometheus 19090)
    cat >"$home/prometheus.yml" <<YAML
global:
  scrape_interval: 5s
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: ["127.0.0.1:$prometheus_port"]
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:$exporter_port"]
remote_write:
  - url: $url/api/v1/write
    queue_config:
      batch_send_deadline: 1s
YAML
    process_id prometheus >/dev/null ||
        launch prometheus prometheus "--config.file=$home/prometheus.yml" \
            "--storage.tsdb.path=$home/prometheus-data" \
            "--web.listen-address=127.0.0.1:$prometheus_port"
    wait_for 60 prometheus curl -sf "http://127.0.0.1:$prometheus_port/-/ready"
}

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

start() {
    say "Installing what a build needs"
    "$root/deploy/install-dependencies.sh"

    say "Building"
    mkdir -p "$home"
    (cd "$root" && cmake --preset release >"$home/build.log" 2>&1 &&
        cmake --build --preset release --target gnomon >>"$home/build.log" 2>&1) || {
        tail -n 30 "$home/build.log" >&2
        fail "the build failed; its log is $home/build.log"
    }
    echo "build/release/gnomon"

    say "Starting a node on its defaults, and a Prometheus that writes into it"
    start_node
    start_prometheus

    say "Waiting for samples"
    local busy='sum by (mode) (rate(node_cpu_seconds_total[1m]))'
    wait_for 90 gnomon answers 'up{job="node"} == 1'
    wait_for 90 gnomon answers "$busy"

    say "Asking Gnomon"
    show curl -s "$url/api/v1/query" --data-urlencode 'query=up'
    echo
    show promtool query instant "$url" "$busy"

    cat <<TEXT

== Running
    queries        $url/api/v1/query?query=up
    remote write   $url/api/v1/write
    own metrics    $url/metrics
    Prometheus     http://127.0.0.1:$(cat "$home/prometheus.port")
    logs, data     $home

    In Grafana: add a data source of type Prometheus with the URL $url.
    To stop: $0 stop
TEXT
}

case ${1:-start} in
start)
    start
    ;;
stop)
    end_process prometheus
    end_process node_exporter
    end_process gnomon
    ;;
status)
    for name in gnomon prometheus node_exporter; do
        if id=$(process_id "$name"); then
            echo "$name runs (process $id)"
        else
            echo "$name does not run"
        fi
    done
    ;;
*)
    fail "unknown command '$1'; known are start, status, stop"
    ;;
esac
