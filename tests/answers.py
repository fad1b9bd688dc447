"""Asking a gateway, and what its refusals look like."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from werkzeug.test import TestResponse

from demo.server import free_port
from gateway.errors import PROBLEMS
from tests.platform import Gateway

USER = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
OTHER = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
LIST = f"/api/recommendations/{USER}"
BATCH = "/api/recommendations/batch"
ASYNC = {"Prefer": "respond-async"}
NDJSON = {"Accept": "application/x-ndjson"}

INTERNALS = ("Traceback", 'File "', ".py", "psycopg", "pydantic", "redis://", "postgresql://", "127.0.0.1", "SELECT ")


def refused(answer: TestResponse, status: int, name: str, field: str | None = None, allowed: str | None = None) -> dict:
    """The problem document, once it is one in every detail; its only error is about `field` when that is given."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = answer.get_json()
    assert (problem["type"], problem["status"]) == (f"/problems/{name}", status)
    assert (problem["title"], problem["instance"]) == (PROBLEMS[name].title, answer.request.path)
    assert problem["detail"]
    assert not [word for word in INTERNALS if word in answer.text]
    if field is None:
        assert "errors" not in problem
    else:
        [error] = problem["errors"]
        assert (error["field"], error.get("allowed")) == (field, allowed)
        assert error["message"]
        assert field in problem["detail"]
    return problem


def batch(gateway: Gateway, *users: UUID | str, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
    return gateway.client.post(BATCH, json={"user_ids": [str(user) for user in users]} | fields, headers=headers)


def submit(gateway: Gateway, *users: UUID | str, **headers: str) -> str:
    """Submit a job that no worker takes up; its address."""
    answer = batch(gateway, *(users or (USER,)), headers=ASYNC | headers)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def unavailable(answer: TestResponse, name: str = "unavailable") -> None:
    """503 that says when to come back and nothing of what is inside."""
    refused(answer, 503, name)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "hunter2secret" not in answer.text
    assert "_db" not in answer.text


def closed(scheme: str) -> str:
    """The address of a server that is not there."""
    return f"{scheme}://someone:hunter2secret@127.0.0.1:{free_port()}/somewhere"
