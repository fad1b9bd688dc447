"""Where the time goes: what stands beside a target that is missed."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flask import Flask
from werkzeug.test import create_environ

from benchmarks.stage import Stage
from demo.process import PROJECT
from gateway.app import create_app

_LIBRARIES: Final = 12
_FUNCTIONS: Final = 14
_INSTALLED: Final = "site-packages"
_BUILT_IN: Final = "~"  # the file that cProfile names for functions in C


def of_requests(
    stage: Stage, paths: Sequence[str], *, headers: Mapping[str, str] | None = None, **changes: object
) -> str:
    """Of the application without gunicorn, asked for the paths in turn. changes: of the stage's settings."""
    app = create_app(stage.settings(**changes))
    try:
        _ask(app, paths, headers)
        return of(lambda: _ask(app, paths, headers), f"{len(paths):,} requests, without gunicorn")
    finally:
        app.extensions["parts"].close()


def of(work: Callable[[], object], what: str) -> str:
    """A table as text: own time by library or file of ours, and our functions with everything that they call."""
    profile = cProfile.Profile()
    profile.runcall(work)
    functions: Mapping[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # not in its stubs
    total = max((whole for _, _, _, whole, _ in functions.values()), default=0.0) or 1.0
    # What is compiled counts as own time of the one who calls it: shared/compiled.py.
    lines = [f"{what}: {total:.2f} s under cProfile, which makes calls of Python dearer than they are", "", "own time"]
    lines += [f"{own / total:5.0%}  {room}" for room, own in _by_library(functions).most_common(_LIBRARIES)]
    ours = [(whole, place) for place, (_, _, _, whole, _) in functions.items() if _served(place[0])]
    lines += ["", "with what it calls"]
    for whole, (file, line, name) in sorted(ours, reverse=True)[:_FUNCTIONS]:
        lines.append(f"{whole / total:5.0%}  {Path(file).relative_to(PROJECT)}:{line} {name}")
    return "\n".join(lines)


def _ask(app: Flask, paths: Sequence[str], headers: Mapping[str, str] | None) -> None:
    for path in paths:
        answer = app(create_environ(path, headers=dict(headers or {})), lambda *_: lambda _: None)
        for _ in answer:
            pass
        if close := getattr(answer, "close", None):
            close()


def _by_library(functions: Mapping[Any, Any]) -> Counter[str]:
    """Own time; that of a function in C is its caller's."""
    times: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in functions.items():
        if file == _BUILT_IN and callers:
            for (caller, _, _), (_, _, spent, _) in callers.items():
                times[_library(caller)] += spent
        else:
            times[_library(file)] += own
    return times


def _library(file: str) -> str:
    if _ours(file):
        return str(Path(file).relative_to(PROJECT))
    parts = Path(file).parts
    if _INSTALLED in parts:
        return parts[parts.index(_INSTALLED) + 1].removesuffix(".py")
    return "Python's own"


def _served(file: str) -> bool:
    """Whether it is the service's own, rather than its measurement."""
    return _ours(file) and Path(file).relative_to(PROJECT).parts[0] != Path(__file__).parent.parent.name


def _ours(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(PROJECT) and _INSTALLED not in path.parts
