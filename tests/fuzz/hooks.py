"""What schemathesis has to know of the service beyond its document."""

from __future__ import annotations

import itertools
import json
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response
from schemathesis.core.parameters import DelimitedValue
from schemathesis.generation.meta import TestPhase

from gateway.rendering import JSON, NDJSON
from tests.documented import fits
from tests.receiver import NO_RECEIVER

_cursors: set[str] = set()  # that the service has given
_accepted = itertools.cycle((JSON, NDJSON))  # schemathesis alone would never ask for the second


@schemathesis.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """Pass over lists that an address can't tell from others: names with commas, and nothing but an empty name."""
    encoded = [value.encoded for value in case.query.values() if isinstance(value, DelimitedValue)]
    wrong = case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE
    return not any("%2C" in value or (wrong and not value) for value in encoded)


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Ask for either form of an answer, and keep a request that should be answered to what no schema can say."""
    if case.meta is None:
        return
    if case.meta.phase.name is not TestPhase.STATEFUL:  # its links are read from JSON
        case.headers.setdefault("Accept", next(_accepted))
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    for asked in (case.query, case.body):
        if isinstance(asked, dict):
            _mend(asked, of_a_job=case.path.startswith("/api/jobs/"))
    if "Idempotency-Key" in case.headers:  # the same one goes with one request only
        case.headers["Idempotency-Key"] = str(uuid4())


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Learn cursors."""
    if response.status_code == 200 and response.headers.get("content-type") == [JSON]:
        document = json.loads(response.content)
        if isinstance(document, dict) and (cursor := document.get("next_cursor")):
            _cursors.add(cursor)


@schemathesis.check
def every_line_is_as_documented(context: CheckContext, response: Response, case: Case) -> None:
    """Of NDJSON, whose schema is a line's."""
    if response.headers.get("content-type") != [NDJSON]:
        return
    document = case.operation.schema.raw_schema
    said = document["paths"][case.path][case.method.lower()]["responses"][str(response.status_code)]
    for line in response.content.splitlines():
        fits(json.loads(line), said["content"][NDJSON]["schema"], document)


def _mend(asked: dict[str, Any], *, of_a_job: bool) -> None:
    if asked.get("year_from") is not None and asked.get("year_to") is not None:
        asked["year_from"], asked["year_to"] = sorted((asked["year_from"], asked["year_to"]))
    if asked.get("callback_url") is not None:
        asked["callback_url"] = f"https://{NO_RECEIVER}/done"
    if asked.get("cursor") is None:
        return
    if of_a_job:
        if asked["cursor"] not in _cursors:
            del asked["cursor"]
        return
    asked.pop("offset", None)
    if asked["cursor"] in _cursors:  # alone, or with what it was given for
        for name in asked.keys() - {"cursor", "limit"}:
            del asked[name]
    else:
        asked["cursor"] = "*"
