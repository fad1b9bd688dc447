"""`make audit` fails on a known vulnerability, and never calls clean what it could not find out.

pip-audit asks a server of the test, which speaks OSV's API.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests import audit
from tests.audit import CLEAN, NOT_CHECKED, VULNERABLE
from tests.receiver import Answer, Receiver, document, status

HOLE = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-0001"],
    "summary": "anybody may read anything",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.4"}]}],
        }
    ],
}
TODAY = datetime.now(UTC).date()
LATER, EARLIER = TODAY + timedelta(days=1), TODAY - timedelta(days=1)


def of_flask(request: Any, closing: threading.Event) -> None:
    """Flask has a hole, and nothing else has one."""
    asked = json.loads(request.call.body)
    document({"vulns": [HOLE]} if asked["package"]["name"] == "flask" else {})(request, closing)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "small.lock"
    file.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in ("flask==3.1.3", "vine==5.1.0")))
    return file


@pytest.fixture
def accepted(tmp_path: Path) -> Path:
    file = tmp_path / "accepted.toml"
    file.write_text("")
    return file


def entry(name: str, *, until: object, library: str = "flask") -> str:
    return f'[{name}]\nlibrary = "{library}"\nreason = "It is not used."\nuntil = {until}\n'


@pytest.fixture
def arguments(lock: Path, accepted: Path) -> list[str]:
    return [f"--lock={lock}", f"--accepted={accepted}", "--service=osv"]


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver(of_flask) as receiver:
        yield receiver


def test_a_known_vulnerability_fails_and_is_told(
    arguments: list[str], server: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([*arguments, f"--osv-url={server.url}"]) == VULNERABLE
    told = capsys.readouterr().out
    assert told == (
        "VULNERABLE: flask 3.1.3: CVE-2026-0001 GHSA-aaaa-bbbb-cccc (fixed in 3.1.4): anybody may read anything\n"
    )
    assert len(server.calls) == 2, "each library is asked for"


def test_where_nothing_is_known_it_is_clean(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with Receiver(document({})) as server:
        assert audit.main([*arguments, f"--osv-url={server.url}"]) == CLEAN
    assert "no known vulnerability in 2 libraries of small.lock" in capsys.readouterr().out


def test_a_machine_without_a_way_out_still_fails_on_what_it_hears_of(arguments: list[str], server: Receiver) -> None:
    assert audit.main([*arguments, f"--osv-url={server.url}", "--offline"]) == VULNERABLE


ACCEPTED = {
    "by-its-name": (entry("GHSA-aaaa-bbbb-cccc", until=LATER), CLEAN, "1 accepted"),
    "by-another-name": (entry("CVE-2026-0001", until=LATER), CLEAN, "1 accepted"),
    "today-is-the-last-day": (entry("CVE-2026-0001", until=TODAY), CLEAN, "1 accepted"),
    "until-yesterday": (entry("CVE-2026-0001", until=EARLIER), VULNERABLE, f"ACCEPTED ONLY UNTIL {EARLIER}"),
    "of-another-library": (entry("CVE-2026-0001", until=LATER, library="vine"), VULNERABLE, "VULNERABLE: flask"),
    "another": (entry("CVE-2026-0002", until=LATER), VULNERABLE, "VULNERABLE: flask"),
    "and-one-that-is-gone": (
        entry("CVE-2026-0001", until=LATER) + entry("CVE-2026-0002", until=LATER),
        VULNERABLE,
        "NOT FOUND ANY MORE: CVE-2026-0002",
    ),
}


@pytest.mark.parametrize(("entries", "code", "told"), ACCEPTED.values(), ids=ACCEPTED)
def test_only_what_is_accepted_is_let_pass_and_only_until_its_last_day(
    entries: str, code: int, told: str, arguments: list[str], accepted: Path, server: Receiver,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    accepted.write_text(entries)
    assert audit.main([*arguments, f"--osv-url={server.url}"]) == code
    assert told in capsys.readouterr().out


def test_what_is_accepted_needs_a_reason(arguments: list[str], accepted: Path) -> None:
    accepted.write_text('[CVE-2026-0001]\nlibrary = "flask"\nuntil = 2026-01-01\n')
    with pytest.raises(TypeError, match="reason"):
        audit.main(arguments)


def no_document(request: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    document("come back later")(request, closing)


@pytest.mark.parametrize("answer", [status(500), no_document], ids=["500", "another-document"])
def test_a_service_that_does_not_answer_is_not_taken_for_clean(
    answer: Answer, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Receiver(answer) as server:
        assert audit.main([*arguments, f"--osv-url={server.url}"]) == NOT_CHECKED
    told = capsys.readouterr().out
    assert "NOT CHECKED" in told
    assert "no known" not in told


@pytest.mark.parametrize(("more", "code"), [([], NOT_CHECKED), (["--offline"], CLEAN)])
def test_a_service_out_of_reach_is_said_and_let_pass_only_when_that_is_asked_for(
    more: list[str], code: int, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([*arguments, "--osv-url=http://127.0.0.1:1", *more]) == code
    assert capsys.readouterr().out.startswith("NOT CHECKED for known vulnerabilities: small.lock\n  osv: ")


UNKNOWN = {"name": "amqp", "skip_reason": "Dependency not found on PyPI and could not be audited: amqp (5.4.2)"}
KNOWN = {"name": "vine", "version": "5.1.0", "vulns": []}


@pytest.mark.parametrize(
    ("libraries", "unknown"),
    [
        ([KNOWN, KNOWN], None),
        ([UNKNOWN, KNOWN], f"no answer for 1 of 2 libraries: {UNKNOWN['skip_reason']}"),
        ([UNKNOWN], f"no answer for 1 of 1 libraries: {UNKNOWN['skip_reason']}"),
        ([], "no answer for 0 of 0 libraries"),
    ],
)
def test_a_library_that_a_service_does_not_know_is_not_taken_for_clean(
    libraries: list[dict[str, Any]], unknown: str | None
) -> None:
    assert audit.read(libraries).unknown == unknown


def test_the_file_of_accepted_vulnerabilities_is_whole() -> None:
    assert all(known.reason and known.until for known in audit._accepted(audit.ACCEPTED_FILE))
