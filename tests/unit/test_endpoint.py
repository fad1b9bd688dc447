"""One declaration of an address: what it takes, what it answers, and what /openapi.json says of both."""

from __future__ import annotations

from typing import Annotated, Any

import jsonschema
import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway import errors, openapi, request_ids
from gateway.auth.principals import PUBLIC
from gateway.endpoint import PRIVATE, Answer, Endpoints, Example
from gateway.rendering import JSON
from shared.contracts import Id, UserPath
from shared.errors import JobNotFound, ResultsExpired, ResultsNotReady
from tests.documented import DocumentedClient

USER = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
SHELF = f"/shelves/{USER}"


class Shelf(BaseModel):
    """What is asked of a shelf."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=100, strict=True, description="books")
    genres: Annotated[list[str], Field(max_length=3)] = []
    exclude: list[Id] = []
    share: float = Field(0, ge=0, le=1, strict=True)
    explain: bool = Field(True, strict=True)
    cursor: str | None = Field(None, max_length=64)


class ShelfDocument(TypedDict):
    """A shelf."""

    asked: dict[str, Any]
    cached: bool


@pytest.fixture
def client() -> FlaskClient:
    """A gateway with one address, offered in both ways; every other answer says that it was kept."""
    app, api, kept = Flask("made up"), Endpoints("shelves", "Shelves", "/shelves"), iter([False, True] * 10)

    @api.address(
        "/<user_id>",
        "shelf",
        Answer("A shelf.", {JSON: ShelfDocument}),
        access=PUBLIC,
        budget=None,
        methods=("GET", "POST"),
        path=UserPath,
        asks=Shelf,
        problems=(JobNotFound, ResultsNotReady),
        cache=PRIVATE,
        examples={"two comedies": Example({"limit": 2, "genres": ["Comedy"]})},
    )
    def shelf(path: UserPath, asked: Shelf) -> ShelfDocument:
        """A shelf of books.

        Of one user,
        and of nobody else.

        And more of it.
        """
        if asked.limit == 99:
            raise ResultsNotReady("not yet", retry_after=2)
        return {"asked": {"user_id": str(path.user_id)} | asked.model_dump(mode="json"), "cached": next(kept)}

    return serving(app, api)


def serving(app: Flask, api: Endpoints) -> FlaskClient:
    request_ids.register(app)
    errors.register(app)
    app.register_blueprint(api)
    app.extensions["endpoints"] = api.declared
    app.test_client_class = DocumentedClient
    return app.test_client()


ASKED = {"limit": 2, "genres": ["Comedy", "Drama"], "exclude": [USER], "share": 0.5, "explain": False, "cursor": "1"}
IN_A_QUERY = f"limit=2&genres=Comedy,Drama&exclude={USER}&share=0.5&explain=false&cursor=1"


def test_a_query_string_and_a_body_ask_the_same(client: FlaskClient) -> None:
    by_query = client.get(f"{SHELF}?{IN_A_QUERY}")
    by_body = client.post(SHELF, json=ASKED)
    assert by_query.get_json()["asked"] == {"user_id": USER} | ASKED
    assert by_body.get_json()["asked"] == by_query.get_json()["asked"]


@pytest.mark.parametrize(
    ("query", "body", "field"),
    [
        ("limit=0", {"limit": 0}, "limit"),
        ("limit=two", {"limit": "two"}, "limit"),
        ("limit=2.0", {"limit": "2"}, "limit"),
        ("share=nan", {"share": "nan"}, "share"),
        ("explain=1", {"explain": 1}, "explain"),
        ("genres=a,b,c,d", {"genres": ["a", "b", "c", "d"]}, "genres"),
        (f"exclude={USER},42", {"exclude": [USER, "42"]}, "exclude[1]"),
        ("limits=2", {"limits": 2}, "limits"),
    ],
)
def test_what_one_refuses_the_other_refuses(client: FlaskClient, query: str, body: dict[str, Any], field: str) -> None:
    for answer in (client.get(f"{SHELF}?{query}"), client.post(SHELF, json=body)):
        assert answer.status_code == 400
        assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_a_post_takes_no_query(client: FlaskClient) -> None:
    answer = client.post(f"{SHELF}?limit=2", json={})
    assert answer.get_json()["errors"] == [{"field": "limit", "message": "unknown field", "allowed": "no fields"}]


def test_a_path_is_read_before_all_else(client: FlaskClient) -> None:
    assert client.post("/shelves/42", data="?").get_json()["errors"][0]["field"] == "user_id"


def test_kept_and_made_anew_have_one_etag_and_a_caller_who_has_it_is_told_so(client: FlaskClient) -> None:
    first, again = client.get(SHELF), client.get(SHELF)
    assert (first.get_json()["cached"], again.get_json()["cached"]) == (False, True)
    assert first.headers["ETag"] == again.headers["ETag"]
    assert first.headers["ETag"].startswith('W/"')
    assert client.get(f"{SHELF}?limit=2").headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
def test_a_caller_who_has_the_answer_gets_304_without_a_body(client: FlaskClient, form: str) -> None:
    tag = client.get(SHELF).headers["ETag"]
    for form_of_tag in (tag, tag.removeprefix("W/")):
        for ask in (client.get, client.head):
            answer = ask(SHELF, headers={"If-None-Match": form.format(form_of_tag)})
            assert (answer.status_code, answer.data) == (304, b"")
            assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (tag, PRIVATE)


def test_a_post_has_no_etag_and_is_always_answered_in_full(client: FlaskClient) -> None:
    answer = client.post(SHELF, json={}, headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, PRIVATE)
    assert "ETag" not in answer.headers


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found = openapi.document(client.application.extensions["endpoints"])
    validate(found)
    return found


def test_the_document_has_both_ways_with_names_of_their_own_and_the_same_answers(document: dict[str, Any]) -> None:
    operations = document["paths"]["/shelves/{user_id}"]
    assert {method: operation["operationId"] for method, operation in operations.items()} == {
        "get": "shelf",
        "post": "shelfByPost",
    }
    for operation in operations.values():
        assert operation["summary"] == "A shelf of books"
        assert operation["description"] == "Of one user, and of nobody else.\n\nAnd more of it."
        assert operation["tags"] == ["Shelves"]
        assert operation["responses"]["200"]["content"][JSON]["schema"] == {
            "$ref": "#/components/schemas/ShelfDocument"
        }
    by_query, by_body = (set(operations[method]["responses"]) for method in ("get", "post"))
    assert by_query == {"200", "304", "400", "404", "409", "414", "500"}
    assert by_body - by_query == {"408", "413", "415"}


def test_the_documents_query_has_the_contracts_fields_as_they_are_written_there(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/shelves/{user_id}"]["get"]["parameters"]
    query = {parameter.pop("name"): parameter for parameter in parameters if parameter.get("in") == "query"}
    assert query["limit"] == {
        "in": "query",
        "description": "books",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "examples": {"two comedies": {"value": 2}},
    }
    assert query["cursor"]["schema"] == {"type": "string", "maxLength": 64}
    assert query["genres"]["schema"]["maxItems"] == 3
    assert {name for name, field in query.items() if (field.get("style"), field.get("explode")) == ("form", False)} == {
        "genres",
        "exclude",
    }


def test_the_documents_body_is_the_contract_with_examples_that_fit(document: dict[str, Any]) -> None:
    body = document["paths"]["/shelves/{user_id}"]["post"]["requestBody"]
    assert body["required"] is True
    assert body["content"][JSON]["schema"] == {"$ref": "#/components/schemas/Shelf"}
    assert document["components"]["schemas"]["Shelf"]["additionalProperties"] is False
    [example] = body["content"][JSON]["examples"].values()
    assert Shelf.model_validate(example["value"]).genres == ["Comedy"]


def test_the_document_says_which_problems_may_come_and_which_of_them_say_when_to_come_back(
    document: dict[str, Any], client: FlaskClient
) -> None:
    responses = document["paths"]["/shelves/{user_id}"]["get"]["responses"]
    content = {
        status: response.get("content", {}).get("application/problem+json") for status, response in responses.items()
    }
    named = {status: sorted(problem["examples"]) for status, problem in content.items() if problem}
    assert named == {
        "400": ["invalid-request"],
        "404": ["job-not-found", "not-found"],
        "409": ["results-not-ready"],
        "414": ["address-too-long"],
        "500": ["internal"],
    }
    assert [status for status, response in responses.items() if "Retry-After" in response["headers"]] == ["409"]
    answer = client.get(f"{SHELF}?limit=99")
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "2")


def test_the_document_holds_no_schema_that_nothing_leads_to(document: dict[str, Any]) -> None:
    assert set(document["components"]["schemas"]) == {"Shelf", "ShelfDocument", "ProblemDocument", "FieldDocument"}


# The client of all tests notices what is not documented.


def expired() -> Response:
    raise ResultsExpired("gone")


def not_found() -> Response:
    raise JobNotFound("no such job")


UNDOCUMENTED = {
    "a-status": (expired, "410 GONE is not documented"),
    "a-problem-of-a-known-status": (not_found, "job-not-found"),
    "a-field": (lambda: {"asked": {}, "cached": True, "more": 1}, "'more' was unexpected"),
    "a-field-that-is-missing": (lambda: {"asked": {}}, "'cached' is a required property"),
    "a-value": (lambda: {"asked": {}, "cached": "yes"}, "'yes' is not of type 'boolean'"),
    "a-media-type": (lambda: Response("{}", content_type="text/plain"), "text/plain is not documented"),
    "a-header": (lambda: Response("{}", headers={"Retry-After": "1"}), "Retry-After"),
}


@pytest.mark.parametrize(("view", "complaint"), UNDOCUMENTED.values(), ids=UNDOCUMENTED)
def test_an_answer_that_is_not_documented_fails_the_test_that_gets_it(view: Any, complaint: str) -> None:
    app, api = Flask("made up"), Endpoints("shelves", "Shelves")

    @api.address(
        "/shelves/<user_id>",
        "shelf",
        Answer("A shelf.", {JSON: ShelfDocument}),
        access=PUBLIC,
        budget=None,
        path=UserPath,
    )
    def shelf(path: UserPath) -> Any:
        """A shelf."""
        return view()

    with pytest.raises((AssertionError, jsonschema.ValidationError), match=complaint):
        serving(app, api).get(SHELF)
