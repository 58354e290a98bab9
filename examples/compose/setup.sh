#!/bin/sh
# Makes what the stack needs and the repository must not hold: passwords, and the group that may use Docker's socket.
# Safe to run again: nothing that exists is changed.
set -eu
cd "$(dirname "$0")"

# Private by the folder. The files are readable because Compose mounts them as they are, for users of the containers.
mkdir -p -m 0700 secrets
for name in postgres app remediator; do
  file=secrets/${name}_password
  [ -s "$file" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file"
  chmod 0444 "$file"
done

socket=${DOCKER_SOCKET:-/var/run/docker.sock}
[ -f .env ] || printf 'DOCKER_SOCKET=%s\nDOCKER_GID=%s\n' "$socket" "$(stat -L -c %g "$socket")" >.env
