#!/bin/bash
# What the image of PostgreSQL does with POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA:
# once, a cluster that others enter with the password; until that is whole it listens on no port.
# Source: https://hub.docker.com/_/postgres
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown -R postgres "$PGDATA"
  chmod 0700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

user=${POSTGRES_USER:-postgres}
if [ "$1" = postgres ] && ! [ -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ]; then
    echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
    exit 1
  fi
  initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  pg_ctl -w start -o "-c listen_addresses=''"
  if [ "${POSTGRES_DB:-$user}" != postgres ]; then
    createdb --username="$user" "${POSTGRES_DB:-$user}"
  fi
  pg_ctl -w -m fast stop
fi
[ "$1" = postgres ] && set -- "$@" -c 'listen_addresses=*'
exec "$@"
