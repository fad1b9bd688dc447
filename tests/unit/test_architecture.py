"""The house keeps its shape: who may import whom, who reads the environment, and what an import may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from demo.process import PROJECT

Check: TypeAlias = "Callable[[Source], list[str]]"

DOORS_AND_SHARED = ("gateway", "shared", "worker")

# A row per module: ``module -> what it may import``. The standard library is free; ``=>`` lists it too, as nothing
# else is allowed there. A name without a dot is a library; ``a.b.*`` is a.b and all below it. The rows are the
# arrows of the design: `shared` never imports a door, the doors never each other.
WHO_MAY_IMPORT_WHOM = """
shared                          ->
shared.errors                   ->
shared.media                    ->
shared.options                  -> pydantic
shared.job_states               -> shared.errors shared.options
shared.availability             ->
shared.stall_guard              ->
shared.http_calls               ->
shared.scrubbing                ->
shared.telemetry                -> shared.scrubbing
shared.transport                -> shared.errors
shared.model_settings           -> pydantic pydantic_settings shared.errors
shared.setting_values           -> pydantic
shared.settings                 -> pydantic shared.model_settings shared.setting_values
shared.callbacks                -> shared.errors shared.setting_values shared.settings
shared.documents                -> pydantic typing_extensions shared.job_states shared.media
shared.json_schema              -> pydantic pydantic_core
shared.parsing                  -> orjson pydantic shared.errors shared.media
shared.contracts                -> pydantic shared.callbacks shared.errors shared.job_states shared.media
                                   shared.options shared.parsing
shared.answers                  -> shared.documents shared.errors shared.job_states shared.media

shared.ids                      -> numpy
shared.compiled                 -> numba numpy llvmlite
shared.plain_files              ->
shared.arrays                   -> numpy
shared.interactions             -> numpy shared.ids shared.media
shared.catalogue                -> numpy shared.ids shared.media
shared.ranked_list              -> numpy shared.ids shared.media
shared.model                    -> numpy scipy pydantic shared.arrays shared.catalogue shared.errors shared.ids
                                   shared.plain_files
shared.storage                  -> fsspec shared.errors shared.plain_files
shared.file_lock                -> shared.errors
shared.model_copies             -> shared.errors shared.file_lock shared.model shared.storage
shared.model_store              -> orjson pydantic shared.errors shared.file_lock shared.model shared.model_copies
                                   shared.parsing shared.storage
shared.strengths                -> numpy shared.ids shared.interactions shared.media shared.model_settings
shared.retrieval                => __future__ typing numpy shared.compiled shared.ids
shared.snapshot                 -> numpy shared.catalogue shared.ids shared.model shared.retrieval
shared.taste                    -> numpy shared.ids
shared.tastes                   -> numpy shared.ids shared.interactions shared.media shared.snapshot
                                   shared.strengths shared.taste
shared.filters                  -> numpy shared.catalogue shared.ids shared.options
shared.scorer                   => __future__ collections.abc dataclasses functools typing numpy
                                   shared.arranging shared.catalogue shared.filters
                                   shared.ids shared.media shared.model shared.options shared.ranked_list
                                   shared.retrieval shared.snapshot shared.taste
shared.arranging                => __future__ dataclasses typing numpy shared.ids shared.media shared.options
                                   shared.ranked_list shared.snapshot
                                   shared.variety
shared.variety                  => __future__ numpy shared.ids shared.model shared.snapshot

shared.database_errors          -> psycopg2 shared.errors
shared.deadline                 ->
shared.session                  -> psycopg2 shared shared.deadline shared.errors
shared.databases                -> psycopg2 shared shared.availability shared.database_errors shared.deadline
                                   shared.errors shared.session shared.stall_guard
shared.migrations               -> shared.databases shared.errors
shared.repositories.*           -> numpy shared.databases shared.session shared.media shared.errors shared.ids
                                   shared.interactions
                                   shared.catalogue shared.job_states shared.migrations shared.options
                                   shared.stall_guard
                                   shared.repositories shared.repositories.*
shared.redis_store              -> redis shared shared.availability shared.deadline shared.errors shared.transport
shared.list_name                -> shared.options
shared.cache                    -> shared.errors shared.list_name shared.ranked_list shared.snapshot
                                   shared.write_behind
shared.pins                     -> orjson shared.errors shared.list_name shared.ranked_list shared.redis_store
shared.results                  -> shared.errors shared.job_states shared.ranked_list shared.redis_store
shared.refresher                -> shared.availability shared.catalogue shared.errors shared.ids shared.model
                                   shared.model_store shared.repositories.* shared.snapshot

shared.trends                   -> numpy shared shared.catalogue shared.deadline shared.errors shared.ids
                                   shared.redis_store shared.repositories.engagement
shared.titles                   -> cachetools orjson shared.errors shared.media shared.repositories.catalog
                                   shared.write_behind
shared.write_behind             -> shared.errors shared.redis_store
shared.reasons                  -> numpy shared.ids shared.list_name shared.media shared.ranked_list
shared.pages                    -> shared.ids shared.list_name shared.media shared.ranked_list shared.reasons
                                   shared.titles
shared.lists                    -> shared.cache shared.errors shared.list_name shared.media shared.options
                                   shared.pages shared.pins shared.ranked_list shared.snapshot
shared.recommender              -> shared.errors shared.interactions shared.list_name shared.lists shared.media
                                   shared.options shared.ranked_list shared.repositories.* shared.scorer
                                   shared.snapshot shared.strengths shared.tastes
shared.discovery                -> numpy shared.errors shared.ids shared.list_name shared.lists shared.media
                                   shared.options shared.ranked_list shared.scorer shared.snapshot
                                   shared.strengths shared.taste shared.tastes shared.trends
shared.job_results              -> shared.errors shared.job_states shared.list_name shared.media shared.options
                                   shared.pages shared.recommender shared.repositories.* shared.results
shared.publishing               -> shared.availability shared.errors shared.job_states shared.repositories.outbox
shared.jobs                     -> shared.errors shared.job_results shared.job_states shared.options
                                   shared.publishing shared.repositories.*
shared.upkeep                   -> shared.errors shared.publishing shared.repositories.*
shared.broker                   -> celery kombu shared shared.contracts shared.deadline shared.errors
                                   shared.job_states shared.publishing shared.settings shared.transport
shared.parts                    -> shared.*
shared.forking                  -> shared.scorer
shared.rollback                 -> shared.errors shared.model_store
shared.health                   -> shared.databases shared.errors shared.parts

gateway                         ->
gateway.app                     -> flask gateway.* shared.broker shared.health shared.parts shared.setting_values
                                   shared.settings
gateway.__main__                -> pydantic gateway.auth.api_keys gateway.auth.principals shared.errors
gateway.auth                    ->
gateway.auth.principals         -> shared.errors shared.job_states
gateway.auth.watched_file       -> shared.errors
gateway.auth.keys               -> cryptography jwt gateway.auth.watched_file
gateway.auth.key_server         -> jwt gateway.auth.keys shared shared.deadline shared.errors shared.http_calls
gateway.auth.tokens             -> cachetools jwt gateway.auth.keys gateway.auth.principals shared.errors
gateway.auth.api_keys           -> pydantic gateway.auth.principals gateway.auth.watched_file shared.errors
gateway.auth.authenticator      -> flask gateway.auth.* shared.errors shared.health shared.settings
gateway.addresses               -> flask shared.setting_values
gateway.limits                  -> cachetools flask flask_limiter limits gateway gateway.addresses
                                   gateway.auth.authenticator shared.errors shared.redis_store
                                   shared.setting_values shared.settings
gateway.security_headers        -> flask
gateway.gunicorn.conf           -> gunicorn gunicorn.* gateway gateway.app gateway.listening gateway.refusals
                                   gateway.slow_clients shared.errors shared.forking shared.settings shared.telemetry
gateway.listening               -> gunicorn.*
gateway.slow_clients            -> gunicorn.*
gateway.refusals                -> gunicorn orjson gateway.errors gateway.rendering gateway.request_ids
                                   shared.documents
gateway.rendering               -> flask werkzeug gunicorn.http.errors orjson shared shared.deadline shared.errors
                                   shared.parsing
gateway.query                   -> flask pydantic shared.errors
gateway.errors                  -> flask werkzeug gateway.rendering shared.answers shared.documents shared.errors
gateway.request_ids             -> flask shared.telemetry
gateway.deadlines               -> flask shared shared.deadline
gateway.compression             -> flask gateway.rendering
gateway.cors                    -> flask flask_cors gateway.limits gateway.request_ids
gateway.recent_pages            -> flask cachetools
gateway.endpoint                -> flask werkzeug.datastructures gateway.auth.authenticator gateway.auth.principals
                                   gateway.compression gateway.limits gateway.query gateway.recent_pages
                                   gateway.rendering shared.contracts shared.errors shared.parsing
gateway.schemas                 -> pydantic shared.json_schema
gateway.openapi                 -> gateway.auth.principals gateway.endpoint gateway.errors gateway.limits
                                   gateway.rendering gateway.request_ids
                                   gateway.schemas shared shared.documents shared.errors
gateway.routes.models           -> flask gateway.auth.* gateway.endpoint gateway.limits gateway.rendering
                                   gateway.routes.listing shared shared.broker shared.contracts shared.documents
                                   shared.errors
                                   shared.model_store shared.rollback
gateway.routes.documentation    -> flask flask_swagger_ui gateway.auth.principals gateway.endpoint
                                   gateway.openapi gateway.rendering
gateway.routes.*                -> flask werkzeug pydantic gateway.auth.authenticator gateway.auth.principals
                                   gateway.endpoint gateway.errors gateway.limits gateway.recent_pages
                                   gateway.rendering
                                   gateway.routes.* shared shared.answers shared.contracts shared.discovery
                                   shared.documents shared.errors shared.health shared.job_results
                                   shared.job_states shared.jobs shared.parsing shared.recommender

worker                          ->
worker.app                      -> celery shared.broker shared.errors shared.forking shared.parts
                                   shared.settings shared.telemetry worker.*
worker.tasks                    -> celery orjson pydantic shared.broker shared.contracts shared.errors
                                   shared.job_states shared.parsing shared.parts shared.rollback
                                   worker.guard.dead_letters
                                   worker.training.*
worker.parent                   -> shared.broker shared.callbacks shared.errors shared.job_states shared.parts
                                   shared.repositories.announcements worker.announcing.* worker.rounds
worker.requests                 -> celery shared.contracts shared.job_states
worker.shutdown                 -> celery
worker.rounds                   -> shared.availability shared.errors
worker.guard                    ->
worker.guard.connection         -> celery kombu shared.errors worker.guard.guard worker.guard.rabbitmq
                                   worker.guard.redis
worker.guard.redis              -> kombu worker.guard.envelope worker.guard.guard
worker.guard.rabbitmq           -> amqp worker.guard.envelope worker.guard.guard
worker.guard.guard              -> worker.guard.dead_letters worker.guard.envelope
worker.guard.envelope           -> orjson pydantic shared.contracts shared.errors shared.parsing
worker.guard.dead_letters       -> orjson shared.answers shared.broker shared.contracts shared.documents shared.errors
worker.announcing               ->
worker.announcing.announcer     -> orjson shared.answers shared.availability shared.broker shared.errors
                                   shared.job_states shared.repositories.announcements worker.announcing.webhook
                                   worker.rounds
worker.announcing.webhook       -> standardwebhooks shared shared.callbacks shared.errors shared.http_calls
worker.__main__                 -> shared.errors shared.settings shared.telemetry worker.commands.*
worker.commands                 ->
worker.commands.run             -> shared.settings worker.app
worker.commands.train           -> shared shared.broker shared.errors shared.model shared.model_store shared.parts
                                   shared.settings
                                   worker.commands.progress worker.training.schedule worker.training.train
worker.commands.evaluate        -> shared.errors shared.model_settings shared.parts shared.settings
                                   worker.commands.progress worker.commands.report worker.training.*
worker.commands.progress        -> rich worker.training.evaluator worker.training.search
worker.commands.report          -> matplotlib rich shared.errors shared.model worker.training.evaluation
                                   worker.training.search
worker.commands.models          -> rich shared.errors shared.model shared.model_store shared.settings
worker.commands.rollback        -> shared.model_store shared.rollback shared.settings
worker.pulse                    -> celery
worker.pool                     -> celery kombu
worker.training.estimators.*    -> numpy scipy threadpoolctl shared.compiled shared.errors shared.ids shared.strengths
                                   worker.training.estimators.* worker.training.interactions
worker.training.blocks.material -> numpy scipy pydantic shared.arrays shared.model worker.training.estimators.*
worker.training.blocks.*        -> scipy pydantic shared.* worker.training.blocks.* worker.training.estimators.*
worker.training.*               -> numpy scipy pyarrow shared.* worker.training.*
"""

# One library per room, whatever a row above is changed to.
LIBRARY_AT_HOME = """
psycopg2            shared.databases shared.database_errors shared.session
redis               shared.redis_store
flask               gateway.*
flask_cors          gateway.cors
flask_limiter       gateway.limits
limits              gateway.limits
jwt                 gateway.auth.*
cryptography        gateway.auth.keys
flask_swagger_ui    gateway.routes.documentation
werkzeug            gateway.*
celery              worker.* shared.broker
kombu               worker.* shared.broker
amqp                worker.guard.rabbitmq
pydantic_settings   shared.model_settings
standardwebhooks    worker.announcing.webhook
fsspec              shared.storage
rich                worker.commands.*
numba               shared.compiled
llvmlite            shared.compiled
pyarrow             worker.training.*
matplotlib          worker.commands.report
importlib
"""

# Parts are put together in the doors' factories, and nowhere on the way.
WHO_MAY_CALL = """
Parts.build         gateway.app worker.app
Databases.connect   shared.parts worker.commands.evaluate worker.commands.train
Database            shared.parts
RedisStore          shared.parts
Refresher           shared.parts
Recommender         shared.parts
Trends              shared.parts
Jobs                shared.parts
Authenticator       gateway.app
Flask               gateway.app
Celery              shared.broker
"""

ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
READS_THE_ENVIRONMENT = "shared.model_settings"


class Source:
    """A module's text, read as a tree."""

    def __init__(self, module: str, file: str, text: str) -> None:
        self.module, self.file = module, file
        self.tree = ast.parse(text, file)

    def imports(self, modules: set[str]) -> Iterator[str]:
        """Everything imported, at the top or inside a function: modules of ours in full, others as written."""
        package = self.module if self.file.endswith("__init__.py") else self.module.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
                base = ".".join(filter(None, [*above, node.module]))
                for alias in node.names:
                    yield full if (full := f"{base}.{alias.name}") in modules else base

    def calls(self) -> Iterator[str]:
        """Names called, as written: `Parts.build`, `Database`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func)

    def environment_reads(self) -> Iterator[str]:
        """Uses of the environment, as written."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT:
                if ast.unparse(node) != "request.environ":  # a request's, not the process's
                    yield ast.unparse(node)
            elif isinstance(node, ast.ImportFrom) and node.module == "os":
                yield from (f"from os import {alias.name}" for alias in node.names if alias.name in ENVIRONMENT)


def read_sources() -> list[Source]:
    """Every Python file of the doors and of `shared`."""
    sources = []
    for package in DOORS_AND_SHARED:
        for path in sorted((PROJECT / package).rglob("*.py")):
            file = path.relative_to(PROJECT)
            module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
            sources.append(Source(module, str(file), path.read_text(encoding="utf-8")))
    return sources


SOURCES = read_sources()
MODULES = {source.module for source in SOURCES}


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern of the tables means this module or library."""
    if pattern.endswith(".*"):
        return f"{name}.".startswith(pattern[:-1])
    is_library = "." not in pattern and pattern not in DOORS_AND_SHARED
    return name == pattern or (is_library and name.startswith(f"{pattern}."))


def permissions(table: str) -> dict[str, tuple[bool, list[str]]]:
    """module pattern -> (whether the standard library is free, what it may import)."""
    rows: dict[str, tuple[bool, list[str]]] = {}
    for line in filter(str.strip, table.splitlines()):
        if line.startswith(" "):
            rows[list(rows)[-1]][1].extend(line.split())
        else:
            pattern, arrow, *names = line.split()
            rows[pattern] = (arrow == "->", names)
    return rows


def homes(table: str) -> dict[str, list[str]]:
    """First word of each line -> the others."""
    return {words[0]: words[1:] for words in map(str.split, table.strip().splitlines())}


def import_violations(source: Source, modules: set[str], table: str = WHO_MAY_IMPORT_WHOM) -> list[str]:
    """What this file imports and may not, each with the file's name."""
    rows = permissions(table)
    pattern = next((row for row in (source.module, *rows) if row in rows and covers(row, source.module)), None)
    if pattern is None:
        return [f"{source.file}: there is no row for {source.module}: say what it may import"]
    standard_library_is_free, allowed = rows[pattern]
    found = []
    for name in dict.fromkeys(source.imports(modules)):
        standard = name.split(".")[0] in sys.stdlib_module_names
        if not any(covers(one, name) for one in allowed) and not (standard and standard_library_is_free):
            found.append(f"{source.file} imports {name}")
    return found


def library_violations(source: Source) -> list[str]:
    """Libraries this file imports that are at home elsewhere."""
    return [
        f"{source.file} imports {name}, which is at home in {' and '.join(rooms) or 'no room'}"
        for name in dict.fromkeys(source.imports(MODULES))
        for library, rooms in homes(LIBRARY_AT_HOME).items()
        if covers(library, name) and not any(covers(room, source.module) for room in rooms)
    ]


def call_violations(source: Source) -> list[str]:
    """Parts this file puts together and may not."""
    callers = homes(WHO_MAY_CALL)
    return [
        f"{source.file} calls {name}, which only {' and '.join(callers[name])} may"
        for name in dict.fromkeys(source.calls())
        if name in callers and source.module not in callers[name]
    ]


def environment_violations(source: Source) -> list[str]:
    """Where this file reads the environment and may not."""
    if source.module == READS_THE_ENVIRONMENT:
        return []
    return [f"{source.file} reads the environment: {use}" for use in source.environment_reads()]


def everywhere(check: Check) -> str:
    """A check's findings over every file, a line each."""
    return "\n".join(line for source in SOURCES for line in check(source))


def test_every_module_imports_only_what_its_row_allows() -> None:
    assert not everywhere(lambda source: import_violations(source, MODULES))


def test_each_library_stays_in_its_room() -> None:
    assert not everywhere(library_violations)


def test_parts_are_put_together_only_in_the_doors_factories() -> None:
    assert not everywhere(call_violations)


def test_only_the_settings_read_the_environment() -> None:
    assert not everywhere(environment_violations)


def test_the_table_names_no_module_that_is_gone() -> None:
    rows = permissions(WHO_MAY_IMPORT_WHOM)
    named = {name for _, allowed in rows.values() for name in allowed if name.split(".")[0] in DOORS_AND_SHARED}
    gone = [name for name in [*rows, *named] if not any(covers(name, module) for module in MODULES)]
    assert gone == []


MADE_UP = [
    pytest.param("gateway.app", "import worker.tasks", "gateway/app.py imports worker.tasks", id="door-to-door"),
    pytest.param("worker.app", "from gateway import app", "worker/app.py imports gateway.app", id="door-to-door-from"),
    pytest.param("shared.jobs", "from worker.app import create_app", "imports worker.app", id="shared-to-door"),
    pytest.param(
        "shared.media", "import numpy as np", "shared/media.py imports numpy", id="library-under-another-name"
    ),
    pytest.param("shared.ids", "def f():\n    import scipy.sparse", "imports scipy.sparse", id="inside-a-function"),
    pytest.param(
        "shared.cache",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shared.databases import Database",
        "shared/cache.py imports shared.databases",
        id="for-types-only",
    ),
    pytest.param("shared.errors", "from . import media", "shared/errors.py imports shared.media", id="relative"),
    pytest.param("gateway.routes.jobs", "from ..app import x", "imports gateway.app", id="relative-from-above"),
    pytest.param("shared.scorer", "import time", "shared/scorer.py imports time", id="a-clock-in-the-scorer"),
    pytest.param("shared.scorer", "from logging import getLogger", "imports logging", id="a-log-in-the-scorer"),
    pytest.param("shared.scorer", "from pathlib import Path", "imports pathlib", id="files-in-the-scorer"),
    pytest.param(
        "gateway.routes.jobs", "from shared.databases import Database", "shared.databases", id="sql-in-a-door"
    ),
    pytest.param("shared.garage", "", "shared/garage.py: there is no row for shared.garage", id="an-unknown-room"),
]


def made_up(module: str, text: str) -> Source:
    return Source(module, module.replace(".", "/") + ".py", text)


@pytest.mark.parametrize(("module", "text", "message"), MADE_UP)
def test_a_forbidden_import_is_found_and_named_with_its_file(module: str, text: str, message: str) -> None:
    [violation] = import_violations(made_up(module, text), MODULES | {"shared.garage"})
    assert message in violation


@pytest.mark.parametrize(
    ("check", "module", "text", "message"),
    [
        (library_violations, "shared.jobs", "from redis import Redis", "shared/jobs.py imports redis, which is at"),
        (library_violations, "worker.tasks", "import flask", "worker/tasks.py imports flask, which is at"),
        (library_violations, "gateway.app", "import kombu.pools", "gateway/app.py imports kombu.pools"),
        (library_violations, "shared.jobs", "import importlib", "shared/jobs.py imports importlib"),
        (call_violations, "gateway.routes.jobs", "Parts.build(settings)", "gateway/routes/jobs.py calls Parts.build"),
        (call_violations, "shared.jobs", "def f():\n    return Database(url)", "shared/jobs.py calls Database"),
        (environment_violations, "shared.jobs", "import os\nos.environ['X']", "shared/jobs.py reads the environment"),
        (environment_violations, "gateway.app", "import os as o\no.getenv('X')", "o.getenv"),
        (environment_violations, "worker.app", "from os import environ as e", "from os import environ"),
    ],
)  # fmt: skip
def test_every_other_trespass_is_found_and_named_with_its_file(
    check: Check, module: str, text: str, message: str
) -> None:
    [violation] = check(made_up(module, text))
    assert message in violation


def test_what_is_allowed_is_not_reported() -> None:
    source = made_up(
        "shared.databases", "import os.path\nimport psycopg2.extras\nfrom shared.errors import Unavailable"
    )
    assert [*import_violations(source, MODULES), *library_violations(source), *environment_violations(source)] == []


# Imports modules with every way out watched, and prints what was tried. Reading a file is a trespass only when a module
# of ours does it: the import system and the libraries read their own files.
WATCHED_IMPORT = """
import os, sys, threading, psycopg2
root, modules = sys.argv[1], sys.argv[2:]
sys.path.insert(0, root)
OURS = tuple({os.path.join(root, module.split(".")[0]) for module in modules})
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FORBIDDEN = {"socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system",
             "os.fork", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect"}
tried = []

def ours():
    frame = sys._getframe(2)
    while frame is not None and "importlib" not in frame.f_code.co_filename:  # pydantic looks up its plugins there
        if frame.f_code.co_filename.startswith(OURS):
            return True
        frame = frame.f_back
    return False

def watch(event, arguments):
    if event == "open" and (arguments[2] & WRITES or ours()) or event in FORBIDDEN:
        tried.append(f"{current}: {event} {arguments!r}")
        raise PermissionError(tried[-1])

def forbid(what):
    def refuse(*arguments, **keywords):
        tried.append(f"{current}: {what}")
        raise PermissionError(tried[-1])
    return refuse

psycopg2._connect = forbid("psycopg2.connect")  # libpq's sockets are not Python's
threading.Thread.start = forbid("thread started")
sys.addaudithook(watch)
for current in modules:
    try:
        __import__(current)
    except Exception as error:
        tried.append(f"{current}: {type(error).__name__}: {error}")
print("\\n".join(tried))
"""


def trespasses_at_import(root: Path, *modules: str) -> str:
    """What modules below `root` try to do when they are imported with no environment variable set."""
    command = [sys.executable, "-I", "-B", "-c", WATCHED_IMPORT, str(root), *modules]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_any_module_needs_no_environment_and_connects_to_nothing_and_opens_no_file() -> None:
    importable = sorted(module for module in MODULES if module != "gateway.gunicorn.conf")  # gunicorn runs that one
    assert trespasses_at_import(PROJECT, *importable) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("open(__file__)", "open", id="reads-a-file"),
        pytest.param("from pathlib import Path\nPath(__file__).read_text()", "open", id="reads-a-path"),
        pytest.param("open('/tmp/made-up', 'w')", "open", id="writes-a-file"),
        pytest.param("import socket\nsocket.create_connection(('127.0.0.1', 9))", "socket", id="connects"),
        pytest.param("import redis\nredis.Redis().ping()", "socket", id="asks-redis"),
        pytest.param("import psycopg2\npsycopg2.connect('')", "psycopg2.connect", id="asks-postgresql"),
        pytest.param(
            "import threading\nthreading.Thread(target=print).start()", "thread started", id="starts-a-thread"
        ),
        pytest.param("import os\nos.environ['HOME']", "KeyError", id="needs-the-environment"),
        pytest.param("try:\n    open(__file__)\nexcept OSError:\n    pass", "open", id="hides-its-failure"),
    ],
)
def test_a_module_that_does_something_at_import_is_found(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "offender.py").write_text(text)
    found = trespasses_at_import(tmp_path, "offender")
    assert found.startswith("offender: ")
    assert message in found
