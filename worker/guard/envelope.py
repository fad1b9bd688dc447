"""What a message on the queue must look like, and nothing that was not understood goes on to Celery.

A message is taken apart and a new one is made of what was understood, so that a header Celery would act on (a time
limit, a callback) or fall over has no effect. In a valid message of Celery's protocol 2, whoever published it:

    envelope    body, content-type application/json, headers and properties; on RabbitMQ these are AMQP's own
    headers     task, id, and perhaps expires; an eta or a compression is refused, and all else ignored
    properties  delivery_tag, delivery_info, and body_encoding when the body is base64 (Redis)
    body        [[], {the task's arguments by name}, {callbacks and their like: all null or empty}]
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar
from uuid import UUID, uuid4

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shared.contracts import (
    BATCH_TASK,
    BLOCK_TASK,
    CHUNK_TASK,
    QUEUE,
    ROLLBACK_TASK,
    TRAIN_TASK,
    WORK_QUEUE,
    Addressed,
    BlockMessage,
    ChunkMessage,
    RollbackMessage,
    TrainMessage,
)
from shared.errors import InvalidRequest
from shared.parsing import Instant, parse, read_json

_Arguments: TypeAlias = Addressed | ChunkMessage | TrainMessage | BlockMessage | RollbackMessage

# The tasks each queue takes, and what of their arguments must hold here. Of a batch it is only who it is: what is wrong
# with the rest its publisher learns from a rejected job.
_TAKEN: Final[dict[str, dict[str, type[_Arguments]]]] = {
    QUEUE: {BATCH_TASK: Addressed},
    WORK_QUEUE: {
        CHUNK_TASK: ChunkMessage,
        TRAIN_TASK: TrainMessage,
        BLOCK_TASK: BlockMessage,
        ROLLBACK_TASK: RollbackMessage,
    },
}
_FOLLOW_UPS: Final = ("callbacks", "errbacks", "chain", "chord")
_DEEPEST: Final = 16  # lists and objects in one another
_MARKED: Final = {"__type__", "__value__"}  # how kombu writes what JSON has no type for


class Refused(Exception):
    """No message that the queue takes; says why, in words for its publisher, without its contents."""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """What was understood of a message."""

    task: str
    id: str
    arguments: Mapping[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        """The headers it goes on with."""
        return {"task": self.task, "id": self.id}

    @property
    def body(self) -> bytes:
        """The body it goes on with."""
        return orjson.dumps([[], self.arguments, dict.fromkeys(_FOLLOW_UPS)])

    def envelope(self, queue: str) -> dict[str, Any]:
        """The envelope it goes on with on Redis. Its delivery tag is new: the publisher's may not be unique."""
        return {
            "body": base64.b64encode(self.body).decode(),
            "content-type": _JSON,
            "content-encoding": "utf-8",
            "headers": self.headers,
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
                "delivery_info": {"exchange": "", "routing_key": queue},
                "delivery_mode": 2,
                "priority": 0,
            },
        }


def read_envelope(queue: str, raw: bytes) -> TaskMessage:
    """What was popped from a queue on Redis. Raises Refused."""
    envelope = _validate(Envelope, _json(raw, "message"))
    if envelope.properties.body_encoding == "base64":
        try:
            body = base64.b64decode("".join(envelope.body.split()), validate=True)
        except ValueError:
            raise Refused("body: not base64, as properties.body_encoding says it is") from None
    else:
        body = envelope.body.encode()
    return _read(queue, envelope.headers, body)


def read_amqp(queue: str, properties: Mapping[str, Any], body: bytes) -> TaskMessage:
    """What came from a queue on RabbitMQ. properties: as py-amqp names them. Raises Refused."""
    envelope = {name: properties[amqps] for name, amqps in _AMQPS_NAMES.items() if amqps in properties}
    return _read(queue, _validate(_Message, {"headers": {}} | envelope).headers, body)


_AMQPS_NAMES: Final = {
    "content-type": "content_type",
    "content-encoding": "content_encoding",
    "headers": "application_headers",
}
_JSON: Final = "application/json"
_ModelT = TypeVar("_ModelT", bound=BaseModel)
_Name = Annotated[str, Field(min_length=1, max_length=255)]
_Id = Annotated[str, Field(pattern=r"^[ -~]{1,255}$")]  # it is logged
_Utf8 = Annotated[Literal["utf-8"], BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Headers(_Part):
    task: _Name
    id: _Id
    eta: Any = None
    expires: Instant | None = None
    compression: Any = None


class _Properties(_Part):
    delivery_tag: _Name
    delivery_info: dict[str, Any]
    body_encoding: Literal["base64", "utf-8"] | None = None


class _Message(_Part):
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: _Utf8 | None = Field(None, alias="content-encoding")
    headers: _Headers


class Envelope(_Message):
    """A whole message, as it lies on Redis."""

    body: str
    properties: _Properties


def _read(queue: str, headers: _Headers, body: bytes) -> TaskMessage:
    taken = _TAKEN[queue]
    if headers.task not in taken:
        raise Refused(f"headers.task: {queue} takes {' and '.join(taken)}, not {headers.task!r}")
    if headers.eta is not None:
        raise Refused("headers.eta: not taken (nor a countdown); publish the message when it is due")
    if headers.compression is not None:
        raise Refused("headers.compression: not taken; publish the body as it is")
    if headers.expires is not None and headers.expires <= datetime.now(UTC):
        raise Refused(f"headers.expires: it expired at {headers.expires:%Y-%m-%dT%H:%M:%SZ}, before a worker took it")
    arguments = _plain(_arguments(_json(body, "body")))
    try:
        parse(taken[headers.task], arguments)
    except InvalidRequest as error:
        raise Refused(f"arguments: {error}") from None
    return TaskMessage(headers.task, headers.id, arguments)


def _arguments(body: object) -> dict[str, Any]:
    if not isinstance(body, list) or len(body) != 3:
        raise Refused("body: not a list of three, [args, kwargs, embed]")
    args, kwargs, embed = body
    if args != []:
        raise Refused("body: args must be an empty list; arguments are given by name, in kwargs")
    if not isinstance(kwargs, dict):
        raise Refused("body: kwargs is not an object")
    if not isinstance(embed, dict | None):
        raise Refused("body: embed is not an object")
    for name in _FOLLOW_UPS:
        if (embed or {}).get(name):
            raise Refused(f"body: {name} are not followed; embed.{name} must be null")
    return kwargs


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON with nothing in it that kombu or PostgreSQL would fall over."""
    if not isinstance(value, list | dict):
        return value
    if depth == _DEEPEST:
        raise Refused(f"arguments: nested more than {_DEEPEST} deep")
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if value.keys() == _MARKED:
        return _unmarked(value["__type__"], _plain(value["__value__"], depth + 1))
    if any("\0" in name for name in value):
        raise Refused("arguments: a name with the character U+0000")
    return {name: _plain(item, depth + 1) for name, item in value.items()}


def _unmarked(kind: object, value: Any) -> Any:
    """A value that kombu marked with its type: of a UUID its text, of a datetime that is its value already."""
    match kind, value:
        case "uuid", {"hex": str(digits)}:
            try:
                return str(UUID(digits))
            except ValueError:
                return value
    return value


def _json(raw: bytes, what: str) -> object:
    try:
        return read_json(raw)
    except ValueError as error:
        raise Refused(f"{what}: not JSON: {error}") from None


def _validate(model: type[_ModelT], data: object) -> _ModelT:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "message"
    what = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    hint = " (protocol 1 is not taken)" if (where, what) == ("headers.task", "missing") else ""
    raise Refused(f"{where}: {what}{hint}")


_WORDS: Final = {
    "missing": "missing",
    "string_type": "not a string",
    "dict_type": "not an object",
    "model_type": "not an object",
}
