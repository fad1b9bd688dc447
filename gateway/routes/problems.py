"""What the problems mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import WithJsonSchema
from werkzeug.exceptions import NotFound

from gateway.auth.principals import PUBLIC
from gateway.endpoint import LASTING, Answer, Endpoints
from gateway.errors import PROBLEMS
from gateway.rendering import JSON
from shared.documents import ProblemKindDocument
from shared.parsing import Contract


class ProblemPath(Contract):
    """The problem in a path."""

    name: Annotated[str, WithJsonSchema({"type": "string", "enum": list(PROBLEMS)})]


def routes() -> Endpoints:
    """The routes below /problems."""
    api = Endpoints("problems", "Problems", "/problems")

    @api.address(
        "/<name>",
        "explainProblem",
        Answer("What it means.", {JSON: ProblemKindDocument}),
        access=PUBLIC,
        budget=None,
        path=ProblemPath,
        asks=None,
        cache=LASTING,
    )
    def explain(path: ProblemPath) -> ProblemKindDocument:
        """What a problem's type means.

        And what to do about it. The `type` of a problem is the address of this page.
        """
        if path.name not in PROBLEMS:
            raise NotFound(f"there is no problem called {path.name!r}")
        problem = PROBLEMS[path.name]
        return {"type": problem.address, "title": problem.title, "status": problem.status, "advice": problem.advice}

    return api
