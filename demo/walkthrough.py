"""What a new user sees: nine requests to the running service, each answer checked, then shown."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args
from urllib.parse import urlencode
from uuid import UUID, uuid5

from demo.client import Answer, Client
from demo.errors import WrongAnswer
from demo.movielens import NAMESPACE
from shared.contracts import RecommendationField

UNKNOWN_USER = uuid5(NAMESPACE, "user/nobody")

_JOB_LIMIT = 100_000  # users the service takes in one job
_JOB_SECONDS = 600.0
_LIMIT = 10
_BATCH = "/api/recommendations/batch"
_FIELDS = frozenset(get_args(RecommendationField))


def run(client: Client, users: Sequence[UUID], seen: frozenset[str], check: Callable[[], None]) -> None:
    """Show every kind of request. `users` are at least three known ones, `seen` the first one's titles.

    Raises WrongAnswer at the first answer that is not as promised, and what `check` raises: it is called
    while a job runs, since a job whose worker has died never ends.
    """
    _health(client)
    best = _one_user(client, users[0], seen)
    _filtered(client, users[0], best)
    _similar(client, best)
    _popular(client)
    _preview(client, best)
    _unknown_user(client)
    _few_users(client, users[:3])
    _every_user(client, users[:_JOB_LIMIT], check)


def _health(client: Client) -> None:
    answer = client.get("/health")
    _heading(1, "Is the service well?", "GET /health", answer)
    print(f"   {json.dumps(answer.body)}")


def _one_user(client: Client, user: UUID, seen: frozenset[str]) -> dict[str, Any]:
    """The user's best title."""
    path = f"/api/recommendations/{user}?limit={_LIMIT}&offset=0"
    answer = client.get(path)
    page = answer.body
    titles = _checked_page(page, user)
    again = [title["title"] for title in titles if title["media_id"] in seen]
    _require(not again, f"titles the user has seen are recommended again: {again}")
    _require(page["strategy"] != "popular", f"a known user got the strategy {page['strategy']}")
    _require(page["model_version"], "the answer was made without a model")
    scores = [title["score"] for title in titles]
    _require(scores == sorted(scores, reverse=True), f"the scores do not descend: {scores}")
    _heading(2, "Titles for one user", f"GET {path}", answer)
    print(f"   strategy {page['strategy']}, model {page['model_version']}\n")
    _table(titles)
    return titles[0]


def _filtered(client: Client, user: UUID, best: dict[str, Any]) -> None:
    """Without a genre of the user's best title, so that there are others."""
    genre = "".join(best["genres"][:1])
    path = f"/api/recommendations/{user}?{urlencode({'genres_none': genre, 'year_from': 1990, 'limit': 3})}"
    answer = client.get(path)
    titles = _checked_page(answer.body, user, limit=3)
    wrong = [title["title"] for title in titles if genre in title["genres"] or title["release_year"] < 1990]
    _require(not wrong, f"titles that do not pass the filters: {wrong}")
    for title in titles:
        reason = title["reason"]
        sum_of_shares = sum(cause["share"] for cause in reason["history"]) + reason["history_rest"]
        _require(abs(sum_of_shares - title["collaborative_score"]) < 1e-9, f"shares that do not add up: {reason}")
    _heading(3, f"The same from 1990 on without {genre or 'nothing'}, and why", f"GET {path}", answer)
    _reasons(titles)


def _similar(client: Client, title: dict[str, Any]) -> None:
    path = f"/api/titles/{title['media_id']}/similar?limit=3"
    answer = client.get(path)
    titles = _checked(answer.body, 3)
    _require(title["media_id"] not in {other["media_id"] for other in titles}, "a title is said to be like itself")
    _heading(4, f"More like {_name(title)}", f"GET {path}", answer)
    _table(titles)


def _popular(client: Client) -> None:
    path = "/api/titles/popular?half_life_days=90&limit=3"
    answer = client.get(path)
    titles = _checked(answer.body, 3)
    _heading(5, "What is popular lately, a like or a watch of 90 days ago counting half", f"GET {path}", answer)
    _table(titles)


def _preview(client: Client, liked: dict[str, Any]) -> None:
    path = "/api/recommendations/preview"
    body = {"genres": liked["genres"], "liked": [liked["media_id"]], "limit": 3}
    answer = client.post(path, body)
    titles = _checked(answer.body, 3)
    _require(answer.body["strategy"] != "popular", "what somebody likes made no difference")
    _heading(6, f"Somebody signs up, and likes {_name(liked)}", f"POST {path}", answer)
    _reasons(titles)


def _unknown_user(client: Client) -> None:
    path = f"/api/recommendations/{UNKNOWN_USER}?limit=3"
    answer = client.get(path)
    titles = _checked_page(answer.body, UNKNOWN_USER, limit=3)
    sources = {title["source"] for title in titles}
    _require(answer.body["strategy"] == "popular", f"a stranger got the strategy {answer.body['strategy']}")
    _require(sources == {"popular"}, f"a stranger got titles from {sources}")
    _heading(7, "A user nobody has heard of gets what is popular", f"GET {path}", answer)
    _table(titles)


def _few_users(client: Client, users: Sequence[UUID]) -> None:
    answer = client.post(_BATCH, {"user_ids": [str(user) for user in users], "limit": 3})
    results = answer.body.get("results", {})
    _require(set(results) == {str(user) for user in users}, f"asked for {len(users)} users, got {list(results)}")
    _require(answer.body.get("total_users") == len(users), f"total_users is {answer.body.get('total_users')}")
    _heading(8, f"{len(users)} users in one request", f"POST {_BATCH}", answer)
    for user in users:
        titles = _checked_page(results[str(user)], user, limit=3)
        print(f"   {user}  {'; '.join(_name(title) for title in titles)}")


def _every_user(client: Client, users: Sequence[UUID], check: Callable[[], None]) -> None:
    start = time.perf_counter()
    answer = client.post(
        _BATCH,
        {"user_ids": [str(user) for user in users], "limit": _LIMIT},
        expect=202,
        headers={"Prefer": "respond-async"},
    )
    address = answer.headers.get("Location", "")
    _require(address, "the accepted job has no Location")
    _heading(9, f"All {len(users):,} users as a job", f"POST {_BATCH}  (Prefer: respond-async)", answer)
    print(f"   accepted: {address}")
    job = _follow(client, address, len(users), check)
    seconds = time.perf_counter() - start
    print(f"   {job['done']:,} users in {seconds:.1f} s: {job['done'] / seconds:,.0f} users per second")

    path = f"/api/jobs/{job['job_id']}/results"
    start = time.perf_counter()
    wanted = {str(user) for user in users}
    count = 0
    for page in client.lines(path):
        _checked_page(page, page.get("user_id"), known=wanted)
        wanted.discard(page["user_id"])
        count += 1
    _require(count == len(users) and not wanted, f"{path}: {count} lines, {len(wanted)} users missing")
    print(f"   GET {path}  (NDJSON): one line for each, read in {time.perf_counter() - start:.1f} s")


def _follow(client: Client, address: str, total: int, check: Callable[[], None]) -> Any:
    """Poll the job to its end, telling how far it is once a second."""
    deadline = time.monotonic() + _JOB_SECONDS
    told = time.monotonic()
    while time.monotonic() < deadline:
        check()
        job = client.get(address).body
        if job.get("state") not in ("accepted", "running"):
            right = job.get("state") == "completed" and (job.get("done"), job.get("failed")) == (total, 0)
            _require(right and job.get("total") == total, f"the job ended as {json.dumps(job)}")
            return job
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            print(f"   {job['state']}: {job['done']:,} of {job['total']:,} users")
        time.sleep(0.1)
    raise WrongAnswer(f"The job {address} did not end within {_JOB_SECONDS:.0f} s.")


def _checked_page(
    page: Any, user: UUID | str | None, *, limit: int = _LIMIT, known: set[str] | None = None
) -> list[dict[str, Any]]:
    """The recommendations of a user's page that keeps its promises."""
    _require(page.get("user_id") == str(user), f"asked for {user}, got {page.get('user_id')}")
    _require(known is None or str(user) in known, f"a result for {user}, who was not asked for or came twice")
    return _checked(page, limit)


def _checked(page: Any, limit: int) -> list[dict[str, Any]]:
    """The recommendations of any page that keeps its promises."""
    titles: list[dict[str, Any]] = page.get("recommendations", [])
    of = page.get("user_id") or page.get("media_id") or "everybody"
    _require(page.get("count") == len(titles) == limit, f"{len(titles)} titles for {of}, not {limit}")
    _require(not page.get("degraded"), f"the answer for {of} is degraded")
    for title in titles:
        _require(title.keys() >= _FIELDS, f"a title lacks {sorted(_FIELDS - title.keys())}")
        scores = [title[name] for name in ("score", "content_score", "collaborative_score")]
        _require(all(0 <= score <= 1 for score in scores), f"scores outside 0 to 1: {scores}")
    _require(len({title["media_id"] for title in titles}) == len(titles), f"a title twice for {of}")
    return titles


def _require(right: Any, sentence: str) -> None:
    if not right:
        raise WrongAnswer(sentence[0].upper() + sentence[1:])


def _heading(number: int, question: str, request: str, answer: Answer) -> None:
    print(f"\n{number}. {question}\n   {request}  ->  {answer.status} in {answer.milliseconds:.0f} ms")


def _table(titles: list[dict[str, Any]]) -> None:
    print(f"   {'title':40}  {'year':>4}  {'score':>6}  {'content':>7}  {'collab.':>7}  source")
    for title in titles:
        print(
            f"   {_name(title):40.40}  {title['release_year'] or '':>4}  {title['score']:6.3f}  "
            f"{title['content_score']:7.3f}  {title['collaborative_score']:7.3f}  {title['source']}"
        )


def _reasons(titles: list[dict[str, Any]]) -> None:
    for title in titles:
        print(f"   {_name(title):40.40}  {title['release_year'] or '':>4}  {title['reason']['text']}")


def _name(title: dict[str, Any]) -> str:
    return title["title"] or "(no title)"
