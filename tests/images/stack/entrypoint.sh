#!/bin/sh
# Does what the public images' entry points do for those of their variables that the example stack uses.
set -eu
PGDATA=${PGDATA:-/var/lib/postgresql/data}

run_as() { user=$1; shift; setpriv --reuid="$user" --regid="$user" --init-groups "$@"; }

prepare_database() {
  echo "${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:?}")}" >/tmp/password
  chmod 0644 /tmp/password
  run_as postgres initdb --pgdata="$PGDATA" --username=postgres --pwfile=/tmp/password --no-sync \
    --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  rm /tmp/password
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  run_as postgres pg_ctl --pgdata="$PGDATA" --wait --silent -o "-c listen_addresses=''" start >/dev/null
  run_as postgres createdb --username=postgres "${POSTGRES_DB:-postgres}"
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sql) run_as postgres psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username=postgres \
               --dbname="${POSTGRES_DB:-postgres}" --file="$script" ;;
      *.sh) run_as postgres sh "$script" ;;
    esac
  done
  run_as postgres pg_ctl --pgdata="$PGDATA" --wait --silent --mode=fast stop
}

case ${1:-} in
  postgres)
    install -d -o postgres -g postgres -m 2775 /var/run/postgresql
    chown postgres: "$PGDATA"
    [ -s "$PGDATA/PG_VERSION" ] || prepare_database
    cd "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" -D "$PGDATA" ;;
  redis-server)
    exec setpriv --reuid=redis --regid=redis --init-groups "$@" ;;
  *)
    exec "$@" ;;
esac
