#!/bin/sh
# Makes the gate ready: ledger, signing key, roles, certificate, and what Airflow is handed. Runs at each `up`; what is
# there already stays. The only holder of the tables' owner's password.
set -eu
umask 077
gate db upgrade
gate db roles | python /opt/gate/run_sql.py  # there is no psql in this image
python /opt/gate/certificate.py "$GATE_HOME/tls" gate localhost
if [ ! -s /handover/connections.json ] || [ ! -s /trust/openlineage.yml ]; then
    gate tokens create airflow-workers --scope tag --scope decide --scope redeem --days 366 > /tmp/worker
    gate tokens create airflow-lineage --scope lineage --days 366 > /tmp/lineage
    python /opt/gate/handover.py --url https://gate:8686 --worker-token /tmp/worker --lineage-token /tmp/lineage \
        --pinned "$GATE_HOME/keys/pinned.txt"
fi
# Workers trust whom this image trusts, and the service.
cat /etc/ssl/certs/ca-certificates.crt "$GATE_HOME/tls/cert.pem" > /trust/ca-bundle.new
chmod 0444 /trust/ca-bundle.new
mv /trust/ca-bundle.new /trust/ca-bundle.pem
