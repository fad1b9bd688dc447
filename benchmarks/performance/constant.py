"""What a Flask route costs at the least: constant bytes, under the gateway's own gunicorn."""

from __future__ import annotations

from flask import Flask, Response


class _Nothing:
    """Stands where the gateway keeps its parts, which gateway/gunicorn.conf.py closes when a process ends."""

    def close(self) -> None:
        """There is nothing to close."""


def create_app(length: int) -> Flask:
    """/constant answers with `length` bytes."""
    app = Flask(__name__, static_folder=None)
    app.extensions["parts"] = _Nothing()
    body = b'"' + b"x" * max(0, length - 2) + b'"'

    @app.get("/constant")
    def constant() -> Response:
        return Response(body, mimetype="application/json")

    return app
