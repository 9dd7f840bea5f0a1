# A throwaway PostgreSQL for the tests: its own folder, port and socket; sets GATE_TEST_POSTGRES_URL.
PG_BIN=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
PG_DIR=$(mktemp -d /tmp/gate-postgres.XXXXXX)
PG_PORT=${PG_PORT:-15432}

as_postgres() {
    if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

start_postgres() {
    if [ "$(id -u)" = 0 ]; then chown postgres "$PG_DIR"; fi
    as_postgres "$PG_BIN/initdb" --pgdata="$PG_DIR/data" --auth=trust --username=gate --no-sync >"$PG_DIR.log" 2>&1
    as_postgres "$PG_BIN/pg_ctl" --pgdata="$PG_DIR/data" --log="$PG_DIR/server.log" --wait start \
        --options="-p $PG_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=$PG_DIR" >>"$PG_DIR.log" 2>&1 ||
        { cat "$PG_DIR.log" "$PG_DIR/server.log"; return 1; }
    export GATE_TEST_POSTGRES_URL="postgresql://gate@127.0.0.1:$PG_PORT/postgres"
}

stop_postgres() {
    as_postgres "$PG_BIN/pg_ctl" --pgdata="$PG_DIR/data" --mode=immediate stop >/dev/null 2>&1 || true
    rm -rf "$PG_DIR" "$PG_DIR.log"
}
