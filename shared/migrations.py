"""Brings jobs_db, the only database the service owns, to the version this code needs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from shared.databases import Database
from shared.errors import ConfigurationError

_STEPS: Final = Path(__file__).parent / "schema" / "jobs_db"
_LOCK: Final = 0x6D6C7376  # any number, the same in every process: one migrates, the others wait

_log = logging.getLogger(__name__)


def steps() -> dict[int, str]:
    """Version -> the SQL that leads to it, in order."""
    return {int(path.stem): path.read_text(encoding="utf-8") for path in sorted(_STEPS.glob("*.sql"))}


def migrate(database: Database) -> int:
    """Run the steps that are missing, each once, in order, all in one transaction; return the version reached.

    A role that may not make tables finds them made, or the database is unavailable until one that may has been here.
    Raises DatabaseUnavailable; ConfigurationError when the database is newer than this code.
    """
    scripts = steps()
    newest = max(scripts)
    bound = database.bounds.bulk
    with database.transaction() as session:
        session.run(f"SET LOCAL statement_timeout = {round(bound * 1000)}", seconds=bound)
        session.run("SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": _LOCK}, seconds=bound)
        [(there,)] = session.run("SELECT to_regclass('schema_version') IS NOT NULL", seconds=bound)
        if not there:
            session.run("CREATE TABLE schema_version (version int PRIMARY KEY)", seconds=bound)
        [(version,)] = session.run("SELECT coalesce(max(version), 0) FROM schema_version", seconds=bound)
        if version > newest:
            raise ConfigurationError(
                f"jobs_db has schema version {version}, this release knows {newest}: deploy the newer release"
            )
        for step in range(version + 1, newest + 1):
            session.run(scripts[step], seconds=bound)
            session.run("INSERT INTO schema_version VALUES (%(step)s)", {"step": step}, seconds=bound)
            _log.info("jobs_db is at schema version %s", step)
    return newest
