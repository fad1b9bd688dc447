"""Puts the gateway together."""

from __future__ import annotations

import logging

from flask import Flask

from gateway import addresses, compression, cors, deadlines, errors, limits, request_ids, security_headers
from gateway.auth.authenticator import EXTENSION, Authenticator
from gateway.recent_pages import RecentPages
from gateway.routes import documentation, jobs, models, operations, problems, recommendations, titles
from shared import broker, health
from shared.parts import Parts
from shared.setting_values import entries
from shared.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The gateway as a WSGI application, ready to answer. Without `settings` they come from the environment.

    Call it in the process that serves: it starts a thread and opens connections. Raises ConfigurationError.
    """
    settings = settings or Settings.from_environment()
    auth = Authenticator(settings)
    queue = broker.celery_app(settings, "gateway")
    parts = Parts.build(
        settings,
        processes=settings.web_concurrency,
        threads=settings.web_threads,
        publish=broker.publisher(queue),
    )
    parts.start()
    auth.start()

    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.request_bytes
    app.url_map.strict_slashes = False
    app.url_map.converters["user"] = recommendations.UserSegment
    app.extensions |= {"parts": parts, EXTENSION: auth}
    request_ids.register(app)
    deadlines.register(app, settings.response_seconds)
    compression.register(app)
    cors.register(app, entries(settings.cors_origins))
    security_headers.register(app)
    errors.register(app)
    addresses.register(app, entries(settings.trusted_proxies))
    recent = RecentPages(settings.page_seconds)
    kinds = [
        recommendations.routes(
            parts.recommender,
            parts.discovery,
            parts.jobs,
            recent,
            users_at_once=settings.batch_sync_users,
            users_per_job=settings.job_users,
        ),
        titles.routes(parts.discovery, recent),
        jobs.routes(parts.jobs, parts.results),
        models.routes(parts.models, broker.task_publisher(queue)),
        problems.routes(),
        operations.routes(health.checks(parts, lambda: broker.ping(queue)) | auth.checks(), health.VITAL),
    ]
    limits.register(app, parts.redis, settings, {name: one for kind in kinds for name, one in kind.budgets.items()})
    declared = [endpoint for kind in kinds for endpoint in kind.declared]
    kinds.append(documentation.routes(declared, secured=auth.is_required))
    for kind in kinds:
        app.register_blueprint(kind)
    app.extensions["endpoints"] = [endpoint for kind in kinds for endpoint in kind.declared]
    logging.getLogger(__name__).info("gateway is ready")
    return app


def close(app: Flask) -> None:
    """Stop what an application runs in the background, and close its connections."""
    app.extensions[EXTENSION].stop()
    app.extensions["parts"].close()
