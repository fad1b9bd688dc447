"""The service's roles in PostgreSQL: they read what the service reads, and whoever has stolen one gets no further."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import errors as pg

from demo import roles
from demo.binaries import postgres_programs
from demo.databases import DATABASES, SCHEMAS
from demo.process import PROJECT
from demo.servers import Postgres
from shared.databases import Database
from shared.errors import DatabaseUnavailable
from shared.migrations import migrate
from shared.repositories.catalog import CatalogRepository
from shared.repositories.engagement import EngagementRepository
from shared.repositories.users import UserRepository
from tests.guides import Guide, names, table
from tests.pools import BOUNDS
from tests.security.conftest import Told

WALL = "databases"
FOREIGN = ("user_db", "catalog_db", "engagement_db")
PASSWORDS = {name: secrets.token_urlsafe(12) + "/@:' " for name in roles.ROLES}
SECOND_LOCK = "SET default_transaction_read_only = off; "  # which any role may take off for itself


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Set up as docker compose sets up its own, where the release before these roles has already been."""
    with Postgres(tmp_path_factory.mktemp("roles") / "postgres", durable=False) as postgres:
        execute(postgres.dsn(), "CREATE ROLE ml_service LOGIN PASSWORD 'old'; GRANT pg_read_all_data TO ml_service")
        execute(postgres.dsn(), "CREATE DATABASE jobs_db OWNER ml_service")
        migrate_as(f"postgresql://ml_service:old@127.0.0.1:{postgres.port}/jobs_db")
        set_up(postgres)
        execute(postgres.dsn("user_db"), "ALTER TABLE user_preferences ADD COLUMN email text")
        execute(postgres.dsn("user_db"), "CREATE TABLE credit_card (number text)")
        yield postgres


def migrate_as(dsn: str) -> None:
    database = Database("jobs_db", dsn, BOUNDS, read_only=False)
    try:
        migrate(database)
    finally:
        database.close()


def set_up(postgres: Postgres) -> None:
    """docker/postgres/databases.sh, as the image runs it."""
    environment = {f"{name.upper()}_PASSWORD": password for name, password in PASSWORDS.items()} | {
        "SCHEMA": str(SCHEMAS),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGPASSWORD": postgres.dsn().split(":")[2].partition("@")[0],
        "PATH": f"{postgres_programs()}{os.pathsep}{os.environ['PATH']}",
    }
    script = PROJECT / "docker" / "postgres" / "databases.sh"
    ran = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def address(postgres: Postgres, name: str, database: str) -> str:
    return roles.addresses(postgres, name, PASSWORDS[name])[database]


def execute(dsn: str, statements: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn, connect_timeout=5)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements.split("; "):  # one by one, as a session would
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


WRITES = (
    ("user_db", "INSERT INTO tb_user_genre VALUES (gen_random_uuid(), 'War')"),
    ("user_db", "UPDATE user_preferences SET user_id = gen_random_uuid()"),
    ("user_db", "DELETE FROM tb_user_genre"),
    ("user_db", "TRUNCATE user_preferences"),
    ("catalog_db", "INSERT INTO medias (id) VALUES (gen_random_uuid())"),
    ("catalog_db", "UPDATE medias SET title = ''"),
    ("catalog_db", "DELETE FROM tb_media_genre"),
    ("catalog_db", "TRUNCATE medias"),
    ("engagement_db", "INSERT INTO interaction (user_id, media_id) VALUES (gen_random_uuid(), gen_random_uuid())"),
    ("engagement_db", "UPDATE interaction SET type = 'LIKE'"),
    ("engagement_db", "DELETE FROM interaction"),
    ("engagement_db", "TRUNCATE interaction"),
    ("engagement_db", "SELECT id FROM interaction FOR UPDATE"),
    ("engagement_db", "BEGIN; LOCK TABLE interaction IN SHARE MODE"),
    *(
        (database, statement)
        for database in FOREIGN
        for statement in (
            "CREATE TABLE theirs (x int)",
            "CREATE TEMPORARY TABLE theirs (x int)",
            "CREATE SCHEMA theirs",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP EXTENSION plpgsql",
            f"DROP DATABASE {database}",
            f"ALTER DATABASE {database} SET search_path = theirs",
            "SELECT lo_from_bytea(0, 'a file of mine')",
            "SELECT lo_create(0)",
        )
    ),
    ("user_db", "DROP TABLE user_preferences"),
    ("catalog_db", "ALTER TABLE medias ADD COLUMN x int"),
    ("engagement_db", "CREATE INDEX ON interaction (type)"),
    (
        "engagement_db",
        "CREATE TRIGGER t AFTER INSERT ON interaction EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ),
)
ANYWHERE = (
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/taken'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_hba_file_rules",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "CREATE ROLE mine SUPERUSER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE postgres PASSWORD 'mine'",
    "GRANT pg_read_all_data TO CURRENT_USER",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "LOAD '/tmp/mine.so'",
    "CREATE DATABASE mine",
    "CREATE TRUSTED LANGUAGE mine HANDLER plpgsql_call_handler",
)
READS = (
    ("user_db", "SELECT number FROM credit_card"),
    ("user_db", "SELECT email FROM user_preferences"),
    ("user_db", "SELECT * FROM user_preferences"),
    ("user_db", "COPY user_preferences TO STDOUT"),
    ("user_db", "SELECT * FROM pg_statistic"),
)
GATEWAYS = (  # in the service's own database
    "DELETE FROM jobs",
    "TRUNCATE jobs CASCADE",
    "DROP TABLE jobs CASCADE",
    "ALTER TABLE jobs ADD COLUMN x int",
    "INSERT INTO schema_version VALUES (99)",
    "CREATE TABLE mine (x int)",
    "CREATE OR REPLACE FUNCTION announce_end() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER TABLE jobs DISABLE TRIGGER ALL",
    "ALTER TABLE jobs OWNER TO ml_gateway",
)
TRAINERS = (
    *(("jobs_db", f"SELECT * FROM public.{table}") for table in ("jobs", "job_chunks", "workers", "schema_version")),
    ("jobs_db", "UPDATE public.jobs SET state = 'failed'"),
    ("jobs_db", "CREATE TABLE public.mine (x int)"),
    ("engagement_db", "DELETE FROM interaction"),
)
REFUSED = [
    *(("gateway", *attack) for attack in (*WRITES, *READS)),
    *(("worker", *attack) for attack in (*WRITES, *READS)),
    *(("gateway", "engagement_db", statement) for statement in ANYWHERE),
    *(("worker", "jobs_db", statement) for statement in ANYWHERE),
    *(("trainer", "engagement_db", statement) for statement in ANYWHERE),
    *(("gateway", "jobs_db", statement) for statement in GATEWAYS),
    *(("trainer", *attack) for attack in TRAINERS),
]


@pytest.mark.parametrize("name", roles.ROLES)
def test_what_a_role_has_no_business_with_is_refused(server: Postgres, attack: Told, name: str) -> None:
    tried = [(database, statement) for who, database, statement in REFUSED if who == name]
    assert len(tried) > 20
    before = everything(server)
    wrong = {}
    for database, statement in tried:
        seen = answer(address(server, name, database), SECOND_LOCK + statement)
        if not isinstance(seen, pg.InsufficientPrivilege):
            wrong[f"{database}: {statement}"] = repr(seen)
    assert wrong == {}, "\n".join(map(" -> ".join, wrong.items()))
    assert everything(server) == before
    attack(f"{len(tried)} statements as the {name}'s role: write, create, drop, read files, run programs", "42501")


def answer(dsn: str, statements: str) -> object:
    try:
        return execute(dsn, statements)
    except psycopg2.Error as error:
        return error


def everything(server: Postgres) -> list[Any]:
    """Whatever is stored or granted, as far as an attack could change it."""
    objects = """
        SELECT oid::regclass::text, relowner::regrole::text, relacl::text, relnatts FROM pg_class WHERE oid > 16383
         UNION ALL SELECT proname, proowner::regrole::text, proacl::text, length(prosrc) FROM pg_proc
         WHERE oid > 16383 OR proname LIKE 'lo\\_%'
         UNION ALL SELECT attrelid::regclass::text, attname, attacl::text, NULL FROM pg_attribute
         WHERE attacl IS NOT NULL
         ORDER BY 1, 2, 3, 4
    """
    server_wide = """
        SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls FROM pg_roles
         UNION ALL SELECT datname, datallowconn, datistemplate, NULL, NULL, NULL FROM pg_database ORDER BY 1
    """
    databases = [execute(server.dsn(name), objects) for name in DATABASES]
    granted = "SELECT datname, datacl::text FROM pg_database ORDER BY 1"
    settings = "SELECT setdatabase, setrole, setconfig FROM pg_db_role_setting ORDER BY 1, 2"
    members = "SELECT roleid, member FROM pg_auth_members ORDER BY 1, 2"
    return [*databases, *(execute(server.dsn(), query) for query in (server_wide, granted, settings, members))]


def reading(server: Postgres, name: str, database: str) -> None:
    """All that the service reads there."""
    pool = Database(database, address(server, name, database), BOUNDS, read_only=True)
    try:
        if database == "user_db":
            UserRepository(pool).genres([uuid4()])
        elif database == "catalog_db":
            CatalogRepository(pool).listed()
            CatalogRepository(pool).titles_by_genre()
            with CatalogRepository(pool).asked_titles([uuid4()]) as titles:
                titles()
        elif name == "trainer":
            EngagementRepository(pool).copy(BytesIO())
        else:
            EngagementRepository(pool).histories([uuid4()])
            EngagementRepository(pool).popularity(30)
            EngagementRepository(pool).trending(window_days=7, half_life_days=None, most=10)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("name", "database"),
    [*((name, database) for name in ("gateway", "worker") for database in FOREIGN), ("trainer", "engagement_db")],
)
def test_each_column_that_a_role_may_read_is_read_and_none_could_be_left_out(
    server: Postgres, name: str, database: str
) -> None:
    role, admin = roles.ROLES[name], server.dsn(database)
    columns = execute(
        admin,
        f"SELECT table_name, column_name FROM information_schema.column_privileges WHERE grantee = '{role}' ORDER BY 1",
    )
    assert len(columns) >= 4
    reading(server, name, database)
    for of, column in columns:
        execute(admin, f'REVOKE SELECT ("{column}") ON {of} FROM {role}')
        try:
            with pytest.raises(DatabaseUnavailable, match="permission denied"):
                reading(server, name, database)
        finally:
            execute(admin, f'GRANT SELECT ("{column}") ON {of} TO {role}')


@pytest.mark.parametrize("database", FOREIGN)
def test_without_the_second_lock_a_writing_transaction_does_not_even_begin(
    server: Postgres, attack: Told, database: str
) -> None:
    for name in ("gateway", "worker"):
        dsn = address(server, name, database)
        assert execute(dsn, "SHOW transaction_read_only") == [("on",)]
        seen = answer(dsn, "SELECT lo_unlink(1)")
        assert isinstance(seen, pg.ReadOnlySqlTransaction | pg.InsufficientPrivilege | pg.UndefinedObject)
        seen = answer(dsn, "CREATE TABLE theirs (x int)")
        assert isinstance(seen, pg.ReadOnlySqlTransaction)
    attack(f"write to {database} in a session as it comes", seen.pgcode)


@pytest.mark.parametrize(
    ("name", "database"),
    [
        ("trainer", "user_db"),
        ("trainer", "catalog_db"),
        *((name, database) for name in roles.ROLES for database in ("postgres", "template1")),
    ],
)
def test_a_role_is_let_into_no_database_that_it_does_not_need(
    server: Postgres, attack: Told, name: str, database: str
) -> None:
    dsn = address(server, name, "jobs_db").replace("/jobs_db", f"/{database}")
    seen = answer(dsn, "SELECT 1")
    assert isinstance(seen, psycopg2.OperationalError)
    assert f'permission denied for database "{database}"' in str(seen)
    attack(f"connect to {database} as the {name}'s role", "permission denied for database")


def test_a_stranger_on_the_server_is_let_into_none_of_the_databases(server: Postgres, attack: Told) -> None:
    execute(server.dsn(), "CREATE ROLE stranger LOGIN PASSWORD 'strange'")
    try:
        for database in DATABASES:
            seen = answer(f"postgresql://stranger:strange@127.0.0.1:{server.port}/{database}", "SELECT 1")
            assert f'permission denied for database "{database}"' in str(seen)
    finally:
        execute(server.dsn(), "DROP ROLE stranger")
    attack("connect to each database as a role that was not let in", "permission denied for database")


@pytest.mark.parametrize("name", roles.ROLES)
def test_a_role_is_let_in_by_its_password_alone(server: Postgres, attack: Told, name: str) -> None:
    others = [PASSWORDS[other] for other in roles.ROLES if other != name]
    for password in ("", "wrong", *others):
        seen = answer(roles.addresses(server, name, password)["jobs_db"], "SELECT 1")
        assert isinstance(seen, psycopg2.OperationalError)
        assert "password authentication failed" in str(seen) or "no password supplied" in str(seen)
    attack(f"the {name}'s role with no password, a wrong one, another role's", "password authentication failed")


def test_the_demo_and_compose_grant_the_same_and_again_is_as_once(server: Postgres) -> None:
    before = everything(server)
    roles.grant(server, PASSWORDS)
    assert everything(server) == before
    set_up(server)
    assert everything(server) == before


def test_the_role_of_the_release_before_loses_its_tables_and_can_be_removed(server: Postgres) -> None:
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert execute(server.dsn("jobs_db"), owners) == [("ml_worker",)]
    for database in ("jobs_db", *FOREIGN):
        with closing(psycopg2.connect(server.dsn(database))) as connection, connection, connection.cursor() as cursor:
            cursor.execute(Guide("OPERATIONS.md").code("sql: forget ml_service"))
    execute(server.dsn(), "DROP ROLE ml_service")
    migrate_as(address(server, "worker", "jobs_db"))  # what is left is all there


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_who_may_not_make_tables_waits_for_who_may(server: Postgres, name: str) -> None:
    execute(server.dsn("jobs_db"), "DROP TABLE jobs, job_chunks, workers, announcements; DROP FUNCTION announce_end")
    execute(server.dsn("jobs_db"), "DELETE FROM schema_version")
    with pytest.raises(DatabaseUnavailable, match="permission denied for schema public"):
        migrate_as(address(server, "gateway", "jobs_db"))
    migrate_as(address(server, "worker", "jobs_db"))
    migrate_as(address(server, name, "jobs_db"))


def test_the_operators_guide_tells_of_each_role() -> None:
    rows = table(Guide("OPERATIONS.md").section("10.1 PostgreSQL"), "role")
    assert [names(row[0]) for row in rows] == [[role] for role in roles.ROLES.values()]
