"""A gateway that would let in more than it should does not start."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from demo.process import PROJECT
from demo.server import free_port
from shared.errors import ConfigurationError
from shared.settings import Settings
from tests.issuer import AUDIENCE, ISSUER, SECRET
from tests.platform import Platform
from tests.security.conftest import Told

WALL = "start"


def started(platform: Platform, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    """A gateway that ends by itself, because it should not run."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "gateway/gunicorn.conf.py",
        *arguments,
        "gateway.app:create_app()",
    ]
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin"} | platform.environment(web_concurrency=1, **changes),
        text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "address", ["0.0.0.0:{}", "[::]:{}", "127.0.0.1:{},0.0.0.0:{}"], ids=["IPv4", "IPv6", "one of two"]
)
def test_without_authentication_no_address_that_others_reach_is_served(
    platform: Platform, attack: Told, address: str
) -> None:
    port = free_port()
    arguments = [part for one in address.split(",") for part in ("-b", one.format(port))]
    ended = started(platform, *arguments, auth="none")
    assert ended.returncode != 0
    assert "AUTH=none would let whoever reaches" in ended.stderr and "AUTH_NONE_PUBLIC=true" in ended.stderr
    assert "Traceback" not in ended.stderr
    attack(f"AUTH=none on {address.format('8000', '8000')}", "no start")


def test_who_says_nothing_of_authentication_gets_no_gateway(platform: Platform, attack: Told) -> None:
    with pytest.raises(ConfigurationError, match=r"AUTH: nobody could be known: set JWT_SECRET, .+ or say AUTH=none"):
        platform.gateway(auth="required")
    attack("nothing set by which callers could be known", "no start")


KNOWN = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "a short secret": (KNOWN | {"jwt_secret": "secret"}, "JWT_SECRET: Value error, shorter than 32 bytes"),
    "a short second secret": (KNOWN | {"jwt_secret": f"{SECRET},secret"}, "JWT_SECRET: Value error, shorter than 32"),
    "a secret and a comma": (KNOWN | {"jwt_secret": f"{SECRET},"}, "JWT_SECRET: Value error, shorter than 32"),
    "no issuer": (KNOWN | {"jwt_issuer": ""}, "JWT_ISSUER: Value error, required with JWT_SECRET"),
    "no audience": (KNOWN | {"jwt_audience": ""}, "JWT_AUDIENCE: Value error, required with JWT_SECRET"),
    "keys over plain HTTP": (
        {"jwt_jwks_url": "http://login.example.com/keys"},
        "JWT_JWKS_URL: Value error, not an add",
    ),
    "keys of a file's address": ({"jwt_jwks_url": "file:///etc/keys"}, "JWT_JWKS_URL: Value error, not an address"),
    "keys of an address with a password": ({"jwt_jwks_url": "https://a:b@example.com/"}, "JWT_JWKS_URL: Value error"),
    "keys of a host that begins like ours": ({"jwt_jwks_url": "http://127.0.0.1.example.com/"}, "JWT_JWKS_URL: Value"),
    "AUTH: off": ({"auth": "off"}, "AUTH: String should match pattern"),
    "AUTH: NONE": ({"auth": "NONE"}, "AUTH: String should match pattern"),
    "a leeway of a day": (KNOWN | {"jwt_leeway_seconds": 86_400}, "JWT_LEEWAY_SECONDS: "),
    "every proxy": ({"trusted_proxies": "*"}, "TRUSTED_PROXIES: Value error, entry 1 is no network"),
    "a rate of nothing": ({"rate_single": "0/minute"}, "RATE_SINGLE: Value error, no rate such as 300/minute"),
    "a rate in words": ({"rate_batch": "many"}, "RATE_BATCH: Value error, no rate such as 300/minute"),
}


@pytest.mark.parametrize("tried", UNUSABLE)
def test_a_setting_that_would_weaken_a_wall_is_refused_by_name_and_never_by_value(
    platform: Platform, attack: Told, tried: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, said = UNUSABLE[tried]
    for name, value in (platform.environment() | changes).items():
        monkeypatch.setenv(name.upper(), str(value))
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment()
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)
    attack(tried, "no start: " + str(refused.value).partition("example): ")[2].replace("Value error, ", ""))
