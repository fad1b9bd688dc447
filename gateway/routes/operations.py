"""Whether the process lives, and whether what it leans on answers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from flask import Response

from gateway.auth.principals import PUBLIC
from gateway.endpoint import Answer, Endpoints
from gateway.rendering import JSON, json_response
from shared import __version__
from shared.documents import CheckDocument, HealthDocument, LiveDocument, Readiness, ReadyDocument
from shared.errors import ServiceError, Unavailable
from shared.health import Check

SERVICE = "ml-service"
_BUDGET_SECONDS = 1.0  # for all checks together, which run side by side


def routes(checks: Mapping[str, Check], vital: frozenset[str]) -> Endpoints:
    """The routes below /health. Without one of the `vital` checks no request can be answered: 503."""
    api = Endpoints("operations", "Health")
    executor = ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="health")
    running: dict[str, Future[str]] = {}  # a check that hangs is waited for again, never started a second time
    starting = Lock()

    @api.address(
        "/health",
        "health",
        Answer("The process answers.", {JSON: HealthDocument}),
        access=PUBLIC,
        budget=None,
        asks=None,
    )
    def health() -> HealthDocument:
        """Which version runs."""
        return {"status": "healthy", "service": SERVICE, "version": __version__}

    @api.address(
        "/health/live",
        "live",
        Answer("The process lives.", {JSON: LiveDocument}),
        access=PUBLIC,
        budget=None,
        asks=None,
    )
    def live() -> LiveDocument:
        """Whether the process lives.

        For a liveness probe.
        """
        return {"status": "alive"}

    @api.address(
        "/health/ready",
        "ready",
        Answer("Ready, or degraded: something is down, and the service answers without it.", {JSON: ReadyDocument}),
        Answer("Titles were never read since the start: nobody can be answered.", {JSON: ReadyDocument}, status=503),
        access=PUBLIC,
        budget=None,
        asks=None,
    )
    def ready() -> Response:
        """How everything is that the service leans on.

        All checks together take at most a second; what has not answered by then is down.
        """
        with starting:
            for name, check in checks.items():
                if name not in running or running[name].done():
                    running[name] = executor.submit(check)
            asked = dict(running)
        wait(asked.values(), timeout=_BUDGET_SECONDS)
        states = {name: _state(future) for name, future in asked.items()}
        down = {name for name, state in states.items() if state["state"] == "down"}
        status: Readiness = "unavailable" if down & vital else "degraded" if down else "ready"
        document: ReadyDocument = {"status": status, "checks": states}
        return json_response(document, 503 if down & vital else 200)

    return api


def _state(check: Future[str]) -> CheckDocument:
    if not check.done():
        return {"state": "down", "detail": f"no answer within {_BUDGET_SECONDS:g} s"}
    error = check.exception()
    if error is None:
        return {"state": "up", "detail": check.result()}
    says = isinstance(error, ServiceError) and not isinstance(error, Unavailable)
    return {"state": "down", "detail": str(error) if says else "does not answer"}
