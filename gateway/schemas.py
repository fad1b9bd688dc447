"""The schemas of the OpenAPI document: of contracts and of documents, as pydantic makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from shared.json_schema import Schema

_PLACE: Final = "#/components/schemas/"
_NULL: Final = {"type": "null"}


class Schemas:
    """The schemas of these types, and of all that is in them."""

    def __init__(self, kinds: list[Any]) -> None:
        found, rest = TypeAdapter.json_schemas(
            [(kind, "validation", TypeAdapter(kind)) for kind in kinds],
            ref_template=_PLACE + "{model}",
            schema_generator=Schema,
        )
        self._of = {kind: found[kind, "validation"] for kind in kinds}
        self.components: dict[str, Any] = rest.get("$defs", {})
        for schema in self.components.values():
            schema.pop("title", None)

    def of(self, kind: Any) -> dict[str, Any]:
        """A type's schema, or where it is."""
        return self._of[kind]

    def parameters(self, contract: Any, place: str) -> Iterator[dict[str, Any]]:
        """A contract's fields as OpenAPI parameters. place: path or query."""
        schema = self._of[contract]
        whole = self.components[schema["$ref"].removeprefix(_PLACE)] if "$ref" in schema else schema
        for name, field in whole.get("properties", {}).items():
            described = {"description": field["description"]} if "description" in field else {}
            bare = _without_null({key: value for key, value in field.items() if key != "description"})
            written = {"style": "form", "explode": False} if bare.get("type") == "array" else {}  # by commas
            required = {"required": name in whole.get("required", ())}
            yield {"name": name, "in": place} | described | required | written | {"schema": bare}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A field outside of JSON, where there is no null: what is not given is left out."""
    if schema.get("default", ...) is None:
        del schema["default"]
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != _NULL]
    return schema | (choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})


def reached(name: str, whole: Mapping[str, Any]) -> dict[str, Any]:
    """The components of one kind that the paths of an OpenAPI document lead to. name: the kind's, such as schemas."""
    components: Mapping[str, Any] = whole["components"][name]
    found: set[str] = set()
    waiting: list[Any] = [whole["paths"]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            target = str(node.get("$ref", "")).removeprefix(f"#/components/{name}/")
            if target in components and target not in found:
                found.add(target)
                waiting.append(components[target])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return {key: value for key, value in components.items() if key in found}
