"""What a browser may be made to do with the pages and answers of the service."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.platform import Gateway, Platform
from tests.security.conftest import Told

WALL = "pages"
PAGES = ["/docs"]
OTHERS = ["/openapi.json", "/health", "/api/titles/popular", "/nowhere", "/docs/swagger-ui-bundle.js", "/problems/busy"]


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    return platform.gateway()


def policy(text: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (part.split() for part in text.split(";"))}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_no_script_of_anybody_elses_and_is_framed_by_nobody(
    gateway: Gateway, attack: Told, path: str
) -> None:
    headers = gateway.client.get(path).headers
    rules = policy(headers["Content-Security-Policy"])
    assert rules["default-src"] == ["'none'"] == rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"]
    assert rules["script-src"] == ["'self'"] == rules["style-src"] == rules["connect-src"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    attack(f"a script within {path}, or from elsewhere", "the Content-Security-Policy forbids it")
    attack(f"{path} within a frame", "X-Frame-Options: DENY, frame-ancestors 'none'")


def inline(page: str) -> Iterator[str]:
    """What a policy without unsafe-inline would not let run."""
    yield from re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style[^>]*>|\son\w+=|\sstyle=|javascript:", page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_nothing_that_its_policy_forbids(gateway: Gateway, path: str) -> None:
    page = gateway.client.get(path).text
    assert list(inline(page)) == []
    sources = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert sources and all(source.startswith("/") and not source.startswith("//") for source in sources)


@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_no_answer_is_taken_for_another_type_than_it_says(gateway: Gateway, attack: Told, path: str) -> None:
    headers = gateway.client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"]
    attack(f"{path} taken for a page or a script", "X-Content-Type-Options: nosniff")


SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize("path", [f"/{SCRIPT}", f"/api/jobs/{SCRIPT}", f"/problems/{SCRIPT}", f"/docs/{SCRIPT}"])
def test_what_comes_back_of_an_address_is_json(gateway: Gateway, attack: Told, path: str) -> None:
    answer = gateway.client.get(path, headers={"Accept": "text/html"})
    assert answer.mimetype == "application/problem+json"
    attack(f"a script in the address: {path}", f"{answer.status_code} {answer.mimetype}")


def test_a_file_beside_those_of_the_page_is_not_served(gateway: Gateway, attack: Told) -> None:
    for name in (
        "../__init__.py",
        "..%2f__init__.py",
        "%2e%2e/__init__.py",
        "....//__init__.py",
        "/etc/passwd",
        "index.html",
    ):
        assert gateway.client.get(f"/docs/{name}").status_code == 404
    attack("/docs/../__init__.py and the like", 404)


def test_no_answer_tells_which_server_and_version_it_is(gateway: Gateway) -> None:
    headers = gateway.client.get("/api/titles/popular").headers
    assert "X-Powered-By" not in headers and "Server" not in headers  # gunicorn adds its name, without a version


METHODS = ["TRACE", "PUT", "DELETE", "PATCH", "PROPFIND", "DEBUG", "CONNECT"]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_means_nothing_here_is_not_allowed(gateway: Gateway, attack: Told, method: str) -> None:
    answer = gateway.client.open("/api/titles/popular", method=method)
    assert (answer.status_code, "Allow" in answer.headers) == (405, True)
    attack(f"the method {method}", 405)
