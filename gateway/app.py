"""Puts the gateway together."""

from __future__ import annotations

import logging

from flask import Flask, request

from gateway import errors, rendering
from gateway.routes import jobs, operations, recommendations
from shared import broker, health
from shared.parts import Parts
from shared.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The gateway as a WSGI application, ready to answer. Without `settings` they come from the environment.

    Call it in the process that serves: it starts a thread and opens connections. Raises ConfigurationError.
    """
    settings = settings or Settings.from_environment()
    queue = broker.celery_app(settings, "gateway")
    parts = Parts.build(
        settings,
        processes=settings.web_concurrency,
        threads=settings.web_threads,
        publish=broker.publisher(queue),
    )
    parts.start()

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.request_bytes
    app.url_map.strict_slashes = False
    app.url_map.converters["user"] = recommendations.UserSegment
    app.extensions["parts"] = parts
    app.before_request(lambda: rendering.bound_client(request, settings.client_seconds))
    errors.register(app)
    app.register_blueprint(
        recommendations.routes(
            parts.recommender,
            parts.jobs,
            users_at_once=settings.batch_sync_users,
            users_per_job=settings.job_users,
        )
    )
    app.register_blueprint(jobs.routes(parts.jobs, parts.results))
    app.register_blueprint(operations.routes(health.checks(parts, lambda: broker.ping(queue)), health.VITAL))
    logging.getLogger(__name__).info("gateway is ready")
    return app
