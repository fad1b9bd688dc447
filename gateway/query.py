"""A query string as the values a JSON body would hold, so that one contract reads both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from flask import Request
from pydantic import BaseModel

from shared.errors import FieldProblem, InvalidRequest

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
_BOOLEANS: Final = {"true": True, "false": False}

# A text as what it stands for; unchanged when it stands for nothing of that kind.
_Reader = Callable[[str], Any]


def values(contract: type[BaseModel], request: Request) -> dict[str, Any]:
    """The query string's parameters, each as the contract's field of that name has them.

    Lists are separated by commas, and an empty text is an empty list. What is no such value stays a text: the contract
    refuses it in its own words, as it refuses a name that it does not know. Raises InvalidRequest when a parameter is
    given twice.
    """
    readers = _readers(contract)
    found: dict[str, Any] = {}
    for name, texts in request.args.lists():
        if len(texts) > 1:
            raise InvalidRequest(f"{name}: given {len(texts)} times", [FieldProblem(name, "given more than once")])
        found[name] = readers.get(name, str)(texts[0])
    return found


@cache
def _readers(contract: type[BaseModel]) -> Mapping[str, _Reader]:
    return {name: _reader(field.annotation) for name, field in contract.model_fields.items()}


def _reader(annotation: Any) -> _Reader:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _reader(arguments[0])
    if origin in (Union, UnionType):
        return _first_of([_reader(choice) for choice in arguments])
    if origin in (list, tuple, set, frozenset, Sequence):
        return _list_of(_reader(arguments[0]))
    return _PLAIN.get(annotation, str)


def _first_of(readers: list[_Reader]) -> _Reader:
    def read(text: str) -> Any:
        return next((value for reader in readers if (value := reader(text)) is not text), text)

    return read


def _list_of(item: _Reader) -> _Reader:
    return lambda text: [item(part) for part in text.split(",")] if text else []


_PLAIN: Final[dict[Any, _Reader]] = {
    int: lambda text: int(text) if _WHOLE.fullmatch(text) else text,
    float: lambda text: float(text) if _DECIMAL.fullmatch(text) else text,
    bool: lambda text: _BOOLEANS.get(text, text),
}
