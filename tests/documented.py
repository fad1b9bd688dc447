"""A client that holds every answer to what /openapi.json says of it."""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from gateway import openapi
from gateway.rendering import JSON, PROBLEM

TELLING = {"ETag", "Retry-After", "Location", "Preference-Applied"}  # headers that only some answers have


def described(app: Flask) -> dict[str, Any]:
    """What a gateway says of itself; made once."""
    if "described" not in app.extensions:
        app.extensions["described"] = openapi.document(app.extensions["endpoints"])
    document: dict[str, Any] = app.extensions["described"]
    return document


def template(rule: str) -> str:
    """Flask's rule as OpenAPI writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of a document: its path, its method and what is said of it."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def fits(instance: Any, schema: dict[str, Any], document: dict[str, Any], *, closed: bool = True) -> None:
    """Fails unless an instance is one of a schema. closed: and has no field that the schema does not name."""
    components = copy.deepcopy(document["components"])
    for part in components["schemas"].values():
        if closed and "properties" in part:
            part["additionalProperties"] = False
    jsonschema.validate(instance, schema | {"components": components}, format_checker=jsonschema.FormatChecker())


class DocumentedClient(FlaskClient):
    """Flask's client. An answer with a status, media type, field or header that is not documented fails the test."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        answer = super().open(*args, **options)
        rule, method = self._asked(answer), answer.request.method
        operation = described(self.application)["paths"].get(template(rule.rule), {}) if rule else {}
        said = operation.get("get" if method == "HEAD" else method.lower())
        if said is not None:
            self._hold(answer, said["responses"], f"{method} {rule}")
        return answer

    def _asked(self, answer: TestResponse) -> Rule | None:
        try:
            adapter = self.application.url_map.bind_to_environ(answer.request.environ)
            return adapter.match(return_rule=True)[0]
        except HTTPException:
            return None

    def _hold(self, answer: TestResponse, responses: dict[str, Any], asked: str) -> None:
        assert str(answer.status_code) in responses, f"{asked}: {answer.status} is not documented"
        said = responses[str(answer.status_code)]
        document = described(self.application)
        headers = {name: document["components"]["headers"][name] for name in said["headers"]}
        assert (TELLING & set(answer.headers.keys())) <= set(headers), f"{asked}: {answer.headers}"
        missing = [name for name, header in headers.items() if header.get("required") and name not in answer.headers]
        assert not missing, f"{asked}: without {missing}"
        if answer.status_code == 304 or answer.request.method == "HEAD":
            return
        assert answer.mimetype in said["content"], f"{asked}: {answer.mimetype} is not documented"
        schema = said["content"][answer.mimetype]["schema"]
        if answer.mimetype not in (JSON, PROBLEM):
            return
        packed = answer.headers.get("Content-Encoding") == "gzip"
        instance = json.loads(gzip.decompress(answer.data) if packed else answer.data)
        fits(instance, schema, document)
        if answer.mimetype == PROBLEM:
            named = said["content"][PROBLEM]["examples"]
            assert instance["type"].removeprefix("/problems/") in named, f"{asked}: {instance}"
