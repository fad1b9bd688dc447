"""The programs in docs/examples as tests run them."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from tests.conftest import Service
from tests.guides import DOCS

EXAMPLES = DOCS / "examples"
# Those that ask the gateway, in each language but the shell; with words that the service refuses, and what it says.
PROGRAMS = {
    "recommend": (["nobody"], "user_id: not a UUID"),
    "filtered": (["nobody", "Drama"], "user_id: not a UUID"),
    "browse": (["nobody"], "user_id: not a UUID"),
    "similar": (["nothing"], "media_id: not a UUID"),
    "popular": ([" "], "genres_any[0]: not a name"),
    "preview": (["Drama,", "nothing"], "genres[1]: not a name"),
    "batch": (["nobody"], "user_ids[0]: not a UUID"),
    "job": (["nobody"], "user_ids[0]: not a UUID"),
}
LIMIT = 3
PATIENCE = 60.0  # s, for one program


@cache
def interpreter(language: str) -> tuple[str, str]:
    """What runs programs of this language, and the reason when nothing here does."""
    if language == "python":
        return sys.executable, ""
    if language == "shell":
        missing = [" or ".join(names) for names in _SHELL_NEEDS if not any(map(shutil.which, names))]
        return shutil.which("sh") or "", f"not installed: {', '.join(missing)}" if missing else ""
    program, least = {"javascript": ("node", 20), "java": ("java", 17)}[language]
    path = shutil.which(program)
    if path is None:
        return "", f"{program} is not installed"
    said = _said(path, "--version")
    version = re.search(r"\d+", said)
    if version is None or int(version[0]) < least:
        return "", f"{program} {least} or newer is needed; this is {said.splitlines()[:1]}"
    if language == "java" and "jdk.compiler" not in _said(path, "--list-modules"):
        return "", "java is here without its compiler: a JDK is needed to run a source file"
    return path, ""


def _said(program: str, option: str) -> str:
    done = subprocess.run([program, option], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout


_SHELL_NEEDS = (("sh",), ("curl",), ("redis-cli", "valkey-cli"))  # redis-cli: Debian's package redis-tools


def can_run(language: str) -> bool:
    """Whether something here runs programs of this language."""
    return not interpreter(language)[1]


def skip_unless_it_runs(language: str) -> None:
    """Skips the test where nothing runs programs of this language, and says what is missing."""
    if reason := interpreter(language)[1]:
        pytest.skip(reason)


@dataclass(frozen=True)
class Examples:
    """One language's programs, with variables that are set for all of them."""

    language: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, language: str, service: Service) -> Examples:
        """Programs that ask this service; skips the test where nothing runs them."""
        skip_unless_it_runs(language)
        addresses = {"ML_SERVICE_URL": service.url, "BROKER_URL": service.platform.broker_url}
        return cls(language, addresses | {"LIMIT": str(LIMIT)})

    def run(
        self, program: str, *arguments: UUID | str, stdin: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one to its end."""
        return subprocess.run(
            [interpreter(self.language)[0], *self._words(program), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
            env=os.environ | _QUICK | self.environment | variables,
        )

    def lines(self, program: str, *arguments: UUID | str, **more: str) -> list[str]:
        """What it prints, when all went well."""
        done = self.run(program, *arguments, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def _words(self, program: str) -> list[str]:
        directory = EXAMPLES / self.language
        match self.language:
            case "python":
                return [f"{directory}/{program}.py"]
            case "javascript":
                return [f"{directory}/{program}.mjs"]
            case "shell":
                return [f"{directory}/{program}.sh"]
        main = [program] if (directory / f"{program}.java").exists() else ["Recommendations", program]
        return ["-cp", _compiled(self.language), *main]


@cache
def _compiled(language: str) -> str:
    """A folder of Java's classes, compiled once: compiling anew at each start, as people do, takes most of the time."""
    folder = tempfile.mkdtemp(prefix="ml-service-classes-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compiler = [interpreter(language)[0], "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", folder]
    subprocess.run([*compiler, *(EXAMPLES / language).glob("*.java")], timeout=PATIENCE, check=True)
    return folder


_QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}  # starts in two thirds of the time


def titles_of(service: Service, users: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Each user's titles as the examples print them, by the service's own answers."""
    found = {}
    for start in range(0, len(users), 50):
        body = {"user_ids": [str(user) for user in users[start : start + 50]], "limit": LIMIT}
        results = service.client.post("/api/recommendations/batch", body).body["results"]
        for user, page in results.items():
            found[UUID(user)] = printed(page)
    return found


def printed(page: dict[str, Any]) -> list[str]:
    """A page's titles as the examples print them."""
    return [f"{t['score']:.4f}  {t['title'] or '(no title)'}" for t in page["recommendations"]]


def best_of(service: Service, users: Sequence[UUID]) -> list[str]:
    """Each user's best title, as the examples print it, by the service's own answers."""
    return [f"{user}  {titles[0]}" for user, titles in titles_of(service, users).items()]
