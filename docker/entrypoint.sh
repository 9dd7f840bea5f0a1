#!/bin/sh
# Fills GATE_…_FILE variables in from the files they name, then becomes the command. Airflow reads its own files (…_CMD).
# Inside a container: `with-secrets gate ledger verify`.
set -eu
for name in GATE_DATABASE_URL GATE_LINEAGE_URL GATE_AIRFLOW_PASSWORD GATE_AIRFLOW_TOKEN GATE_TOKEN; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        value=$(cat "$file")
        export "$name=$value"
        unset "${name}_FILE"
    fi
done
exec "$@"
