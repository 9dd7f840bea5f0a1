#!/bin/sh
# Makes the cluster on first start, with its roles and databases, then runs the server. The superuser has no password and
# is reachable from inside this container only.
set -eu

if [ ! -s "$PGDATA/READY" ]; then
    for role in airflow gate-admin gate marquez; do  # a role without a password would be one nobody can use
        [ -s "/secrets/postgres/$role-password" ] || { echo "no password for $role" >&2; exit 1; }
    done
    # What an interrupted first start left is no database anybody used: begin again.
    find "$PGDATA" -mindepth 1 -delete
    initdb --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256
    echo "host all postgres all reject" > "$PGDATA/pg_hba.conf"
    echo "local all all trust" >> "$PGDATA/pg_hba.conf"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl --silent --wait --options="-c listen_addresses=''" start
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=postgres --file=/opt/gate/roles.sql
    pg_ctl --silent --wait --mode=fast stop
    date > "$PGDATA/READY"
fi
exec postgres -c listen_addresses='*'
