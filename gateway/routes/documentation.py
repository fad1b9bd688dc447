"""What this service says of itself: for programs, and as a page for people that needs no other server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import flask_swagger_ui
from flask import Response, render_template_string, send_from_directory

from gateway import openapi
from gateway.auth.principals import PUBLIC
from gateway.endpoint import LASTING, Answer, Endpoint, Endpoints
from gateway.rendering import JSON

HTML: Final = "text/html"
_SWAGGER_UI: Final = Path(flask_swagger_ui.__file__).parent / "dist"
_FILES: Final = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Recommendations</title>
  <link rel="icon" href="{{ url_for('.file', name='favicon-32x32.png') }}">
  <link rel="stylesheet" href="{{ url_for('.file', name='swagger-ui.css') }}">
</head>
<body>
  <div id="api" data-document="{{ url_for('.describe') }}"></div>
  <noscript>This page needs JavaScript. <a href="{{ url_for('.describe') }}">What it shows</a> does not.</noscript>
  <script src="{{ url_for('.file', name='swagger-ui-bundle.js') }}"></script>
  <script src="{{ url_for('.file', name='start.js') }}"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: document.getElementById("api").dataset.document,
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""


def routes(others: Sequence[Endpoint], *, secured: bool) -> Endpoints:
    """/openapi.json and /docs. others: the endpoints that they describe beside themselves. secured: whether callers
    have to say who they are."""
    api = Endpoints("documentation", "Documentation")

    @cache
    def described() -> dict[str, Any]:
        return openapi.document([*others, *api.declared], secured=secured)

    @api.address(
        "/openapi.json",
        "describe",
        Answer("OpenAPI 3.1.", {JSON: dict[str, Any]}),
        access=PUBLIC,
        budget=None,
        asks=None,
        cache=LASTING,
    )
    def describe() -> Mapping[str, Any]:
        """This document."""
        return described()

    @api.address(
        "/docs", "page", Answer("The page.", {HTML: str}), access=PUBLIC, budget=None, asks=None, cache=LASTING
    )
    def page() -> Response:
        """This document as a page, where requests can be tried."""
        return Response(render_template_string(_PAGE), content_type=f"{HTML}; charset=utf-8")

    @api.get("/docs/<name>")
    def file(name: str) -> Response:
        if name == "start.js":
            response = Response(_START, content_type="text/javascript; charset=utf-8")
        else:
            response = send_from_directory(_SWAGGER_UI, name if name in _FILES else "")
        response.headers["Cache-Control"] = LASTING
        return response

    return api
