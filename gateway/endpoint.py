"""What an address takes and answers, said once: requests are read by it, and /openapi.json is written from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from inspect import cleandoc
from typing import Any, Final

from flask import Blueprint, Request, Response, request
from werkzeug.datastructures import Headers

from gateway import compression, query, rendering
from gateway.auth.authenticator import admitted
from gateway.auth.principals import Access
from gateway.limits import Budget
from gateway.recent_pages import Page, RecentPages
from shared import parsing
from shared.contracts import NoQuery
from shared.errors import ServiceError
from shared.parsing import Contract

# Cache-Control of answers.
NO_STORE: Final = "no-store"
PRIVATE: Final = "private, no-cache"  # the caller may keep it, and asks whether it still holds
BRIEFLY: Final = "max-age=60"  # the same for everybody, and soon another; not for who was not asked who he is
LASTING: Final = "public, max-age=3600"

# Of the demo's data, so that examples can be sent to it.
EXAMPLE_USERS: Final = ["34d19a60-dea5-5a97-9a47-7a09d18673d6", "1fc6039b-891d-59b9-8542-506d11b1e139"]
EXAMPLE_TITLE: Final = "9afca315-14b2-597b-81c0-07281fbb8bcc"
PATH_EXAMPLES: Final = {
    "user_id": EXAMPLE_USERS[0],
    "media_id": EXAMPLE_TITLE,
    "job_id": "b926fdf2-099e-49d7-b412-5d1ff181787b",
    "name": "job-not-found",
}

View = Callable[..., Response | Mapping[str, Any]]
Parse = Callable[..., Any]  # (contract, data) -> an instance of the contract, or InvalidRequest


@dataclass(frozen=True)
class Link:
    """Where an answer leads: the operation, and what of the answer goes into its path or query."""

    operation_id: str
    parameters: Mapping[str, str]  # OpenAPI's runtime expressions by name


@dataclass(frozen=True)
class Answer:
    """One way in which an address answers, problems apart."""

    description: str
    content: Mapping[str, Any]  # the document's type by media type; of NDJSON a line's
    status: int = 200
    headers: tuple[str, ...] = ()  # beside those that all have
    links: Mapping[str, Link] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestHeader:
    """A header that makes a difference to an address."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """A request that can be sent as it is, and the status of its answer."""

    asks: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Endpoint:
    """An address. A GET asks with its query string, a POST with its body; both may be offered for one contract."""

    rule: str  # Flask's, in full
    operation_id: str
    tag: str
    text: str  # the summary, an empty line, and what else there is to say
    methods: tuple[str, ...]
    access: Access
    budget: Budget | None  # what requests count towards
    path: type[Contract] | None
    asks: type[Contract] | None  # NoQuery: no parameters are taken; None: none are looked at
    answers: tuple[Answer, ...]
    problems: tuple[type[ServiceError], ...]  # beside those that reading the request may bring
    headers: tuple[RequestHeader, ...]
    cache: str
    examples: Mapping[str, Example]
    parse: Parse
    recent: RecentPages | None  # where what is cached is kept as it is sent

    def asks_in(self, method: str) -> str | None:
        """Where a request says what it asks: in its query or its body. None: there is nothing to say."""
        return None if self.asks in (None, NoQuery) else "body" if method == "POST" else "query"

    @cached_property
    def negotiates(self) -> bool:
        """Whether `Accept` makes a difference."""
        return any(len(answer.content) > 1 for answer in self.answers)

    @cached_property
    def page_headers(self) -> Mapping[str, str]:
        """Of every page."""
        varies = f"Accept, {compression.VARIES}" if self.negotiates else compression.VARIES
        return {"Content-Type": rendering.JSON, "Cache-Control": self.cache, "Vary": varies}

    @property
    def is_kept(self) -> bool:
        """Whether answers to GET may be kept, and so have an ETag."""
        return self.cache != NO_STORE

    def read(self, request: Request, segments: Mapping[str, str]) -> list[Any]:
        """The request as contracts: the path's, then what it asks. Raises InvalidRequest and what `body` raises."""
        found = [] if self.path is None else [parsing.parse(self.path, segments)]
        if self.asks is None:
            return found
        place = self.asks_in(request.method)
        if place == "query":
            return [*found, self.parse(self.asks, query.values(self.asks, request))]
        parsing.parse(NoQuery, query.values(NoQuery, request))
        return [*found, self.parse(self.asks, rendering.body(request))] if place == "body" else found

    def answer(self, request: Request, view: View, segments: Mapping[str, str]) -> Response:
        """What the view gives for the request, or gave a moment ago. Raises what `admitted`, `read` and the view
        raise."""
        admitted(self.access, segments)
        recent = self.recent if request.method == "GET" else None
        if recent is not None and (page := recent.find(request)) is not None:
            return self._page(request, page)
        given = view(*self.read(request, segments))
        if isinstance(given, Response) or not self.is_kept or request.method == "POST":
            response = given if isinstance(given, Response) else rendering.json_response(given)
            response.headers.setdefault("Cache-Control", self.cache)
            if self.negotiates:
                response.vary.add("Accept")
            return response
        body = rendering.json(given)
        page = Page(body, rendering.fingerprint(body))
        if recent is not None and given["cached"] and not given["degraded"]:
            recent.keep(request, page)
        return self._page(request, page)

    def _page(self, request: Request, page: Page) -> Response:
        """A document with its ETag, or 304 when the caller has it."""
        headers = {**self.page_headers, "ETag": f'W/"{page.tag}"'}
        if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(page.tag):
            return Response(b"", 304, headers)
        headers["Content-Length"] = str(len(page.body))
        return _Whole([page.body], 200, headers)


class _Whole(Response):
    """An answer of 200 with all of its headers, and nothing in them to be worked out."""

    def get_wsgi_headers(self, _environ: object) -> Headers:
        """Its headers as they are: werkzeug would copy them, and mend what such an answer has not got."""
        return self.headers


class Endpoints(Blueprint):
    """Addresses of one kind."""

    def __init__(self, name: str, tag: str, prefix: str = "") -> None:
        super().__init__(name, __name__, url_prefix=prefix or None)
        self.declared: list[Endpoint] = []
        self.budgets: dict[str, Budget] = {}  # by Flask's names of the endpoints
        self._tag, self._prefix = tag, prefix

    def address(
        self,
        rule: str,
        operation_id: str,
        *answers: Answer,
        access: Access,
        budget: Budget | None,
        methods: tuple[str, ...] = ("GET",),
        path: type[Contract] | None = None,
        asks: type[Contract] | None = NoQuery,
        problems: tuple[type[ServiceError], ...] = (),
        headers: tuple[RequestHeader, ...] = (),
        cache: str = NO_STORE,
        examples: Mapping[str, Example] | None = None,
        parse: Parse = parsing.parse,
        recent: RecentPages | None = None,
    ) -> Callable[[View], View]:
        """Declare the decorated function's address; its docstring is the documentation.

        access: who may ask. budget: what requests count towards; None: they are not counted.

        The function gets the contracts of `path` and of `asks`, as far as there are any. It returns a document, or a
        response where there is more to say. `parse` may hold the contract to the service's settings. `recent` keeps
        pages that say `cached` for whoever asks the same within moments.
        """

        def declare(view: View) -> View:
            endpoint = Endpoint(
                self._prefix + rule,
                operation_id,
                self._tag,
                cleandoc(view.__doc__ or ""),
                methods,
                access,
                budget,
                path,
                asks,
                answers,
                problems,
                headers,
                cache,
                examples or {},
                parse,
                recent,
            )

            @wraps(view)
            def answer(**segments: str) -> Response:
                asked = request._get_current_object()  # type: ignore[attr-defined] # looked up once
                return endpoint.answer(asked, view, segments)

            self.declared.append(endpoint)
            if budget is not None:
                self.budgets[f"{self.name}.{view.__name__}"] = budget
            self.add_url_rule(rule, view.__name__, answer, methods=methods)
            return view

        return declare
