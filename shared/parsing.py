"""Data from outside as contracts: the types that fields have, and what a refusal says."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from shared.errors import FieldProblem, InvalidRequest
from shared.media import name_key

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
DEEPEST: Final = 32  # lists and objects in one another; nothing that is asked for has more than three
_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_AS_LISTS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"  # the ledger's jsonb holds no NUL, and no name needs the others
_CONTROL: Final = re.compile(f"[{_CONTROLS}]")
_NAME: Final = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"


def _canonical_uuid(value: object) -> object:
    if isinstance(value, UUID) or (isinstance(value, str) and _UUID.fullmatch(value)):
        return value
    raise ValueError("not a UUID such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427")


def _whole(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():  # to JSON 10.0 is one; some languages write no other
        return int(value)
    raise ValueError("not a whole number")


def _number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("not a number")


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise ValueError("neither true nor false")


def _named(value: object) -> object:
    if isinstance(value, str) and name_key(value) and not _CONTROL.search(value):  # _NAME, in linear time
        return value
    raise ValueError("not a name: a text that is not blank, without control characters")


def _instant(value: object) -> object:
    """RFC 3339 with an offset; a number or a time without an offset could mean several moments."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        with contextlib.suppress(ValueError, OverflowError):  # February 30; a moment before the year 1
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    raise ValueError("not a time with its offset such as 2026-11-23T06:00:00Z")


Id = Annotated[UUID, BeforeValidator(_canonical_uuid)]
# A validator that comes before the constraints of a type would hide them from JSON Schema: it stands behind.
WHOLE = BeforeValidator(_whole)
Whole = Annotated[int, WHOLE]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Name = Annotated[str, Field(max_length=200, pattern=_NAME), BeforeValidator(_named)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


def read_json(raw: bytes) -> Any:
    """The value of a JSON text, as strictly as RFC 8259 allows.

    Raises ValueError, in words for whoever sent it: it is no JSON in UTF-8, it is nested too deep, or a name comes
    twice in one object, where all but the last would be lost in silence.
    """
    value = orjson.loads(raw)  # which itself takes some depth, and takes no longer for it
    if raw.count(b"[") + raw.count(b"{") > DEEPEST and _is_deep(raw):
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    json.loads(raw, object_pairs_hook=_each_once, parse_int=str, parse_float=str)  # orjson does not tell
    return value


def _is_deep(valid: bytes) -> bool:
    """Whether a JSON text has more than DEEPEST lists and objects in one another."""
    brackets = _STRINGS.sub(b"", valid).translate(_AS_LISTS, _NO_BRACKETS)
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"")  # whatever holds no other, and so one level
    return bool(brackets)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"{name[:100]!r} is given more than once")
        seen.add(name)


class Contract(BaseModel):
    """What crosses a border, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


_ContractT = TypeVar("_ContractT", bound=Contract)


def parse(contract: type[_ContractT], data: Mapping[str, Any]) -> _ContractT:
    """Data from outside as a contract. Raises InvalidRequest with every field that is wrong and what is allowed."""
    try:
        return contract.model_validate(data)
    except ValidationError as error:
        problems = [_problem(contract, dict(e)) for e in error.errors(include_url=False, include_input=False)[:20]]
        raise InvalidRequest("; ".join(f"{p.field}: {p.message}" for p in problems[:3]), problems) from None


def _problem(contract: type[BaseModel], error: Mapping[str, Any]) -> FieldProblem:
    """pydantic's account of one error in our words. What the caller named the field is cut to a readable length."""
    location = error["loc"]
    name = str(location[0])[:100] if location else ""
    field = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:])
    if error["type"] == "extra_forbidden":
        return FieldProblem(field, "unknown field", ", ".join(contract.model_fields) or "no fields")
    message = str(error["msg"]).removeprefix("Value error, ").replace(" after validation", "")
    whole = name in contract.model_fields and len(location) == 1
    return FieldProblem(
        field, message[:1].lower() + message[1:], _allowed(contract.model_fields[name]) if whole else None
    )


def _constraints(field: FieldInfo) -> Iterator[object]:
    """Those of the field, and of its type where it may also be null."""
    yield from field.metadata
    for choice in get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ():
        for constraint in getattr(choice, "__metadata__", ()):
            yield from constraint.metadata if isinstance(constraint, FieldInfo) else (constraint,)


def _allowed(field: FieldInfo) -> str | None:
    """A field's range in words, from its constraints."""
    bounds = {
        bound: value
        for constraint in _constraints(field)
        for bound in ("ge", "le", "min_length", "max_length")
        if (value := getattr(constraint, bound, None)) is not None
    }
    match bounds:
        case {"ge": least, "le": most}:
            return f"{least} to {most}"
        case {"ge": least} | {"min_length": least}:
            return f"{least} or more"
        case {"max_length": most}:
            return f"at most {most}" if get_origin(field.annotation) is list else f"at most {most} characters"
        case _:
            return None
