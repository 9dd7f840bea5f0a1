#!/bin/sh
# Makes Airflow ready: its database, and the connection that leads to the gate. Runs at each `up`.
set -eu
airflow db migrate
airflow connections import --overwrite /handover/connections.json
