"""The whole service as a user runs it: gunicorn and a Celery worker on MovieLens."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import redis
from celery import Celery

from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, TRAIN_TASK, WORK_QUEUE
from shared.model_store import ModelStore
from tests.conftest import Service
from tests.platform import wait_for

ASYNC = {"Prefer": "respond-async"}
BATCH = "/api/recommendations/batch"
PATIENCE = 60.0  # s
HALF_A_BODY = (
    f"POST {BATCH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
)


def submit(service: Service, users: list[UUID], **fields: Any) -> str:
    body = {"user_ids": [str(user) for user in users]} | fields
    answer = service.client.post(BATCH, body, expect=202, headers=ASYNC)
    assert answer.headers["Location"] == f"/api/jobs/{answer.body['job_id']}"
    assert int(answer.headers["Retry-After"]) > 0
    return answer.body["job_id"]


def finished(service: Service, job_id: str) -> dict[str, Any]:
    """Poll until the job is over; progress never goes back on the way."""
    deadline, done = time.monotonic() + PATIENCE, 0
    while time.monotonic() < deadline:
        job = service.client.get(f"/api/jobs/{job_id}").body
        assert done <= job["done"] + job["failed"] <= job["total"]
        done = job["done"] + job["failed"]
        if job["state"] not in ("accepted", "running"):
            return job
        time.sleep(0.1)
    pytest.fail(f"job {job_id} did not end within {PATIENCE:g} s: {job}")


def exists(service: Service, job_id: str) -> bool:
    return service.client.get(f"/api/jobs/{job_id}", expect=None).status == 200


def page(service: Service, user: UUID | str, limit: int = 10) -> dict[str, Any]:
    return service.client.get(f"/api/recommendations/{user}?limit={limit}").body


def queue(service: Service) -> Celery:
    """What another service would make to publish tasks: nothing of ours but the broker's address."""
    return Celery(broker=service.platform.broker_url, set_as_current=False)


def test_a_real_user_gets_titles_with_both_scores(service: Service) -> None:
    user = service.sample.users[0].id
    body = page(service, user)
    assert (body["strategy"], body["degraded"], body["count"]) == ("hybrid", False, 10)
    assert all(r["title"] and r["genres"] for r in body["recommendations"])
    assert any(r["content_score"] for r in body["recommendations"])
    assert any(r["collaborative_score"] for r in body["recommendations"])
    rows = service.platform.sql("engagement_db", "SELECT media_id FROM interaction WHERE user_id = %s", str(user))
    assert not {r["media_id"] for r in body["recommendations"]} & {media_id for (media_id,) in rows}


def test_pages_of_a_list_meet_without_gap_or_overlap_and_end_at_its_depth(service: Service) -> None:
    user = service.sample.users[1].id

    def titles(limit: int, offset: int) -> list[str]:
        path = f"/api/recommendations/{user}?limit={limit}&offset={offset}"
        return [r["media_id"] for r in service.client.get(path).body["recommendations"]]

    whole = titles(100, 0) + titles(100, 100)
    assert len(set(whole)) == len(whole) == 200
    assert [t for offset in range(0, 200, 30) for t in titles(30, offset)] == whole
    assert titles(100, 200) == titles(100, 5000) == []


def test_a_thousand_users_are_accepted_at_once_done_and_equal_to_what_each_gets_alone(service: Service) -> None:
    users = [user.id for user in service.sample.users]
    users += [uuid4() for _ in range(1000 - len(users))]
    job_id = submit(service, users)
    job = finished(service, job_id)
    assert (job["state"], job["total"], job["done"], job["failed"]) == ("completed", 1000, 1000, 0)

    lines = list(service.client.lines(f"/api/jobs/{job_id}/results"))
    assert [line["user_id"] for line in lines] == [str(user) for user in users]
    for line in lines:
        assert line == page(service, line["user_id"]) | {"cached": False}

    seen, cursor = [], None
    while True:
        path = f"/api/jobs/{job_id}/results?limit=300" + (f"&cursor={cursor}" if cursor else "")
        body = service.client.get(path).body
        seen += body["results"]
        if not (cursor := body["next_cursor"]):
            break
    assert seen == lines


def test_more_users_than_are_answered_at_once_become_a_job_by_themselves(service: Service) -> None:
    users = [str(uuid4()) for _ in range(51)]
    assert service.client.post(BATCH, {"user_ids": users}, expect=202).body["total"] == 51
    few = service.client.post(BATCH, {"user_ids": users[:50], "limit": 3}).body
    assert few["total_users"] == 50
    assert few["results"][users[0]]["count"] == 3


def test_a_task_that_another_service_publishes_is_the_same_work(service: Service) -> None:
    users = [user.id for user in service.sample.users[:30]]
    job_id = str(uuid4())
    message = {"job_id": job_id, "user_ids": [str(user) for user in users], "limit": 4}
    for _ in range(3):  # the publisher is not sure that it was sent
        queue(service).send_task(BATCH_TASK, kwargs=message, queue=QUEUE)
    wait_for(lambda: exists(service, job_id))
    assert finished(service, job_id)["done"] == 30
    lines = list(service.client.lines(f"/api/jobs/{job_id}/results"))
    assert lines == [page(service, user, limit=4) | {"cached": False} for user in users]


def test_a_batch_with_bad_arguments_is_a_rejected_job_and_the_next_one_runs(service: Service) -> None:
    job_id = str(uuid4())
    queue(service).send_task(BATCH_TASK, kwargs={"job_id": job_id, "user_ids": [], "limit": 0}, queue=QUEUE)
    wait_for(lambda: exists(service, job_id))
    job = finished(service, job_id)
    assert (job["state"], job["problem"]["type"]) == ("rejected", "/problems/invalid-request")
    assert [error["field"] for error in job["problem"]["errors"]] == ["user_ids", "limit"]
    assert finished(service, submit(service, [uuid4()]))["state"] == "completed"


def test_a_batch_whose_job_id_cannot_be_read_is_a_dead_letter_and_the_next_one_runs(service: Service) -> None:
    with redis.Redis.from_url(service.platform.broker_url) as client:
        dead = client.llen(QUEUE + DEAD_SUFFIX)
        queue(service).send_task(BATCH_TASK, args=[str(uuid4()), [str(uuid4())], 10], queue=QUEUE)
        wait_for(lambda: client.llen(QUEUE + DEAD_SUFFIX) > dead)
        assert "args must be an empty list" in json.loads(client.lindex(QUEUE + DEAD_SUFFIX, 0))["reason"]
    assert finished(service, submit(service, [uuid4()]))["state"] == "completed"


def test_a_new_model_is_taken_up_without_a_restart_or_a_failed_request(service: Service) -> None:
    user = service.sample.users[2].id
    before = page(service, user)["model_version"]
    statuses: set[int] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.add(service.client.get(f"/api/recommendations/{user}", expect=None).status)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    queue(service).send_task(TRAIN_TASK, queue=WORK_QUEUE)
    store = ModelStore.at(str(service.platform.model_store), cache=service.platform.model_store)
    try:
        wait_for(lambda: store.current_version() != before)
        after = store.current_version()
        wait_for(lambda: {page(service, user)["model_version"] for _ in range(20)} == {after})
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert statuses == {200}


def test_clients_that_stop_sending_or_taking_do_not_hold_the_gateway_for_long(service: Service) -> None:
    """More of them than there are threads; CLIENT_SECONDS is 1 here."""
    job_id = submit(service, [user.id for user in service.sample.users], limit=100)
    assert finished(service, job_id)["state"] == "completed"
    address = ("127.0.0.1", urlsplit(service.url).port)
    whole_results = f"GET /api/jobs/{job_id}/results HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n"
    with contextlib.ExitStack() as clients:
        for request in [HALF_A_BODY, whole_results] * 4:
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(10)
            client.connect(address)
            client.sendall(request.encode())
        assert service.client.get("/health/live").body == {"status": "alive"}


def test_a_body_that_stops_coming_is_answered_408(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port), timeout=10) as client:
        client.sendall(HALF_A_BODY.encode())
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 408 ")
    assert "/problems/too-slow" in answer


def test_readiness_shows_every_part(service: Service) -> None:
    body = service.client.get("/health/ready").body
    assert body["status"] == "ready"
    assert {name: check["state"] for name, check in body["checks"].items()} == dict.fromkeys(
        ["user_db", "catalog_db", "engagement_db", "jobs_db", "redis", "broker", "catalogue", "model", "worker"], "up"
    )
