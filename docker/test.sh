#!/usr/bin/env bash
# Runs docker/compose.yaml for real (`make docker-test`) and leaves nothing running: an own Docker Engine, images from a base
# made here, the demo's DAGs through Celery, crashes in between. Needs root on a Debian. GATE_DOCKER_DIR keeps the images.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
    [[ "$(id -u)" == 0 ]] || { echo "docker-test starts a Docker Engine of its own and must be root" >&2; exit 2; }

    missing=()
    [[ -x /usr/sbin/dockerd ]] || missing+=(docker.io)
    command -v docker-compose >/dev/null || missing+=(docker-compose)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    if ((${#missing[@]})); then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi

    work=$(mktemp -d "${TMPDIR:-/tmp}/gate-docker.XXXXXX")
    images=${GATE_DOCKER_DIR:-$work}
    engine=
    began=$SECONDS
    export DOCKER_HOST="unix://$work/docker.sock"
    export BASE_IMAGE=consent-gate-base:local BUILD_NETWORK=host

    tell() { printf '[%4d s] %s\n' $((SECONDS - began)) "$*"; }

    # No default bridge; firewall rules only where nobody else has any.
    start_engine() {  # whether it makes firewall rules, and what it is started with
        local rules=$1
        shift
        "$@" dockerd --data-root "$images/data" --exec-root "$work/exec" --host "$DOCKER_HOST" --pidfile "$work/docker.pid" \
            --bridge none --iptables="$rules" --log-level error >>"$work/docker.log" 2>&1 &
        engine=$!
        for _ in $(seq 60); do
            ! docker version >/dev/null 2>&1 || return 0
            kill -0 "$engine" 2>/dev/null || break
            sleep 1
        done
        cat "$work/docker.log" >&2
        exit 1
    }

    stop_engine() {
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
        engine=
    }

    clean() {
        local code=$?
        trap - EXIT INT TERM
        if [[ -n "$engine" ]]; then
            if ((code)) && [[ -n "${GATE_TEST_COMPOSE:-}" ]]; then
                mkdir -p artifacts
                $GATE_TEST_COMPOSE --profile spark logs --no-color >artifacts/docker-test.log 2>&1 || true
                tell "what the containers said is in artifacts/docker-test.log"
            fi
            [[ -z "${GATE_TEST_COMPOSE:-}" ]] || $GATE_TEST_COMPOSE down --volumes --timeout 5 >/dev/null 2>&1 || true
            stop_engine
        fi
        umount "$work"/exec/netns/* 2>/dev/null || true
        rm -rf "$work" || true
        tell "everything is torn down"
        exit "$code"
    }
    trap clean EXIT
    trap 'exit 130' INT TERM

    mkdir -p "$images"
    start_engine false env  # building needs the machine's network
    tell "the Docker Engine is up"

    # A base image like debian:bookworm-slim, with this machine's certificates: the place where a company puts its own.
    if ! docker image inspect "$BASE_IMAGE" >/dev/null 2>&1; then
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1 || true)
        debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" ${mirror:+"$mirror"} >"$work/debootstrap.log"
        cp -a /usr/local/share/ca-certificates/. "$work/base/usr/local/share/ca-certificates/"
        ! [[ -f /etc/pip.conf ]] || cp /etc/pip.conf "$work/base/etc/pip.conf"
        chroot "$work/base" update-ca-certificates >/dev/null 2>&1
        rm -rf "$work/base"/var/cache/apt/archives/*.deb "$work/base"/var/lib/apt/lists/*
        tar -C "$work/base" -c . | docker import - "$BASE_IMAGE" >/dev/null
        rm -rf "$work/base"
        tell "the base image is made"
    fi

    mkdir "$work/dags"
    cp dags/*.py tests/docker/dags/*.py "$work/dags"
    chmod -R a+rX "$work/dags"
    export DAGS_FOLDER="$work/dags" DAGS_ARE_PAUSED_AT_CREATION=false
    export HEARTBEAT_TIMEOUT=45 TASK_RETRIES=5 TASK_RETRY_DELAY=5  # seconds: a lost worker shows sooner than in production
    export GATE_TEST_COMPOSE="docker-compose -p gate-docker-test -f docker/compose.yaml -f docker/compose.demo.yaml"

    chmod 711 "$work"  # containers are somebody else
    $GATE_TEST_COMPOSE build >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; exit 1; }
    if [[ -n "${GATE_TEST_SPARK:-}" ]]; then  # half a gigabyte more
        $GATE_TEST_COMPOSE --profile spark build spark-master >>"$work/build.log" 2>&1 \
            || { tail -n 30 "$work/build.log" >&2; exit 1; }
    fi
    tell "the images are built"
    docker images --filter dangling=false --format '{{.Repository}} {{.Size}}' | sort

    # From here on in a network of its own, from which nothing leads outside.
    stop_engine
    start_engine true unshare --net sh -c 'ip link set lo up && exec "$@"' sh
    inside=(nsenter "--net=/proc/$engine/ns/net")
    $GATE_TEST_COMPOSE up -d --no-build >"$work/up.log" 2>&1 || { tail -n 30 "$work/up.log" >&2; exit 1; }
    tell "everything is started"

    code=0
    "${inside[@]}" .venv/bin/python -m pytest -p no:randomly -p no:cacheprovider -n 0 -s -m docker "${@:-tests/docker}" || code=$?
    docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' | sort || true
    exit "$code"
}

main "$@"  # read as a whole before it begins: editing it meanwhile does no harm
