"""Models, for whoever looks after the service: which there are, a training now, and going back to an earlier one."""

from __future__ import annotations

import logging

from flask import Response

from gateway.auth.authenticator import principal
from gateway.auth.principals import MODELS
from gateway.endpoint import Answer, Endpoints, Link
from gateway.limits import Budget
from gateway.rendering import JSON, json_response
from gateway.routes.listing import NOTHING_ANSWERS
from shared import errors
from shared.broker import PublishTask
from shared.contracts import ROLLBACK_TASK, TRAIN_TASK, RollbackRequest
from shared.documents import ModelsDocument, RollbackDocument, TrainingDocument
from shared.model_store import ModelStore
from shared.rollback import chosen_version

_log = logging.getLogger(__name__)


def routes(models: ModelStore, publish: PublishTask) -> Endpoints:
    """The routes below /api/models."""
    api = Endpoints("models", "Models", "/api/models")
    to_the_models = {"models": Link("models", {})}

    @api.address(
        "",
        "models",
        Answer("The models.", {JSON: ModelsDocument}),
        access=MODELS,
        budget=Budget.JOBS,
        problems=(*NOTHING_ANSWERS, errors.ModelRejected),
    )
    def models_there_are() -> ModelsDocument:
        """Which models there are.

        And which of them is served. `python -m worker models` tells more of each.
        """
        return {"current": models.current_version(), "versions": models.versions()}

    @api.address(
        "/train",
        "train",
        Answer("It is on the queue.", {JSON: TrainingDocument}, status=202, links=to_the_models),
        access=MODELS,
        budget=Budget.JOBS,
        methods=("POST",),
        problems=(errors.BrokerUnavailable,),
    )
    def train() -> Response:
        """Train a model now.

        Whichever worker takes it reads every interaction, searches, and makes the result current. One training runs at
        a time: while another does, this one comes to nothing.
        """
        _log.warning("a training is asked for by %s", principal().name)
        publish(TRAIN_TASK, {})
        document: TrainingDocument = {"task": TRAIN_TASK}
        return json_response(document, 202)

    @api.address(
        "/rollback",
        "rollBack",
        Answer("It is on the queue.", {JSON: RollbackDocument}, status=202, links=to_the_models),
        access=MODELS,
        budget=Budget.JOBS,
        methods=("POST",),
        asks=RollbackRequest,
        problems=(*NOTHING_ANSWERS, errors.ModelRejected, errors.NoSuchModel),
    )
    def roll_back(asked: RollbackRequest) -> Response:
        """Go back to an earlier model.

        A worker makes the version current if it is what was published; otherwise the model in use stays. Gateways and
        workers take it within seconds.
        """
        version = chosen_version(models, asked.version)
        _log.warning("going back to model %s is asked for by %s", version, principal().name)
        publish(ROLLBACK_TASK, {"version": version})
        document: RollbackDocument = {"version": version}
        return json_response(document, 202)

    return api
