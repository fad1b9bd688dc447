"""Models over HTTP: which there are, a training, and going back, as the worker does them."""

from __future__ import annotations

from typing import Any

from tests.conftest import Service
from tests.platform import Platform, wait_for

MODELS = "/api/models"


def current(service: Service) -> str:
    version: str = service.client.get(MODELS).body["current"]
    return version


def test_a_model_is_trained_and_gone_back_from_and_to(service: Service) -> None:
    before = current(service)
    asked = service.client.post(f"{MODELS}/train", {}, expect=202)
    assert (asked.status, asked.body) == (202, {"task": "model.train.v1"})
    wait_for(lambda: current(service) != before)
    trained = current(service)
    assert service.client.get(MODELS).body["versions"][-2:] == [before, trained]

    back = service.client.post(f"{MODELS}/rollback", {}, expect=202)
    assert (back.status, back.body) == (202, {"version": before})
    wait_for(lambda: current(service) == before)

    forth = service.client.post(f"{MODELS}/rollback", {"version": trained}, expect=202)
    assert (forth.status, forth.body) == (202, {"version": trained})
    wait_for(lambda: current(service) == trained)


def refused(answer: Any, status: int, name: str) -> str:
    assert (answer.status_code, answer.get_json()["type"]) == (status, f"/problems/{name}"), answer.text
    detail: str = answer.get_json()["detail"]
    return detail


def test_what_is_not_there_is_not_gone_back_to(platform: Platform) -> None:
    gateway = platform.gateway()
    assert gateway.get(MODELS) == {"current": None, "versions": []}
    nothing = gateway.client.post(f"{MODELS}/rollback", json={})
    assert "there are none" in refused(nothing, 404, "model-not-found")
    unknown = gateway.client.post(f"{MODELS}/rollback", json={"version": "20260101T000000Z-00000000"})
    assert "there is no version 20260101T000000Z-00000000" in refused(unknown, 404, "model-not-found")


def test_without_a_broker_it_is_said_that_nothing_was_begun(platform: Platform) -> None:
    gateway = platform.gateway(broker_url="redis://127.0.0.1:1/1", publish_seconds=1)
    refused(gateway.client.post(f"{MODELS}/train"), 503, "unavailable")
