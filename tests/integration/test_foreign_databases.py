"""The SQL of docs/INTEGRATION.md: rights that are enough for databases of others, and views over tables of any kind."""

from __future__ import annotations

import re
from contextlib import closing
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg2
import pytest

from demo import roles
from demo.process import PROJECT
from demo.servers import Postgres
from tests.guides import Guide
from tests.platform import Platform, wait_for

GUIDE = Guide("INTEGRATION.md")


def sql(comment: str) -> str:
    return GUIDE.code(f"sql: {comment}")


def execute(dsn: str, text: str) -> None:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(text)


@pytest.fixture(scope="module")
def passwords(postgres: Postgres) -> dict[str, str]:
    """Of the guide's roles, which have a database of their own beside those of other tests."""
    chosen = {role: f"chosen for {role}" for role in roles.ROLES.values()}
    execute(postgres.dsn(), sql("roles"))
    for role, password in chosen.items():
        execute(postgres.dsn(), f"ALTER ROLE {role} PASSWORD '{password}'")
    postgres.create_database("guide_jobs_db")
    execute(postgres.dsn("guide_jobs_db"), sql("jobs_db").replace("DATABASE jobs_db", "DATABASE guide_jobs_db"))
    return chosen


def as_role(dsn: str, role: str, passwords: dict[str, str]) -> str:
    return re.sub(r"//[^@]*@", f"//{role}:{quote(passwords[role])}@", dsn)


@pytest.mark.parametrize("name", ["roles", "user_db", "catalog_db", "engagement_db", "jobs_db", "closed"])
def test_the_rights_of_the_guide_are_those_of_demo_and_compose(name: str) -> None:
    assert sql(name) == (roles.RIGHTS / f"{name}.sql").read_text(encoding="utf-8")


def test_the_index_advised_is_the_one_of_the_schema() -> None:
    schema = (PROJECT / "shared/schema/engagement_db.sql").read_text(encoding="utf-8")
    assert sql("engagement_db index") in schema


def test_the_rights_of_the_guide_are_enough_and_no_more(
    platform: Platform, postgres: Postgres, passwords: dict[str, str]
) -> None:
    for name in ("user_db", "catalog_db", "engagement_db"):
        execute(platform.urls[name], sql(name))
    urls = platform.urls | {"jobs_db": postgres.dsn("guide_jobs_db")}

    def addresses(role: str) -> dict[str, str]:
        return {f"{name}_url": as_role(url, role, passwords) for name, url in urls.items()}

    heat, ronin = platform.title("Heat", "Crime"), platform.title("Ronin", "Crime")
    user = platform.user("Crime")
    platform.like([uuid4(), uuid4()], heat, ronin)
    platform.like(user, heat)
    platform.train(**addresses("ml_trainer"))
    gateway = platform.gateway(**addresses("ml_gateway"))
    page = gateway.page(user)
    assert (page["strategy"], page["degraded"], page["count"]) == ("hybrid", False, 1)
    batch = {"json": {"user_ids": [str(user)]}, "headers": {"Prefer": "respond-async"}}
    assert gateway.client.post("/api/recommendations/batch", **batch).status_code == 503  # nobody has made the tables
    platform.parts(**addresses("ml_worker"))
    wait_for(lambda: gateway.client.post("/api/recommendations/batch", **batch).status_code == 202, seconds=10)
    for name, statement in (
        ("user_db", "DELETE FROM tb_user_genre"),
        ("catalog_db", "UPDATE medias SET title = ''"),
        ("engagement_db", "DELETE FROM interaction"),
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(addresses("ml_gateway")[f"{name}_url"], f"SET transaction_read_only = off; {statement}")


THEIRS = {
    "user_db": "CREATE TABLE profile_genre (profile_no bigint, genre text);\n",
    "catalog_db": """
        CREATE TABLE film (film_no bigint, name text, plot text, year smallint, poster text, withdrawn boolean);
        CREATE TABLE film_tag (film_no bigint, tag text);
        INSERT INTO film SELECT n, 'Film ' || n, 'Plot', 2000 + n, NULL, n = 6 FROM generate_series(1, 7) AS n;
        INSERT INTO film_tag SELECT n, CASE WHEN n % 2 = 0 THEN 'drama' ELSE 'war' END FROM generate_series(1, 7) AS n;
        """,
    "engagement_db": """
        CREATE TABLE event (event_no bigint GENERATED ALWAYS AS IDENTITY, profile_no bigint, film_no bigint,
                            action text, progress real, happened_at timestamptz);
        INSERT INTO event (profile_no, film_no, action, happened_at)
        SELECT 100 + u, f, 'thumbs_up', now() FROM generate_series(1, 3) AS u, generate_series(1, 7) AS f;
        INSERT INTO event (profile_no, film_no, action, progress, happened_at) VALUES
            (42, 1, 'thumbs_down', NULL, '2024-01-01 12:00+00'), (42, 1, 'thumbs_up', NULL, '2024-01-01 13:30+02'),
            (43, 1, 'thumbs_up', NULL, '2024-01-01 12:00+00'), (43, 2, 'play', 0.1, '2024-01-01 12:00+00'),
            (43, 3, 'shown', NULL, '2024-01-01 12:00+00'), (NULL, 3, 'play', 1, now()), (43, NULL, 'play', 1, now()),
            (44, 4, 'play', 0.9, now()), (45, 4, 'play', 0.1, now());
        INSERT INTO event (profile_no, film_no, action, happened_at)
        SELECT 1000 + n, n % 7 + 1, 'thumbs_up', now() FROM generate_series(1, 20000) AS n;
        """,
}


def test_the_views_of_the_guide_make_other_tables_readable(
    platform: Platform, postgres: Postgres, passwords: dict[str, str]
) -> None:
    addresses = {}
    for name, tables in THEIRS.items():
        postgres.create_database(f"guide_{name}")
        dsn = postgres.dsn(f"guide_{name}")
        views = sql(f"views {name}").replace(f"IN DATABASE {name}", f"IN DATABASE guide_{name}")
        for text in (tables, sql("views all"), views, "ANALYZE", "VACUUM"):
            execute(dsn, text)
        addresses[f"{name}_url"] = as_role(dsn, "ml_worker", passwords)
    execute(postgres.dsn("guide_user_db"), "INSERT INTO profile_genre VALUES (42, 'Drama'), (42, NULL);\n")

    def user(number: int) -> UUID:
        return UUID(int=number)

    assert f"`{user(42)}`" in GUIDE.text  # as the text says
    platform.train(**addresses)
    gateway = platform.gateway(**addresses)

    assert gateway.page(user(41))["strategy"] == "popular"
    page = gateway.page(user(42))  # 13:30 in a zone two hours ahead is before noon: the dislike is the later one
    assert (page["strategy"], page["degraded"]) == ("content", False)
    assert [t["title"] for t in page["recommendations"]][:2] in (["Film 2", "Film 4"], ["Film 4", "Film 2"])
    assert {t["title"] for t in page["recommendations"]} == {f"Film {n}" for n in (2, 3, 4, 5, 7)}
    page = gateway.page(user(43))  # liked 1, began 2, was shown 3
    assert page["strategy"] == "collaborative"
    assert {t["title"] for t in page["recommendations"]} == {f"Film {n}" for n in (3, 4, 5, 7)}
    assert page["recommendations"][0] | {"title": "", "media_id": "", "release_year": 0, "score": 0, "genres": []} == {
        "media_id": "", "title": "", "description": "Plot", "release_year": 0, "media_type": "MOVIE", "cover_url": None,
        "genres": [], "score": 0, "content_score": 0.0, "collaborative_score": 1.0, "source": "hybrid",
        "reason": page["recommendations"][0]["reason"],
    }  # fmt: skip
    assert gateway.page(user(44))["strategy"] == "collaborative"  # watched 4 nearly to its end
    page = gateway.page(user(45))  # began 4, and no more
    assert (page["strategy"], "Film 4" in [t["title"] for t in page["recommendations"]]) == ("popular", False)

    with closing(psycopg2.connect(addresses["engagement_db_url"])) as connection, connection.cursor() as cursor:
        query = "EXPLAIN SELECT id, user_id, media_id, type FROM interaction WHERE user_id = ANY(%s::uuid[])"
        cursor.execute(query, ([str(user(43))],))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Only Scan using event_history" in plan
