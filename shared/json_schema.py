"""JSON Schema of what crosses the borders, as the documents for other programs show it."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
INSTANT_PATTERN: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)


class Schema(GenerateJsonSchema):
    """pydantic's JSON Schema, with patterns where `format` alone leaves open what the contracts take: for most
    validators it is a remark, not a rule."""

    schema_dialect = DIALECT

    def uuid_schema(self, schema: core_schema.UuidSchema) -> dict[str, Any]:
        return super().uuid_schema(schema) | {"pattern": UUID_PATTERN}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> dict[str, Any]:
        return super().datetime_schema(schema) | {"pattern": INSTANT_PATTERN}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # "User Ids" tells nobody anything
        return False

    def normalize_name(self, name: str) -> str:
        return name.lstrip("_")  # what is private in our code is not to its readers
