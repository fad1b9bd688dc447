"""Whether the process lives, and whether what it leans on answers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from flask import Blueprint, Response

from gateway.rendering import json_response
from shared import __version__
from shared.errors import ServiceError, Unavailable
from shared.health import Check

SERVICE = "ml-service"
_BUDGET_SECONDS = 1.0  # for all checks together, which run side by side


def routes(checks: Mapping[str, Check], vital: frozenset[str]) -> Blueprint:
    """The routes below /health. Without one of the `vital` checks no request can be answered: 503."""
    blueprint = Blueprint("operations", __name__)
    executor = ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="health")
    running: dict[str, Future[str]] = {}  # a check that hangs is waited for again, never started a second time
    starting = Lock()

    @blueprint.get("/health")
    def health() -> Response:
        return json_response({"status": "healthy", "service": SERVICE, "version": __version__})

    @blueprint.get("/health/live")
    def live() -> Response:
        return json_response({"status": "alive"})

    @blueprint.get("/health/ready")
    def ready() -> Response:
        with starting:
            for name, check in checks.items():
                if name not in running or running[name].done():
                    running[name] = executor.submit(check)
            asked = dict(running)
        wait(asked.values(), timeout=_BUDGET_SECONDS)
        states = {name: _state(future) for name, future in asked.items()}
        down = {name for name, state in states.items() if state["state"] == "down"}
        status = "unavailable" if down & vital else "degraded" if down else "ready"
        response = json_response({"status": status, "checks": states}, 503 if down & vital else 200)
        response.headers["Cache-Control"] = "no-store"
        return response

    return blueprint


def _state(check: Future[str]) -> dict[str, str]:
    if not check.done():
        return {"state": "down", "detail": f"no answer within {_BUDGET_SECONDS:g} s"}
    error = check.exception()
    if error is None:
        return {"state": "up", "detail": check.result()}
    says = isinstance(error, ServiceError) and not isinstance(error, Unavailable)
    return {"state": "down", "detail": str(error) if says else "does not answer"}
