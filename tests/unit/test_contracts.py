"""What crosses the borders: which input is taken, which is refused, and what the refusal says. What may be asked of a
list is in test_list_contracts.py."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from shared.answers import rfc3339
from shared.contracts import (
    Addressed,
    BatchMessage,
    BatchRequest,
    BlockMessage,
    ChunkMessage,
    JobPath,
    NoQuery,
    ResultsQuery,
    TitlePath,
    TrainMessage,
    UserPath,
    parse_batch,
)
from shared.errors import InvalidRequest
from shared.parsing import parse
from tests.contracts import ASKS_NOTHING, JOB, USER, refusal

NOT_A_UUID, NOT_A_TIME, NOT_AN_ADDRESS = "not a UUID such as", "not a time with its offset", "not an address such as"
REPLY, CALLBACK = "recommendations.reply.nightly", "https://hooks.example.com/done?of=it"
SIX = datetime(2026, 11, 23, 4, tzinfo=UTC)  # in Helsinki
PLAIN = ASKS_NOTHING | {"limit": 10, "include_seen": False, "deadline": None, "reply_to": None, "callback_url": None}


GOOD = {
    "user": (UserPath, {"user_id": USER}, {"user_id": UUID(USER)}),
    "title": (TitlePath, {"media_id": USER}, {"media_id": UUID(USER)}),
    "job": (JobPath, {"job_id": JOB}, {"job_id": UUID(JOB)}),
    "results-defaults": (ResultsQuery, {}, {"limit": 100, "cursor": None}),
    "results-most": (ResultsQuery, {"limit": 1000}, {"limit": 1000, "cursor": None}),
    "results-cursor": (ResultsQuery, {"cursor": "A" * 64}, {"limit": 100, "cursor": "A" * 64}),
    "nothing": (NoQuery, {}, {}),
    "batch-defaults": (BatchRequest, {"user_ids": [USER]}, PLAIN | {"user_ids": [UUID(USER)]}),
    "batch-most": (
        BatchRequest,
        {"user_ids": [USER], "limit": 100},
        PLAIN | {"user_ids": [UUID(USER)], "limit": 100},
    ),
    "batch-of-a-filtered-list": (
        BatchRequest,
        {"user_ids": [USER], "genres_none": ["Horror"], "include_seen": True, "fields": ["media_id"]},
        PLAIN | {"user_ids": [UUID(USER)], "genres_none": ["Horror"], "include_seen": True, "fields": ["media_id"]},
    ),
    "batch-as-a-job": (
        BatchRequest,
        {"user_ids": [USER], "deadline": "2026-11-23T06:00:00+02:00", "reply_to": REPLY, "callback_url": CALLBACK},
        PLAIN | {"user_ids": [UUID(USER)], "deadline": SIX, "reply_to": REPLY, "callback_url": CALLBACK},
    ),
    "batch-deadline-in-small-letters": (
        BatchRequest,
        {"user_ids": [USER], "deadline": "2026-11-23t04:00:00.000z"},
        PLAIN | {"user_ids": [UUID(USER)], "deadline": SIX},
    ),
    "batch-message": (
        BatchMessage,
        {"job_id": JOB, "user_ids": [USER], "limit": 1},
        PLAIN | {"job_id": UUID(JOB), "user_ids": [UUID(USER)], "limit": 1},
    ),
    "addressed": (Addressed, {"job_id": JOB, "user_ids": 7}, {"job_id": UUID(JOB)}),
    "train": (TrainMessage, {}, {}),
    "block-message": (BlockMessage, {"training_id": JOB, "block_no": 0}, {"training_id": UUID(JOB), "block_no": 0}),
    "chunk-message": (ChunkMessage, {"job_id": JOB, "chunk_no": 0}, {"job_id": UUID(JOB), "chunk_no": 0}),
}


@pytest.mark.parametrize(("contract", "data", "expected"), GOOD.values(), ids=GOOD)
def test_good_input_is_taken_with_its_defaults(contract: type, data: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parse(contract, data).model_dump() == expected


TITLES, RESULTS = "1 to 100", "1 to 1000"
BATCH_FIELDS = ", ".join([*ASKS_NOTHING, "user_ids, limit, include_seen, deadline, reply_to, callback_url"])
NO_NUMBER, TOO_SMALL, TOO_LARGE = "not a whole number", "greater than or equal to", "less than or equal to"

# name: contract, what came, the field that is named, what is said of it, what is allowed
BAD = {
    "user-is-a-number": (UserPath, {"user_id": "42"}, "user_id", NOT_A_UUID, None),
    "job-is-a-word": (JobPath, {"job_id": "latest"}, "job_id", NOT_A_UUID, None),
    "results-limit-0": (ResultsQuery, {"limit": 0}, "limit", TOO_SMALL, RESULTS),
    "results-limit-1001": (ResultsQuery, {"limit": 1001}, "limit", TOO_LARGE, RESULTS),
    "results-by-offset": (ResultsQuery, {"offset": 1}, "offset", "unknown field", "limit, cursor"),
    "cursor-too-long": (ResultsQuery, {"cursor": "A" * 65}, "cursor", "at most 64", "at most 64 characters"),
    "results-limit-text": (ResultsQuery, {"limit": "10"}, "limit", NO_NUMBER, RESULTS),
    "cursor-number": (ResultsQuery, {"cursor": 7}, "cursor", "valid string", "at most 64 characters"),
    "a-query-where-none-belongs": (NoQuery, {"limit": 5}, "limit", "unknown field", "no fields"),
    "users-missing": (BatchRequest, {}, "user_ids", "field required", "1 or more"),
    "users-null": (BatchRequest, {"user_ids": None}, "user_ids", "valid list", "1 or more"),
    "users-no-list": (BatchRequest, {"user_ids": USER}, "user_ids", "valid list", "1 or more"),
    "users-an-object": (BatchRequest, {"user_ids": {USER: 1}}, "user_ids", "valid list", "1 or more"),
    "users-empty": (BatchRequest, {"user_ids": []}, "user_ids", "at least 1", "1 or more"),
    "users-with-a-number": (BatchRequest, {"user_ids": [USER, 7]}, "user_ids[1]", NOT_A_UUID, None),
    "users-with-null": (BatchRequest, {"user_ids": [None]}, "user_ids[0]", NOT_A_UUID, None),
    "users-nested": (BatchRequest, {"user_ids": [[USER]]}, "user_ids[0]", NOT_A_UUID, None),
    "body-limit-true": (BatchRequest, {"user_ids": [USER], "limit": True}, "limit", NO_NUMBER, TITLES),
    "body-limit-text": (BatchRequest, {"user_ids": [USER], "limit": "10"}, "limit", NO_NUMBER, TITLES),
    "body-limit-float": (BatchRequest, {"user_ids": [USER], "limit": 10.5}, "limit", NO_NUMBER, TITLES),
    "body-limit-nan": (BatchRequest, {"user_ids": [USER], "limit": math.nan}, "limit", NO_NUMBER, TITLES),
    "body-limit-infinite": (BatchRequest, {"user_ids": [USER], "limit": math.inf}, "limit", NO_NUMBER, TITLES),
    "body-limit-null": (BatchRequest, {"user_ids": [USER], "limit": None}, "limit", NO_NUMBER, TITLES),
    "body-limit-huge": (BatchRequest, {"user_ids": [USER], "limit": 10**400}, "limit", TOO_LARGE, TITLES),
    "body-limit-101": (BatchRequest, {"user_ids": [USER], "limit": 101}, "limit", TOO_LARGE, TITLES),
    "body-limit-0": (BatchRequest, {"user_ids": [USER], "limit": 0}, "limit", TOO_SMALL, TITLES),
    "body-offset": (BatchRequest, {"user_ids": [USER], "offset": 1}, "offset", "unknown", BATCH_FIELDS),
    "body-unknown": (BatchRequest, {"user_ids": [USER], "job_id": JOB}, "job_id", "unknown", BATCH_FIELDS),
    "message-without-job": (BatchMessage, {"user_ids": [USER]}, "job_id", "field required", None),
    "message-bad-job": (BatchMessage, {"job_id": "x", "user_ids": [USER]}, "job_id", NOT_A_UUID, None),
    "message-unknown": (
        BatchMessage,
        {"job_id": JOB, "user_ids": [USER], "priority": 1},
        "priority",
        "unknown field",
        f"{BATCH_FIELDS}, job_id",
    ),
    "block-missing": (BlockMessage, {"training_id": JOB}, "block_no", "field required", "0 or more"),
    "block-no-path": (BlockMessage, {"training_id": "../models", "block_no": 0}, "training_id", "not a UUID", None),
    "chunk-missing": (ChunkMessage, {"job_id": JOB}, "chunk_no", "field required", "0 or more"),
    "chunk-minus-1": (ChunkMessage, {"job_id": JOB, "chunk_no": -1}, "chunk_no", TOO_SMALL, "0 or more"),
    "chunk-text": (ChunkMessage, {"job_id": JOB, "chunk_no": "0"}, "chunk_no", "valid integer", "0 or more"),
    "chunk-too-large": (ChunkMessage, {"job_id": JOB, "chunk_no": 2**31}, "chunk_no", "less than", "0 or more"),
    "train-argument": (TrainMessage, {"now": True}, "now", "unknown field", "no fields"),
    **{
        f"deadline-{name}": (BatchRequest, {"user_ids": [USER], "deadline": value}, "deadline", NOT_A_TIME, None)
        for name, value in {
            "number": 1_800_000_000,
            "without-offset": "2026-11-23T06:00:00",
            "date": "2026-11-23",
            "february-30": "2026-02-30T06:00:00Z",
            "before-the-first-year": "0001-01-01T00:00:00+23:59",
            "after-the-last-year": "9999-12-31T23:59:59-23:59",
            "arabic-digits": "2026-11-23T0\u0666:00:00Z",
            "empty": "",
            "list": [],
        }.items()
    },
    **{
        f"reply-to-{name}": (BatchRequest, {"user_ids": [USER], "reply_to": value}, "reply_to", message, None)
        for name, value, message in [
            ("our-own-queue", "recommendations.work", "match pattern"),
            ("elsewhere", "celery", "match pattern"),
            ("nameless", "recommendations.reply.", "match pattern"),
            ("newline", "recommendations.reply.a\n", "match pattern"),
            ("too-long", "recommendations.reply." + "a" * 65, "match pattern"),
            ("number", 7, "valid string"),
        ]
    },
    **{
        f"callback-{name}": (
            BatchRequest,
            {"user_ids": [USER], "callback_url": value},
            "callback_url",
            message,
            "at most 2000 characters",
        )
        for name, value, message in [
            ("ftp", "ftp://hooks.example.com/", NOT_AN_ADDRESS),
            ("relative", "/done", NOT_AN_ADDRESS),
            ("without-host", "https:///done", NOT_AN_ADDRESS),
            ("user", "https://user:pass@hooks.example.com/", NOT_AN_ADDRESS),
            ("password", "https://:pass@hooks.example.com/", NOT_AN_ADDRESS),
            ("blank", "https://hooks.example.com/a b", NOT_AN_ADDRESS),
            ("newline", "https://hooks.example.com/\r\nHost: x", NOT_AN_ADDRESS),
            ("port-0", "https://hooks.example.com:0/", NOT_AN_ADDRESS),
            ("port-out-of-range", "https://hooks.example.com:99999/", "port out of range"),
            ("broken-brackets", "https://[::1/", "invalid IPv6"),
            ("too-long", "https://hooks.example.com/" + "a" * 2000, "at most 2000"),
            ("number", 7, NOT_AN_ADDRESS),
        ]
    },
    "chunk-false": (ChunkMessage, {"job_id": JOB, "chunk_no": False}, "chunk_no", "valid integer", "0 or more"),
}


@pytest.mark.parametrize(("contract", "data", "field", "message", "allowed"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_its_field_and_what_is_allowed(
    contract: type, data: dict[str, Any], field: str, message: str, allowed: str | None
) -> None:
    error = refusal(contract, data)
    [problem] = error.problems
    assert (problem.field, problem.allowed) == (field, allowed)
    assert message in problem.message
    assert str(error) == f"{field}: {problem.message}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(USER, id="small-letters"),
        pytest.param(USER.upper(), id="capitals"),
        pytest.param("1B4e28bA-2fa1-11D2-883f-0016d3CCa427", id="mixed-case"),
        pytest.param("00000000-0000-0000-0000-000000000000", id="nil"),
        pytest.param("ffffffff-ffff-ffff-ffff-ffffffffffff", id="of-no-known-version"),
    ],
)
def test_a_uuid_is_taken_in_its_canonical_form_whatever_its_case(text: str) -> None:
    assert str(parse(UserPath, {"user_id": text}).user_id) == text.lower()
    assert parse(BatchRequest, {"user_ids": [text]}).user_ids == [UUID(text)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(USER.replace("-", ""), id="without-hyphens"),
        pytest.param(f"{{{USER}}}", id="in-braces"),
        pytest.param(f"urn:uuid:{USER}", id="urn"),
        pytest.param(f" {USER}", id="blank-before"),
        pytest.param(f"{USER}\n", id="newline-after"),
        pytest.param(USER[:-1], id="too-short"),
        pytest.param(USER + "0", id="too-long"),
        pytest.param("1b4e28ba2-fa1-11d2-883f-0016d3cca427", id="hyphens-misplaced"),
        pytest.param(USER.replace("1", "g", 1), id="no-hexadecimal"),
        pytest.param(USER.replace("1", "１", 1), id="full-width-digit"),  # noqa: RUF001
        pytest.param("", id="empty"),
        pytest.param("\ud800", id="half-a-surrogate-pair"),
        pytest.param(UUID(USER).int, id="as-a-number"),
        pytest.param(UUID(USER).bytes, id="as-bytes"),
        pytest.param(None, id="null"),
        pytest.param([USER], id="in-a-list"),
    ],
)
def test_any_other_form_of_a_uuid_is_refused(value: Any) -> None:
    for contract, data, field in (
        (UserPath, {"user_id": value}, "user_id"),
        (TitlePath, {"media_id": value}, "media_id"),
        (JobPath, {"job_id": value}, "job_id"),
        (BatchRequest, {"user_ids": [USER], "exclude": [USER, value]}, "exclude[1]"),
        (BatchRequest, {"user_ids": [USER, value]}, "user_ids[1]"),
    ):
        [problem] = refusal(contract, data).problems
        assert problem.field == field
        assert NOT_A_UUID in problem.message


def test_every_wrong_field_is_named_at_once() -> None:
    error = refusal(BatchRequest, {"user_ids": [USER, "x"], "limit": 0, "colour": "red"})
    assert [problem.field for problem in error.problems] == ["user_ids[1]", "limit", "colour"]
    assert "user_ids[1]" in str(error)
    assert "limit" in str(error)
    assert "colour" in str(error)


def test_the_refusal_of_a_hundred_thousand_wrong_users_stays_short() -> None:
    error = refusal(BatchRequest, {"user_ids": ["x"] * 100_000})
    assert 1 <= len(error.problems) <= 20
    assert len(str(error)) < 1000


def test_more_users_than_allowed_are_refused_with_the_number_allowed() -> None:
    data = {"user_ids": [USER, JOB, USER.upper(), JOB]}
    assert len(parse_batch(BatchRequest, data, most_users=2).user_ids) == 4  # two users, each listed twice
    with pytest.raises(InvalidRequest) as caught:
        parse_batch(BatchRequest, data, most_users=1)
    [problem] = caught.value.problems
    assert (problem.field, problem.allowed) == ("user_ids", "1 to 1 users")
    assert "2 users are too many" in problem.message


def test_a_moment_has_four_digits_for_its_year_and_is_in_utc() -> None:
    assert rfc3339(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"
    assert rfc3339(datetime(2026, 11, 23, 6, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-23T04:00:00.000000Z"


def test_a_parsed_contract_never_changes() -> None:
    query = parse(ResultsQuery, {"limit": 5})
    with pytest.raises(ValueError, match="frozen"):
        query.limit = 6
