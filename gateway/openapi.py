"""The OpenAPI document, from what the endpoints declare and from the contracts they read by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from gateway.auth.principals import Scope
from gateway.endpoint import PATH_EXAMPLES, Answer, Endpoint, Example
from gateway.errors import Problem, of_http, problem_of, tells_when
from gateway.limits import POLICY, STATE
from gateway.rendering import JSON, PROBLEM
from gateway.request_ids import HEADER as REQUEST_ID
from gateway.schemas import Schemas, reached
from shared import __version__
from shared.documents import ProblemDocument
from shared.errors import Forbidden, InvalidRequest, Unauthenticated, Unavailable

_DESCRIPTION: Final = """Personal recommendations of titles: for one user at once, for many as a job.

Whatever goes wrong is a problem document (RFC 9457): decide by its `type`. More fields may come to every answer: pass
over those that you do not know. docs/INTEGRATION.md explains everything at length."""
_TAGS: Final = {
    "Recommendations": "What to show to whom.",
    "Titles": "What is like a title, and what is popular.",
    "Jobs": "Many users' recommendations, made while you wait for something else.",
    "Models": "For whoever looks after the service.",
    "Problems": "What the problems mean.",
    "Health": "For probes and for people who run the service.",
    "Documentation": "This document, and a page that shows it.",
}
_STRING: Final = {"type": "string"}
_SECONDS: Final = {"type": "integer", "minimum": 0}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    REQUEST_ID: {"description": "the request's, in the service's log, too", "required": True, "schema": _STRING},
    "Cache-Control": {"description": "who may keep the answer", "required": True, "schema": _STRING},
    "ETag": {"description": "of the content; the same whether the list was kept or made anew", "schema": _STRING},
    "Retry-After": {"description": "seconds to wait", "schema": _SECONDS},
    "Location": {"description": "the job's address", "schema": {"type": "string", "format": "uri-reference"}},
    STATE: {"description": "of each budget: r, requests left; t, seconds until it begins anew", "schema": _STRING},
    POLICY: {"description": "of each budget: q, requests; w, seconds in which they may be made", "schema": _STRING},
    "WWW-Authenticate": {"description": "what is missing or wrong (RFC 6750)", "schema": _STRING},
    "Preference-Applied": {"description": "respond-async, when it was asked for", "schema": _STRING},
}
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    REQUEST_ID: {
        "name": REQUEST_ID,
        "in": "header",
        "description": "a name for this request: 1 to 128 letters, digits, dots, hyphens and underscores. Without it, "
        "or with another kind of name, one is made",
        "schema": _STRING,
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "the ETag of an answer that you have: 304 when it still holds",
        "schema": _STRING,
    },
}


_CALLERS: Final = "caller"
_SECURITY: Final = {
    _CALLERS: {
        "type": "http",
        "scheme": "bearer",
        "description": "A JSON Web Token of the platform's issuer, or an API key. A user's token reads the user's own "
        "list; services have scopes: " + ", ".join(f"`{scope}`" for scope in Scope) + ".",
    }
}


def document(endpoints: Sequence[Endpoint], *, secured: bool = True) -> dict[str, Any]:
    """The whole API as OpenAPI 3.1. secured: callers have to say who they are.

    Raises KeyError when an answer has a header that is not described here.
    """
    schemas = Schemas(_kinds(endpoints))
    paths: dict[str, dict[str, Any]] = {}
    shown: dict[str, Problem] = {}
    for endpoint in endpoints:
        path = paths.setdefault(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", endpoint.rule), {})
        for method in endpoint.methods:
            problems = _problems(endpoint, method)
            shown |= {problem.name: problem for problem in problems}
            operation = _operation(endpoint, method, problems, schemas)
            if secured and not endpoint.access.public:
                operation["security"] = [{_CALLERS: []}]
            path[method.lower()] = operation
    whole: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Recommendations",
            "version": __version__,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "examples": {name: _example_of(problem) for name, problem in sorted(shown.items())},
        },
    }
    if secured:
        whole["components"]["securitySchemes"] = _SECURITY
    for kind in ("schemas", "headers", "parameters"):
        whole["components"][kind] = reached(kind, whole)
    return whole


def operation_id(endpoint: Endpoint, method: str) -> str:
    """An operation's name: the endpoint's, and for a second method that method behind it."""
    return endpoint.operation_id + ("" if method == endpoint.methods[0] else f"By{method.capitalize()}")


def _operation(endpoint: Endpoint, method: str, problems: Sequence[Problem], schemas: Schemas) -> dict[str, Any]:
    summary, _, description = endpoint.text.partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": operation_id(endpoint, method),
        "tags": [endpoint.tag],
        "summary": summary.rstrip("."),
    }
    if description:
        operation["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", description)  # a line's end here is not the reader's
    operation["parameters"] = list(_parameters(endpoint, method, schemas))
    if endpoint.asks_in(method) == "body":
        content = {"schema": schemas.of(endpoint.asks), "examples": _examples(endpoint)}
        operation["requestBody"] = {"required": True, "content": {JSON: content}}
    operation["responses"] = _responses(endpoint, method, problems, schemas)
    return operation


def _parameters(endpoint: Endpoint, method: str, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if endpoint.path is not None:
        for parameter in schemas.parameters(endpoint.path, "path"):
            yield parameter | {"example": PATH_EXAMPLES[parameter["name"]]}
    if endpoint.asks_in(method) == "query":
        for parameter in schemas.parameters(endpoint.asks, "query"):
            name = parameter["name"]
            examples = {key: {"value": one.asks[name]} for key, one in endpoint.examples.items() if name in one.asks}
            yield parameter | ({"examples": examples} if examples else {})
    for header in endpoint.headers:
        yield {"name": header.name, "in": "header", "description": header.description, "schema": dict(header.schema)}
    if endpoint.is_kept and method == "GET":
        yield {"$ref": "#/components/parameters/If-None-Match"}
    yield {"$ref": f"#/components/parameters/{REQUEST_ID}"}


def _examples(endpoint: Endpoint) -> dict[str, Any]:
    return {name: _request_example(example) for name, example in endpoint.examples.items()}


def _request_example(example: Example) -> dict[str, Any]:
    described = ", ".join(f"{name}: {value}" for name, value in example.headers.items())
    return {"value": dict(example.asks)} | ({"description": f"With {described}"} if described else {})


def _responses(
    endpoint: Endpoint, method: str, problems: Sequence[Problem], schemas: Schemas
) -> dict[str, dict[str, Any]]:
    responses = {str(answer.status): _response(endpoint, method, answer, schemas) for answer in endpoint.answers}
    if endpoint.is_kept and method == "GET":
        headers = _headers("ETag", REQUEST_ID, "Cache-Control")
        responses["304"] = {"description": "What you have still holds.", "headers": headers}
    for status, group in groupby(sorted(problems, key=lambda one: one.status), key=lambda one: one.status):
        of_status = list(group)
        content = {
            "schema": schemas.of(ProblemDocument),
            "examples": {one.name: {"$ref": f"#/components/examples/{one.name}"} for one in of_status},
        }
        when = ["Retry-After"] if any(map(tells_when, of_status)) else []
        challenge = ["WWW-Authenticate"] if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else []
        described = {
            "description": "; ".join(f"`{one.name}`: {one.title}" for one in of_status),
            "headers": _headers(*when, *challenge, *_counts(endpoint), REQUEST_ID, "Cache-Control"),
        }
        given = responses.get(str(status), described | {"content": {}})
        responses[str(status)] = given | {"content": given["content"] | {PROBLEM: content}}
    return dict(sorted(responses.items()))


def _response(endpoint: Endpoint, method: str, answer: Answer, schemas: Schemas) -> dict[str, Any]:
    tag = ["ETag"] if endpoint.is_kept and method == "GET" else []
    response: dict[str, Any] = {
        "description": answer.description,
        "headers": _headers(*answer.headers, *tag, *_counts(endpoint), REQUEST_ID, "Cache-Control"),
        "content": {media_type: {"schema": schemas.of(kind)} for media_type, kind in answer.content.items()},
    }
    if answer.links:
        response["links"] = {
            name: {"operationId": link.operation_id, "parameters": dict(link.parameters)}
            for name, link in answer.links.items()
        }
    return response


def _counts(endpoint: Endpoint) -> Sequence[str]:
    """What tells how much of a budget is left."""
    return () if endpoint.budget is None else (STATE, POLICY)


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names if _HEADERS[name]}


def _problems(endpoint: Endpoint, method: str) -> list[Problem]:
    """What may go wrong: what the endpoint says, and what reading a request of its kind may bring."""
    found = [problem_of(kind) for kind in endpoint.problems]
    if not endpoint.access.public:
        found += map(problem_of, (Unauthenticated, Forbidden, Unavailable))  # the last: when keys cannot be had
    if endpoint.budget is not None:
        found.append(of_http(HTTPStatus.TOO_MANY_REQUESTS))
    if endpoint.path is not None:
        found.append(of_http(HTTPStatus.NOT_FOUND))
    if endpoint.asks is not None:
        found.append(problem_of(InvalidRequest))
    if endpoint.asks_in(method) == "query":
        found.append(of_http(HTTPStatus.REQUEST_URI_TOO_LONG))
    if endpoint.asks_in(method) == "body":
        found += map(
            of_http,
            (
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.REQUEST_TIMEOUT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            ),
        )
    return [*dict.fromkeys(found), of_http(HTTPStatus.INTERNAL_SERVER_ERROR)]


def _example_of(problem: Problem) -> dict[str, Any]:
    value = {
        "type": problem.address,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.advice,
        "instance": "/api/...",
    }
    return {"summary": problem.title, "value": value}


def _kinds(endpoints: Iterable[Endpoint]) -> list[Any]:
    """Every type that has a schema."""
    kinds: dict[Any, None] = {ProblemDocument: None}
    for endpoint in endpoints:
        answered = [kind for answer in endpoint.answers for kind in answer.content.values()]
        kinds |= dict.fromkeys(kind for kind in (endpoint.path, endpoint.asks, *answered) if kind is not None)
    return list(kinds)
