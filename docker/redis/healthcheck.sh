#!/bin/sh
# Healthy is who answers.
REDISCLI_AUTH=$(cat /secrets/redis/password) || exit 1
export REDISCLI_AUTH
[ "$(redis-cli ping)" = PONG ]
