#!/bin/sh
# What the container `redis` runs: Valkey with the users of docs/messages/service.acl and the passwords of .env, of which
# the file holds digests. Users that were added since, publishers say, and kept with ACL SAVE, stay.
set -eu

USERS=${USERS:-/service.acl}
FILE=${FILE:-/data/users.acl}

digest() {
    printf %s "${1:?a password is missing}" | sha256sum | cut -d ' ' -f 1
}

umask 077
touch "$FILE"
{
    sed -E \
        -e "s/^(user administrator on) >[^ ]+/\1 #$(digest "$REDIS_PASSWORD")/" \
        -e "s/^(user gateway on) >[^ ]+/\1 #$(digest "$GATEWAY_PASSWORD")/" \
        -e "s/^(user worker on) >[^ ]+/\1 #$(digest "$WORKER_PASSWORD")/" \
        "$USERS"
    grep -vE '^user (default|administrator|gateway|worker) ' "$FILE" || true
} > "$FILE.new"
mv "$FILE.new" "$FILE"
exec docker-entrypoint.sh valkey-server --aclfile "$FILE" "$@"
