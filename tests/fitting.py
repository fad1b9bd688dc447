"""What fits a JSON Schema, of such schemas as contracts have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Instances of a schema. Raises KeyError for a kind of schema that no contract has."""
    if "anyOf" in schema:
        return st.one_of([fitting(choice) for choice in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _OF_TYPE[schema["type"]](schema)


def _string(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    most = schema.get("maxLength")
    if "pattern" in schema:
        texts = st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(codec="utf-8"))
        return texts if most is None else texts.filter(lambda text: len(text) <= most)
    return st.text(max_size=min(20, most))


def _object(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: fitting(rules) for name, rules in schema.get("properties", {}).items()}
    required = {name: fields.pop(name) for name in schema.get("required", [])}
    return st.fixed_dictionaries(required, optional=fields)


_OF_TYPE: dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": lambda schema: st.integers(
        schema["minimum"], schema["maximum"] if "maximum" in schema else schema["exclusiveMaximum"] - 1
    ),
    "number": lambda schema: st.floats(schema["minimum"], schema["maximum"]) | st.integers(0, 1),
    "string": _string,
    "array": lambda schema: st.lists(fitting(schema["items"]), min_size=schema.get("minItems", 0), max_size=3),
    "object": _object,
}
