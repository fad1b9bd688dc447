#!/bin/sh
# Run by the postgres image on its first start, with an empty volume: the four databases, the tables of the three that
# other services own, and the role this service works with. It reads everything and writes only jobs_db, whose tables it
# makes itself.
set -e

run() {
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$@"
}

# \getenv: the password then shows in no list of processes.
run postgres <<'SQL'
\getenv password SERVICE_PASSWORD
CREATE ROLE ml_service LOGIN PASSWORD :'password';
GRANT pg_read_all_data TO ml_service;
CREATE DATABASE user_db;
CREATE DATABASE catalog_db;
CREATE DATABASE engagement_db;
CREATE DATABASE jobs_db OWNER ml_service;
SQL

for name in user_db catalog_db engagement_db; do
    run "$name" --file="/schema/$name.sql"
done
