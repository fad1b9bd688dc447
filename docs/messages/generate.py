"""Writes the schemas beside this file from the code that reads and writes the messages: `make docs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter

from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, REPLY_PREFIX, BatchMessage
from shared.documents import AnnouncementDocument, DeadLetterDocument
from shared.json_schema import DIALECT, Schema
from worker.guard.envelope import Envelope

HERE: Final = Path(__file__).resolve().parent
_GENERATED: Final = "Generated from the code by `make docs`."


def schema_of(document: type, name: str) -> dict[str, Any]:
    """A contract's JSON Schema (2020-12), in a stable order."""
    schema = TypeAdapter(document).json_schema(schema_generator=Schema)
    for part in schema.get("$defs", {}).values():
        part.pop("title", None)
    head = {"$schema": DIALECT, "$id": f"urn:ml-service:{name}", "$comment": _GENERATED, "title": name}
    order = ("description", "type", "required", "additionalProperties", "properties", "$defs")
    return head | {key: schema[key] for key in order if key in schema}


def envelope() -> dict[str, Any]:
    """A whole message on Redis that holds a batch. What the guard refuses by its own rules is said here, too."""
    schema = schema_of(Envelope, "envelope.v2")
    nothing = {"type": "null"}
    schema["$defs"]["Headers"]["properties"] |= {"task": {"const": BATCH_TASK}, "eta": nothing, "compression": nothing}
    return schema


def body() -> dict[str, Any]:
    """What a message's body holds, decoded: Celery's three parts."""
    return {
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "prefixItems": [
            {"description": "args: arguments are given by name", "maxItems": 0},
            {"$ref": "./batch.v1.json"},
            {
                "description": "embed: nothing follows the task",
                "type": ["object", "null"],
                "properties": {
                    name: {"type": ["array", "null"], "maxItems": 0}
                    for name in ("callbacks", "errbacks", "chain", "chord")
                },
            },
        ],
    }


def asyncapi() -> dict[str, Any]:
    """The queues and what goes over them, as AsyncAPI 3.0. Payloads are the schemas beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Recommendations over the queue",
            "version": BATCH_TASK.rpartition(".v")[2] + ".0.0",
            "description": f"MESSAGES.md explains it. {_GENERATED}",
        },
        "defaultContentType": "application/json",
        "channels": {
            "batches": {
                "address": QUEUE,
                "description": "Where any service publishes batches.",
                "messages": {"batch": {"$ref": "#/components/messages/batch"}},
            },
            "replies": {
                "address": REPLY_PREFIX + "{name}",
                "description": "Where a service that asked for it, by `reply_to`, hears of its jobs' ends.",
                "parameters": {"name": {"description": "Chosen by the service: 1 to 64 of a-z, 0-9, _, . and -."}},
                "messages": {"announcement": {"$ref": "#/components/messages/announcement"}},
            },
            "dead": {
                "address": QUEUE + DEAD_SUFFIX,
                "description": "Where those who run the service find what was no message.",
                "messages": {"deadLetter": {"$ref": "#/components/messages/deadLetter"}},
            },
        },
        "operations": {
            "acceptBatch": {
                "action": "receive",
                "channel": {"$ref": "#/channels/batches"},
                "summary": "A batch becomes a job. The same job_id again is the same job.",
                "reply": {"channel": {"$ref": "#/channels/replies"}},
            },
            "announceEnd": {
                "action": "send",
                "channel": {"$ref": "#/channels/replies"},
                "summary": "A job has ended; at least once per job.",
            },
            "keepDeadLetter": {
                "action": "send",
                "channel": {"$ref": "#/channels/dead"},
                "summary": "What cannot be read as a message is put aside.",
            },
        },
        "components": {
            "messages": {
                "batch": {
                    "name": BATCH_TASK,
                    "title": "A batch of users",
                    "contentType": "application/json",
                    "description": (
                        "A task in Celery's protocol 2. RabbitMQ carries headers and body as its own; on Redis both "
                        "are in one JSON object, see envelope.v2.json."
                    ),
                    "correlationId": {"location": "$message.payload#/1/job_id"},
                    "headers": _schema({"$ref": "./envelope.v2.json#/$defs/Headers"}),
                    "payload": _schema(body()),
                },
                "announcement": {
                    "name": "announcement.v1",
                    "title": "A job's end",
                    "correlationId": {"location": "$message.payload#/data/job_id"},
                    "payload": _schema({"$ref": "./announcement.v1.json"}),
                },
                "deadLetter": {
                    "name": "dead-letter.v1",
                    "title": "What was no message",
                    "payload": _schema({"$ref": "./dead-letter.v1.json"}),
                },
            },
        },
    }


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of another format than AsyncAPI's own."""
    return {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema}


def files() -> dict[str, str]:
    """Every generated file's text by its name."""
    schemas = {
        "batch.v1.json": schema_of(BatchMessage, "batch.v1"),
        "envelope.v2.json": envelope(),
        "announcement.v1.json": schema_of(AnnouncementDocument, "announcement.v1"),
        "dead-letter.v1.json": schema_of(DeadLetterDocument, "dead-letter.v1"),
    }
    texts = {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}
    return texts | {"asyncapi.yaml": yaml.safe_dump(asyncapi(), sort_keys=False, width=120)}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="utf-8")
