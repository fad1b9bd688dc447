#!/bin/sh
# Run by the postgres image on its first start, with an empty volume: the four databases, the tables of the three that
# other services own, and the roles this service works with, whose rights are those of shared/schema/rights. Run it
# again, on a volume of an earlier release or after a change of passwords, and they are as here:
#     docker compose exec postgres sh /docker-entrypoint-initdb.d/databases.sh
set -e

SCHEMA=${SCHEMA:-/schema}

run() {
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname="$@"
}

# \getenv: the passwords then show in no list of processes.
run postgres --file="$SCHEMA/rights/roles.sql"
run postgres <<'SQL'
\getenv gateway GATEWAY_PASSWORD
\getenv worker WORKER_PASSWORD
\getenv trainer TRAINER_PASSWORD
ALTER ROLE ml_gateway PASSWORD :'gateway';
ALTER ROLE ml_worker PASSWORD :'worker';
ALTER ROLE ml_trainer PASSWORD :'trainer';
SQL

for name in user_db catalog_db engagement_db jobs_db; do
    there=$(run postgres --tuples-only --command="SELECT 1 FROM pg_database WHERE datname = '$name'")
    [ "$there" ] || run postgres --command="CREATE DATABASE $name"
    [ "$name" = jobs_db ] || run "$name" --file="$SCHEMA/$name.sql" # the service makes those of jobs_db itself
    run "$name" --file="$SCHEMA/rights/$name.sql"
done
for name in user_db catalog_db engagement_db jobs_db postgres template1; do
    run "$name" --file="$SCHEMA/rights/closed.sql"
done
