"""API keys: made once, kept as hashes, withdrawn at any time."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.process import PROJECT
from gateway.auth.api_keys import ApiKeyFile, make_key
from gateway.auth.principals import Scope
from shared.errors import ConfigurationError
from tests.issuer import bearer, secret_token
from tests.platform import Gateway, Platform, wait_for
from tests.security.conftest import Told

WALL = "API keys"
ASKED = "/api/titles/popular"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "key", *arguments],
        cwd=PROJECT, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def added(file: Path, name: str = "newsletter", expires: datetime | None = None) -> str:
    """A key that the file knows."""
    key, entry = make_key(name, [Scope.READ], expires)
    known = ApiKeyFile.read(file.read_bytes()) if file.exists() else ApiKeyFile()
    file.write_text(known.with_key(entry).model_dump_json())
    return key


def status(gateway: Gateway, key: str) -> int:
    return gateway.client.get(ASKED, headers=bearer(key)).status_code


def test_a_key_is_shown_once_and_kept_as_a_hash_that_only_its_owner_may_read(file: Path, platform: Platform) -> None:
    made = command("newsletter", "--scope", "recommendations:read", "--scope", "jobs:submit", "--file", str(file))
    assert (made.returncode, made.stderr) == (0, "")
    key = made.stdout.strip()
    assert re.fullmatch(r"rk_newsletter_[A-Za-z0-9_-]{43}", key)
    held = file.read_text()
    assert key not in held and key.removeprefix("rk_newsletter_") not in held
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [entry] = json.loads(held)["keys"]
    assert (entry["name"], entry["scopes"]) == ("newsletter", ["recommendations:read", "jobs:submit"])
    assert status(platform.gateway(auth="required", api_keys_file=file), key) == 200


def test_a_second_key_is_added_and_both_count(file: Path, platform: Platform) -> None:
    keys = [
        command("newsletter", "--scope", "recommendations:read", "--days", "30", "--file", str(file)).stdout.strip()
        for _ in range(2)
    ]
    gateway = platform.gateway(auth="required", api_keys_file=file)
    assert [status(gateway, key) for key in keys] == [200, 200]
    soonest = datetime.now(UTC) + timedelta(days=29)
    assert all(key.expires is not None and key.expires > soonest for key in ApiKeyFile.read(file.read_bytes()).keys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["News letter", "--scope", "admin"], "the name: small letters, digits and hyphens"),
        (["../etc", "--scope", "admin"], "the name: small letters, digits and hyphens"),
        (["newsletter", "--scope", "root"], "invalid choice: 'root'"),
        (["newsletter"], "the following arguments are required: --scope"),
        (["newsletter", "--scope", "admin", "--days", "0"], "'0' is no number of days (1 to 3650)"),
    ],
)
def test_what_makes_no_key_says_why_and_leaves_the_file_alone(file: Path, arguments: list[str], said: str) -> None:
    made = command(*arguments, "--file", str(file))
    assert made.returncode in (1, 2)
    assert said in made.stderr and made.stdout == ""
    assert not file.exists()


def test_a_file_that_is_none_is_not_written_over(file: Path) -> None:
    file.write_text("not ours")
    made = command("newsletter", "--scope", "admin", "--file", str(file))
    assert made.returncode == 1 and "Traceback" not in made.stderr
    assert file.read_text() == "not ours"


def test_a_key_that_is_removed_from_the_file_counts_no_more_within_seconds(
    platform: Platform, file: Path, attack: Told
) -> None:
    kept, withdrawn = added(file), added(file)
    gateway = platform.gateway(auth="required", api_keys_file=file)
    assert (status(gateway, kept), status(gateway, withdrawn)) == (200, 200)
    held = json.loads(file.read_text())
    file.write_text(json.dumps({"keys": held["keys"][:1]}))
    wait_for(lambda: status(gateway, withdrawn) == 401, seconds=10)
    assert status(gateway, kept) == 200
    attack("a key that was withdrawn", "401 within seconds")


def test_a_key_that_has_expired_is_refused(platform: Platform, file: Path, attack: Told) -> None:
    key = added(file, expires=datetime.now(UTC) - timedelta(seconds=1))
    gateway = platform.gateway(auth="required", api_keys_file=file)
    answer = gateway.client.get(ASKED, headers=bearer(key))
    assert (answer.status_code, answer.get_json()["detail"]) == (401, "the API key has expired")
    attack("a key that has expired", "401: the API key has expired")


GUESSED = {
    "another key of the same service": lambda key, entry: make_key("newsletter", [Scope.READ], None)[0],
    "the key with its last letter changed": lambda key, entry: key[:-1] + ("A" if key[-1] != "A" else "B"),
    "the key in capitals": lambda key, entry: key.upper(),
    "the key cut short": lambda key, entry: key[:-1],
    "the key and more": lambda key, entry: key + "A",
    "another service's name before the secret": lambda key, entry: key.replace("newsletter", "billing"),
    "the hash that was read from the file": lambda key, entry: entry["sha256"],
    "the hash behind the name": lambda key, entry: f"rk_newsletter_{entry['sha256'][:43]}",
    "an empty secret": lambda key, entry: "rk_newsletter_",
    "the prefix alone": lambda key, entry: "rk_",
    "a long key": lambda key, entry: key * 60,
}


@pytest.mark.parametrize("tried", GUESSED)
def test_what_is_no_key_is_refused(platform: Platform, file: Path, attack: Told, tried: str) -> None:
    key = added(file)
    [entry] = json.loads(file.read_text())["keys"]
    gateway = platform.gateway(auth="required", api_keys_file=file)
    answer = gateway.client.get(ASKED, headers=bearer(GUESSED[tried](key, entry)))
    assert (answer.status_code, answer.get_json()["type"]) == (401, "/problems/unauthenticated")
    attack(tried, f"401: {answer.get_json()['detail']}")


def test_where_only_keys_are_taken_a_token_is_refused(platform: Platform, file: Path, attack: Told) -> None:
    added(file)
    gateway = platform.gateway(auth="required", api_keys_file=file)
    answer = gateway.client.get(ASKED, headers=bearer(secret_token()))
    assert (answer.status_code, answer.get_json()["detail"]) == (401, "no tokens are taken here, only API keys")
    attack("a token where only keys are taken", "401: no tokens are taken here, only API keys")


ENTRY = {"name": "newsletter", "sha256": "0" * 64, "scopes": ["admin"]}


@pytest.mark.parametrize(
    "held",
    [
        "", "[]", "keys", {"keys": [ENTRY | {"key": "rk_plain"}]}, {"keys": [ENTRY | {"scopes": []}]},
        {"keys": [ENTRY | {"scopes": ["everything"]}]}, {"keys": [ENTRY | {"sha256": "rk_newsletter_plain"}]},
        {"keys": [ENTRY | {"expires": "soon"}]}, {"keys": [ENTRY | {"expires": "2026-01-01T00:00:00"}]},
        {"keys": [ENTRY | {"name": "a\nb"}]},
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_at_the_start(platform: Platform, file: Path, held: Any) -> None:
    file.write_text(held if isinstance(held, str) else json.dumps(held))
    with pytest.raises(ConfigurationError, match=r"API_KEYS_FILE: .+ cannot be used: ") as refused:
        platform.gateway(auth="required", api_keys_file=file)
    assert "rk_" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(platform: Platform, file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"API_KEYS_FILE: .+keys.json cannot be used: No such file"):
        platform.gateway(auth="required", api_keys_file=file)
