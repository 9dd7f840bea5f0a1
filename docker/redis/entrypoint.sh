#!/bin/sh
# Runs Redis with its password read from standard input, so that it stands on no command line.
set -eu
exec redis-server - <<CONFIG
bind *
dir /data
appendonly yes
appendfsync everysec
save ""
requirepass $(cat /secrets/redis/password)
CONFIG
