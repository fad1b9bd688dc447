"""/openapi.json: it is what the gateway does. tests/documented.py holds all other tests' answers to it, too."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from openapi_spec_validator import validate

from gateway.endpoint import PATH_EXAMPLES, Endpoint
from gateway.errors import PROBLEMS
from shared import __version__
from tests.answers import ASYNC, NDJSON, USER, batch
from tests.conftest import Service
from tests.documented import fits, operations, template
from tests.platform import Gateway, Platform, wait_for


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    return platform.gateway()


@pytest.fixture
def document(gateway: Gateway) -> dict[str, Any]:
    answer = gateway.client.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    return answer.get_json()


def test_it_is_openapi_by_the_specification_and_of_this_version(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__


def test_every_address_is_in_it_and_none_besides(gateway: Gateway, document: dict[str, Any]) -> None:
    real = {
        (template(rule.rule), method.lower())
        for rule in gateway.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule != "/docs/<name>"  # what the page is made of
    }
    assert {(path, method) for path, method, _ in operations(document)} == real


def test_every_operation_has_a_name_of_its_own_a_summary_a_known_tag_and_can_fail(document: dict[str, Any]) -> None:
    found = [operation for _, _, operation in operations(document)]
    assert len({operation["operationId"] for operation in found}) == len(found) > 10
    known = {tag["name"] for tag in document["tags"]}
    for operation in found:
        assert operation["summary"]
        assert not operation["summary"].endswith(".")
        assert set(operation["tags"]) <= known
        assert "500" in operation["responses"]


def test_every_parameter_of_a_path_is_described_and_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        parameters = [p for p in operation["parameters"] if p.get("in") == "path"]
        assert [p["name"] for p in parameters] == re.findall(r"{(\w+)}", path)
        for parameter in parameters:
            assert parameter["required"] is True
            fits(parameter["example"], parameter["schema"], document)


def test_every_example_in_it_fits_its_schema(document: dict[str, Any]) -> None:
    count = 0
    for _, _, operation in operations(document):
        shown = [(p["schema"], p["examples"]) for p in operation["parameters"] if "examples" in p]
        for body in operation.get("requestBody", {}).get("content", {}).values():
            shown.append((body["schema"], body["examples"]))
        for schema, examples in shown:
            for example in examples.values():
                fits(example["value"], schema, document)
                count += 1
    assert count > 5


def test_every_example_of_a_field_fits_its_field(document: dict[str, Any]) -> None:
    fields = [
        field
        for schema in document["components"]["schemas"].values()
        for field in schema.get("properties", {}).values()
    ]
    examples = [(field, example) for field in fields for example in field.get("examples", [])]
    assert len(examples) > 10
    for field, example in examples:
        fits(example, field, document)


def test_the_examples_of_problems_are_problems(document: dict[str, Any]) -> None:
    examples = document["components"]["examples"]
    assert set(examples) <= set(PROBLEMS)
    for name, example in examples.items():
        fits(example["value"], {"$ref": "#/components/schemas/ProblemDocument"}, document)
        assert example["value"]["status"] == PROBLEMS[name].status


def test_links_lead_to_operations_and_fill_in_parameters_that_these_have(document: dict[str, Any]) -> None:
    parameters = {
        operation["operationId"]: {p["name"] for p in operation["parameters"] if "name" in p}
        for _, _, operation in operations(document)
    }
    links = [
        link
        for _, _, operation in operations(document)
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 5
    for link in links:
        assert set(link["parameters"]) <= parameters[link["operationId"]]


def test_it_may_be_kept_for_a_while_and_asked_for_again_with_its_etag(gateway: Gateway) -> None:
    answer = gateway.client.get("/openapi.json")
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    again = gateway.client.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_two_processes_say_the_same(platform: Platform, gateway: Gateway) -> None:
    assert platform.gateway().client.get("/openapi.json").data == gateway.client.get("/openapi.json").data


# Its examples are sent, and its links followed.


@pytest.fixture(scope="module")
def real(service: Service) -> Gateway:
    """A gateway over MovieLens, with a worker behind it."""
    return service.platform.gateway()


@pytest.fixture(scope="module")
def job(real: Gateway) -> str:
    """The id of a job that has ended."""
    job = batch(real, *(uuid4() for _ in range(5)), headers=ASYNC).get_json()["job_id"]
    wait_for(lambda: real.client.get(f"/api/jobs/{job}").get_json()["state"] == "completed")
    return job


def in_a_query(asks: dict[str, Any]) -> dict[str, str]:
    written = {name: value if isinstance(value, list) else [value] for name, value in asks.items()}
    return {name: ",".join(json.dumps(v).strip('"') for v in values) for name, values in written.items()}


def test_every_example_is_answered_as_it_says(real: Gateway, job: str) -> None:
    endpoints: list[Endpoint] = real.client.application.extensions["endpoints"]
    sent = 0
    for endpoint in endpoints:
        path = template(endpoint.rule).format(**PATH_EXAMPLES | {"job_id": job})
        for method in endpoint.methods:
            for example in endpoint.examples.values():
                asks = (
                    {"json": dict(example.asks)}
                    if endpoint.asks_in(method) == "body"
                    else {"query_string": in_a_query(dict(example.asks))}
                )
                answer = real.client.open(path, method=method, headers=dict(example.headers), **asks)
                assert answer.status_code == example.status, (endpoint.rule, answer.text)
                sent += 1
    assert sent > 5


def test_from_a_202_the_links_lead_through_the_whole_life_of_a_job(real: Gateway) -> None:
    document = real.client.get("/openapi.json").get_json()
    by_id = {operation["operationId"]: (path, method, operation) for path, method, operation in operations(document)}

    def follow(link: dict[str, Any], answer: dict[str, Any]) -> Any:
        path, method, _ = by_id[link["operationId"]]
        given = {name: answer[where.removeprefix("$response.body#/")] for name, where in link["parameters"].items()}
        address = path.format(**given)
        query = {name: value for name, value in given.items() if f"{{{name}}}" not in path}
        return real.client.open(address, method=method, query_string=query)

    accepted = batch(real, *(uuid4() for _ in range(150)), headers=ASYNC).get_json()
    _, _, operation = by_id["batchRecommendations"]
    links = operation["responses"]["202"]["links"]
    assert set(links) == {"state", "results", "failures", "cancel"}
    wait_for(lambda: follow(links["state"], accepted).get_json()["state"] == "completed")
    first = follow(links["results"], accepted)
    next_page = by_id["jobResults"][2]["responses"]["200"]["links"]["next"]
    second = follow(next_page, first.get_json())
    assert first.get_json()["count"] + second.get_json()["count"] == 150
    assert second.get_json()["next_cursor"] is None
    assert follow(links["failures"], accepted).get_json()["count"] == 0
    assert follow(links["cancel"], accepted).get_json()["state"] == "completed"


def test_each_line_of_a_jobs_results_is_the_page_that_is_described(real: Gateway, job: str) -> None:
    document = real.client.get("/openapi.json").get_json()
    content = document["paths"]["/api/jobs/{job_id}/results"]["get"]["responses"]["200"]["content"]
    lines = real.client.get(f"/api/jobs/{job}/results", headers=NDJSON).text.splitlines()
    assert len(lines) == 5
    for line in lines:
        fits(json.loads(line), content["application/x-ndjson"]["schema"], document)


# What it refuses, the gateway refuses, and the other way round.


def edges(schema: dict[str, Any]) -> dict[str, bool]:
    """Texts around a parameter's limits, and whether they are within."""
    if schema.get("type") == "integer":
        low, high = schema["minimum"], schema["maximum"]
        return {str(low): True, str(high): True, str(low - 1): False, str(high + 1): False, "x": False, "1.5": False}
    if schema.get("format") == "uuid":
        return {USER: True, USER.upper(): True, USER.replace("-", ""): False, "x": False}
    if schema.get("maxLength"):
        return {"A" * (schema["maxLength"] + 1): False}
    return {}


def test_parameters_have_the_limits_that_are_described(gateway: Gateway, document: dict[str, Any]) -> None:
    count = 0
    for path, method, operation in operations(document):
        for parameter in operation["parameters"]:
            if parameter.get("in") not in ("path", "query") or not path.startswith("/api"):
                continue
            for text, within in edges(parameter["schema"]).items():
                inside = dict.fromkeys(re.findall(r"{(\w+)}", path), USER)
                query = {}
                (inside if parameter["in"] == "path" else query)[parameter["name"]] = text
                answer = gateway.client.open(path.format(**inside), method=method.upper(), query_string=query)
                assert (answer.status_code == 400) == (not within), (path, parameter["name"], text)
                count += 1
    assert count > 30


BODIES = {
    "least": {"user_ids": [USER]},
    "no-users": {"user_ids": []},
    "limit-0": {"user_ids": [USER], "limit": 0},
    "limit-text": {"user_ids": [USER], "limit": "1"},
    "more": {"user_ids": [USER], "offset": 1},
    "bad-user": {"user_ids": ["x"]},
    "bad-reply": {"user_ids": [USER], "reply_to": "elsewhere"},
    "null-deadline": {"user_ids": [USER], "deadline": None},
    "bad-deadline": {"user_ids": [USER], "deadline": "tomorrow"},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bodies_are_taken_when_the_described_schema_takes_them(
    gateway: Gateway, document: dict[str, Any], body: dict[str, Any]
) -> None:
    operation = document["paths"]["/api/recommendations/batch"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    try:
        fits(body, schema, document, closed=False)
        expected = 200
    except jsonschema.ValidationError:
        expected = 400
    assert gateway.client.post("/api/recommendations/batch", json=body).status_code == expected
