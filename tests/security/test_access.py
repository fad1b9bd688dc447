"""Who may see and do what: every address, by every kind of caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.auth.principals import Scope
from tests.issuer import AUDIENCE, ISSUER, SECRET, bearer, secret_token
from tests.platform import Gateway, Platform
from tests.security.conftest import Told

WALL = "access"

ANN, BOB = UUID("1b4e28ba-2fa1-11d2-883f-0016d3cca427"), UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
TITLE = UUID("9afca315-14b2-597b-81c0-07281fbb8bcc")
LIST = "/api/recommendations"


def of_user(user: UUID) -> dict[str, str]:
    return bearer(secret_token(sub=str(user)))


def of_service(*scopes: str, name: str = "newsletter") -> dict[str, str]:
    return bearer(secret_token(sub=name, scope=" ".join(scopes)))


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    platform.title("Alien", media_id=TITLE)
    return platform.gateway(auth="required", jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)


JOB = {"user_ids": [str(ANN), str(BOB)], "limit": 1}
AT_ONCE, AS_A_JOB = {}, {"Prefer": "respond-async"}

# An address, what is sent, and who is let in: 200 and the like; who is not gets 403.
ADDRESSES: dict[str, tuple[str, str, Mapping[str, str], Any]] = {
    "Ann's list": ("GET", f"{LIST}/{ANN}", {}, None),
    "Ann's list by POST": ("POST", f"{LIST}/{ANN}", {}, {"limit": 1}),
    "a preview": ("POST", f"{LIST}/preview", {}, {"limit": 1}),
    "titles like one": ("GET", f"/api/titles/{TITLE}/similar", {}, None),
    "popular titles": ("GET", "/api/titles/popular", {}, None),
    "a batch at once": ("POST", f"{LIST}/batch", AT_ONCE, JOB),
    "a batch as a job": ("POST", f"{LIST}/batch", AS_A_JOB, JOB),
    "a job": ("GET", f"/api/jobs/{uuid4()}", {}, None),
    "a job's results": ("GET", f"/api/jobs/{uuid4()}/results", {}, None),
    "a job's failures": ("GET", f"/api/jobs/{uuid4()}/failures", {}, None),
    "the end of a job": ("POST", f"/api/jobs/{uuid4()}/cancel", {}, None),
    "the models": ("GET", "/api/models", {}, None),
    "a training": ("POST", "/api/models/train", {}, None),
    "an earlier model": ("POST", "/api/models/rollback", {}, {}),
}
CALLERS = {
    "Ann": of_user(ANN),
    "Bob": of_user(BOB),
    "a service without scopes": of_service(),
    "recommendations:read": of_service(Scope.READ),
    "jobs:submit": of_service(Scope.SUBMIT),
    "jobs:queue": of_service(Scope.QUEUE),
    "admin": of_service(Scope.ADMIN),
}
ANYBODY = set(CALLERS)
JOB_SCOPES = {"jobs:submit", "jobs:queue", "admin"}
LET_IN = {
    "Ann's list": {"Ann", "recommendations:read"},
    "Ann's list by POST": {"Ann", "recommendations:read"},
    "a preview": ANYBODY,
    "titles like one": ANYBODY,
    "popular titles": ANYBODY,
    "a batch at once": {"recommendations:read"},
    "a batch as a job": {"jobs:submit"},
    "a job": JOB_SCOPES,
    "a job's results": JOB_SCOPES,
    "a job's failures": JOB_SCOPES,
    "the end of a job": JOB_SCOPES,
    "the models": {"admin"},
    "a training": {"admin"},
    "an earlier model": {"admin"},
}


def send(gateway: Gateway, address: str, headers: Mapping[str, str]) -> Any:
    method, path, more, body = ADDRESSES[address]
    return gateway.client.open(path, method=method, headers={**more, **headers}, json=body)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_lets_in_whom_it_is_for_and_nobody_else(gateway: Gateway, attack: Told, address: str) -> None:
    statuses = {caller: send(gateway, address, headers).status_code for caller, headers in CALLERS.items()}
    assert {caller for caller, status in statuses.items() if status != 403} == LET_IN[address]
    assert all(status in (200, 202, 403, 404) for status in statuses.values()), statuses
    answer = send(gateway, address, {})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="recommendations"')
    attack(f"{address}, without a token", "401")
    if others := sorted(ANYBODY - LET_IN[address]):
        attack(f"{address}, by {', '.join(others)}", "403")


def test_who_is_refused_is_told_which_scope_would_be_needed(gateway: Gateway) -> None:
    answer = send(gateway, "Ann's list", of_user(BOB))
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="recommendations", error="insufficient_scope", scope="recommendations:read"'
    )
    assert answer.get_json()["detail"] == "this needs the scope recommendations:read, or to be this user"


@pytest.mark.parametrize(
    "path", ["/health", "/health/live", "/health/ready", "/openapi.json", "/docs", "/problems/busy"]
)
def test_what_is_no_secret_is_open_to_all_and_also_to_who_shows_nonsense(gateway: Gateway, path: str) -> None:
    for headers in ({}, bearer("nonsense")):
        assert gateway.client.get(path, headers=headers).status_code in (200, 503)


def test_every_address_but_these_wants_to_know_who_asks(gateway: Gateway) -> None:
    paths = gateway.client.get("/openapi.json").get_json()["paths"]
    open_paths = {path for path, item in paths.items() for said in item.values() if "security" not in said}
    assert open_paths == {
        "/health", "/health/live", "/health/ready", "/openapi.json", "/docs", "/problems/{name}",
    }  # fmt: skip


ANOTHERS_LIST = {
    "in capitals": f"{LIST}/{str(ANN).upper()}",
    "with a slash behind": f"{LIST}/{ANN}/",
    "by way of one's own": f"{LIST}/{BOB}/../{ANN}",
    "by way of one's own, encoded": f"{LIST}/{BOB}%2f..%2f{ANN}",
    "with one's own id in the query": f"{LIST}/{ANN}?user_id={BOB}",
    "one's own id and another's": f"{LIST}/{BOB},{ANN}",
    "with an encoded letter": f"{LIST}/%31{str(ANN)[1:]}",
    "with a double slash": f"//api/recommendations/{ANN}",
    "with a semicolon": f"{LIST}/{ANN};{BOB}",
    "without hyphens": f"{LIST}/{ANN.hex}",
    "in braces": f"{LIST}/{{{ANN}}}",
    "as a URN": f"{LIST}/urn:uuid:{ANN}",
}


@pytest.mark.parametrize("tried", ANOTHERS_LIST)
def test_no_way_of_writing_it_leads_to_anothers_list(gateway: Gateway, attack: Told, tried: str) -> None:
    for method in ("GET", "HEAD"):
        answer = gateway.client.open(ANOTHERS_LIST[tried], method=method, headers=of_user(BOB))
        assert answer.status_code in (403, 404, 308)
    attack(f"another's list, {tried}", answer.status_code)


def test_ones_own_list_is_read_however_the_id_is_written(gateway: Gateway) -> None:
    for path in (f"{LIST}/{ANN}", f"{LIST}/{str(ANN).upper()}"):
        assert gateway.client.get(path, headers=of_user(ANN)).status_code == 200
    assert gateway.client.get(f"{LIST}/{ANN}", headers=bearer(secret_token(sub=str(ANN).upper()))).status_code == 200


def test_a_page_that_was_sent_to_its_user_is_not_sent_to_another(platform: Platform, attack: Told) -> None:
    platform.title("Alien")
    gateway = platform.gateway(
        auth="required", jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, reuse_seconds=10
    )
    for _ in range(3):
        page = gateway.client.get(f"{LIST}/{ANN}", headers=of_user(ANN))
    assert page.get_json()["cached"]
    for condition in ({}, {"If-None-Match": page.headers["ETag"]}, {"If-None-Match": "*"}):
        answer = gateway.client.get(f"{LIST}/{ANN}", headers=of_user(BOB) | condition)
        assert answer.status_code == 403 and "ETag" not in answer.headers
    assert page.headers["Cache-Control"] == "private, no-cache"
    attack("another's page that a process still has, and its ETag", 403)


SCOPES: dict[str, Any] = {
    "in capitals": "ADMIN",
    "with a star": "*",
    "with a star behind": "recommendations:*",
    "with a comma": "recommendations:read,admin",
    "as an object": {"admin": True},
    "as a number": 1,
    "as true": True,
    "as a list in a list": [["admin"]],
    "in another claim": None,
    "with a letter that looks alike": "\u0430dmin",
}


@pytest.mark.parametrize("tried", SCOPES)
def test_a_scope_that_is_written_otherwise_is_none(gateway: Gateway, attack: Told, tried: str) -> None:
    token = secret_token(scope=SCOPES[tried], roles=["admin"], permissions="admin")
    assert gateway.client.get("/api/models", headers=bearer(token)).status_code == 403
    attack(f"the scope admin, {tried}", 403)


@pytest.mark.parametrize("claim", ["admin recommendations:read", ["admin"], "other admin"])
def test_scopes_are_words_or_a_list(gateway: Gateway, claim: Any) -> None:
    assert gateway.client.get("/api/models", headers=bearer(secret_token(scope=claim))).status_code == 200


# Jobs.

OWNER, OTHER = of_service(Scope.SUBMIT), of_service(Scope.SUBMIT, Scope.READ, name="billing")
OF_A_JOB = {
    "a job": ("GET", "", {}),
    "a job's results": ("GET", "/results", {}),
    "a job's results as a stream": ("GET", "/results", {"Accept": "application/x-ndjson"}),
    "a job's failures": ("GET", "/failures", {}),
    "the end of a job": ("POST", "/cancel", {}),
}


@pytest.fixture
def job(gateway: Gateway) -> Iterator[str]:
    """The address of a job that the owner has submitted."""
    answer = send(gateway, "a batch as a job", OWNER)
    assert answer.status_code == 202
    yield answer.headers["Location"]
    assert gateway.client.get(answer.headers["Location"], headers=OWNER).get_json()["state"] == "accepted"


@pytest.mark.parametrize("address", OF_A_JOB)
def test_anothers_job_is_answered_like_one_that_is_not_there(
    gateway: Gateway, job: str, attack: Told, address: str
) -> None:
    method, rest, more = OF_A_JOB[address]
    strangers = (OTHER, of_service(Scope.QUEUE, name="another"), of_service(Scope.SUBMIT, name="newsletter "))
    for stranger in strangers:
        theirs, none = (
            gateway.client.open(path + rest, method=method, headers=stranger | more)
            for path in (job, f"/api/jobs/{uuid4()}")
        )
        assert theirs.status_code == none.status_code == 404
        said, expected = theirs.get_json(), none.get_json()
        assert {key for key in said if said[key] != expected[key]} == {"detail", "instance"}  # the id is in both
        assert said["detail"] == f"there is no job {job.rpartition('/')[2]}"
    attack(f"another's: {address}", "404, as if it were not there")


def test_a_job_is_its_owners_and_the_administrators(gateway: Gateway, job: str) -> None:
    for caller in (OWNER, of_service(Scope.ADMIN, name="on call")):
        assert gateway.client.get(job, headers=caller).status_code == 200
        assert gateway.client.get(f"{job}/results", headers=caller).status_code == 409


def test_an_api_key_and_a_token_of_one_name_are_two_callers(gateway: Gateway, job: str, attack: Told) -> None:
    taken = of_service(Scope.SUBMIT, name="token:newsletter")
    assert gateway.client.get(job, headers=taken).status_code == 404
    attack("a name made up to be another's", 404)


def test_anothers_idempotency_key_finds_nothing(gateway: Gateway, attack: Told) -> None:
    key = {"Idempotency-Key": "nightly"}
    theirs = send(gateway, "a batch as a job", OWNER | key).get_json()["job_id"]
    assert send(gateway, "a batch as a job", OWNER | key).get_json()["job_id"] == theirs
    others = send(gateway, "a batch as a job", OTHER | key)
    assert (others.status_code, others.get_json()["job_id"] == theirs) == (202, False)
    attack("another's Idempotency-Key, with the same batch", "202, a job of one's own")
    body = JOB | {"limit": 2}
    method, path, more, _ = ADDRESSES["a batch as a job"]
    third = of_service(Scope.SUBMIT, name="a third")
    assert gateway.client.open(path, method=method, headers=more | third | key, json=body).status_code == 202
    attack("another's Idempotency-Key, with another batch", "202: that it was used before is not told")


def test_a_job_that_came_over_the_queue_is_for_who_may_see_those(gateway: Gateway, attack: Told) -> None:
    from shared.job_states import PUBLISHERS, Order

    job = gateway.parts.jobs.submit(Order([ANN], 1), caller=PUBLISHERS)
    path = f"/api/jobs/{job.job_id}"
    assert gateway.client.get(path, headers=of_service(Scope.QUEUE)).status_code == 200
    assert gateway.client.get(path, headers=of_service(Scope.SUBMIT, name=PUBLISHERS)).status_code == 404
    attack("a job of the queue, by who calls himself publishers", 404)


def test_one_caller_has_so_many_jobs_open_and_no_more(platform: Platform, attack: Told) -> None:
    platform.title("Alien")
    gateway = platform.gateway(
        auth="required", jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, caller_jobs=2
    )
    assert [send(gateway, "a batch as a job", OWNER).status_code for _ in range(2)] == [202, 202]
    third = send(gateway, "a batch as a job", OWNER)
    assert (third.status_code, third.get_json()["type"]) == (429, "/problems/too-much-at-once")
    assert third.get_json()["detail"] == "2 jobs of yours are open already, and 2 of one caller may be"
    assert third.headers["Retry-After"] == "30"
    assert send(gateway, "a batch as a job", OTHER).status_code == 202
    attack("more open jobs than one caller may have", "429 too-much-at-once")
