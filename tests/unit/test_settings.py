"""Settings and .env.example say the same, and a wrong environment is refused by name and never by value."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
IMAGES = {"PYTHON_IMAGE", "POSTGRES_IMAGE", "VALKEY_IMAGE"}
PASSWORDS = {f"{owner}_PASSWORD" for owner in ("POSTGRES", "REDIS", "GATEWAY", "WORKER", "TRAINER")}
COMPOSE_ONLY = {"GATEWAY_PUBLISH"} | IMAGES | PASSWORDS

FIELDS = {name.upper(): field for name, field in Settings.model_fields.items()}
REQUIRED = sorted(name for name, field in FIELDS.items() if field.is_required())


@dataclass(frozen=True)
class Entry:
    """A variable of .env.example: what the comment above it says, its value, and whether the line is in force."""

    comment: str
    value: str
    set: bool


def entries() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    comment: list[str] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if variable := re.fullmatch(r"(# )?([A-Z][A-Z_]*)=(.*)", line):
            mark, name, value = variable.groups()
            assert name not in found, f"{name} is there twice"
            found[name] = Entry(" ".join(comment), value, set=mark is None)
            comment = []
        else:
            comment = [*comment, line.removeprefix("# ")] if line else []
    return found


def in_words(limits: dict[str, Any]) -> str:
    match limits:
        case {"minimum": low, "maximum": high}:
            return f"{low:,} to {high:,}."
        case {"exclusiveMinimum": low, "maximum": high}:
            return f"Above {low:,}, at most {high:,}."
        case {"minimum": low}:
            return f"At least {low:,}."
        case {"exclusiveMinimum": low}:
            return f"Above {low:,}."
    raise AssertionError(f"no words for {limits}")


def outside(limits: dict[str, Any]) -> list[float]:
    """The nearest whole numbers that are refused."""
    low = [limits["minimum"] - 1] if "minimum" in limits else [limits["exclusiveMinimum"]]
    return low + ([limits["maximum"] + 1] if "maximum" in limits else [])


BOUNDED = {
    name.upper(): schema
    for name, schema in Settings.model_json_schema()["properties"].items()
    if "minimum" in schema or "exclusiveMinimum" in schema
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The example's environment and nothing else of ours."""
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
    for name, value in dotenv_values(EXAMPLE).items():
        monkeypatch.setenv(name, value or "")
    return monkeypatch


def test_the_example_names_every_setting_and_else_only_what_compose_needs() -> None:
    assert set(entries()) == set(FIELDS) | COMPOSE_ONLY


def test_the_example_sets_what_is_required_and_leaves_the_rest_at_its_default() -> None:
    assert {name for name, entry in entries().items() if entry.set and name in FIELDS} == set(REQUIRED)


def test_a_default_stated_in_the_example_is_the_codes(environment: pytest.MonkeyPatch) -> None:
    stated = {name: entry.value for name, entry in entries().items() if name in FIELDS and not entry.set}
    for name, value in stated.items():
        environment.setenv(name, value)
    read = Settings.from_environment()
    assert {name: getattr(read, name.lower()) for name in stated} == {name: FIELDS[name].default for name in stated}


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_explains_a_setting(name: str) -> None:
    assert len(entries()[name].comment.split()) > 2


@pytest.mark.parametrize("name", BOUNDED)
def test_the_range_stated_in_the_example_is_the_codes(name: str) -> None:
    assert entries()[name].comment.endswith(" " + in_words(BOUNDED[name]))


@pytest.mark.parametrize("name", [name for name in FIELDS if name.endswith(("_SECONDS", "_DAYS", "_BYTES"))])
def test_the_example_states_a_settings_unit(name: str) -> None:
    assert f"in {name.rpartition('_')[2].lower()}" in entries()[name].comment


def test_the_example_is_a_whole_environment(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment()
    passwords = {name: value or "" for name, value in dotenv_values(EXAMPLE).items() if name.endswith("_PASSWORD")}
    assert passwords["GATEWAY_PASSWORD"] in settings.jobs_db_url.get_secret_value()
    assert passwords["GATEWAY_PASSWORD"] in settings.broker_url.get_secret_value()
    assert settings.redis_url != settings.broker_url


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    environment.delenv(name)
    if value is not None:
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"\b{name}: Field required"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, limits in BOUNDED.items() for value in outside(limits)]
)
def test_a_variable_out_of_range_is_named(environment: pytest.MonkeyPatch, name: str, value: float) -> None:
    environment.setenv(name, str(value))
    with pytest.raises(ConfigurationError, match=rf"\b{name}: Input should be (greater|less) than"):
        Settings.from_environment()


@pytest.mark.parametrize("name", [*BOUNDED, "LOG_LEVEL"])
def test_a_variable_that_makes_no_sense_is_named_and_its_value_is_not(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, "hunter2")
    with pytest.raises(ConfigurationError, match=rf"\b{name}: ") as refusal:
        Settings.from_environment()
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None, "a traceback would show pydantic's error, which repeats the value"
    assert refusal.value.__suppress_context__


SIGNING_KEY = "whsec_" + b64encode(bytes(range(32))).decode()
LISTS_AND_KEYS_REFUSED = {
    "a-path": ("CALLBACK_HOSTS", "hooks.example.com/done"),
    "a-scheme": ("CALLBACK_HOSTS", "https://hooks.example.com"),
    "a-user": ("CALLBACK_HOSTS", "hunter2@hooks.example.com"),
    "a-wildcard": ("CALLBACK_HOSTS", "*.example.com"),
    "a-dot-at-the-end": ("CALLBACK_HOSTS", "hooks.example.com."),
    "spaces-for-commas": ("CALLBACK_HOSTS", "hooks.example.com jobs.example.com"),
    "a-name-not-in-ascii": ("CALLBACK_HOSTS", "bücher.de"),
    "a-name-that-is-a-number": ("CALLBACK_HOSTS", "2130706433"),
    "a-shortened-address": ("CALLBACK_HOSTS", "127.1"),
    "an-octal-address": ("CALLBACK_HOSTS", "0177.0.0.1"),
    "an-address-out-of-range": ("CALLBACK_HOSTS", "300.1.1.1"),
    "a-hexadecimal-address": ("CALLBACK_HOSTS", "0x7f000001"),
    "an-ipv6-address-without-brackets": ("CALLBACK_HOSTS", "2600::1"),
    "an-ipv6-address-not-as-usual": ("CALLBACK_HOSTS", "[2600:0::1]"),
    "a-mapped-address": ("CALLBACK_HOSTS", "[::ffff:10.1.2.3]"),
    "port-zero": ("CALLBACK_HOSTS", "hooks.example.com:0"),
    "a-port-too-high": ("CALLBACK_HOSTS", "hooks.example.com:65536"),
    "the-second-entry": ("CALLBACK_HOSTS", "hooks.example.com,hunter 2"),
    "an-origin-without-a-scheme": ("CORS_ORIGINS", "hunter2.example.com"),
    "an-origin-of-another-scheme": ("CORS_ORIGINS", "ftp://app.example.com"),
    "an-origin-with-a-path": ("CORS_ORIGINS", "https://app.example.com/"),
    "an-origin-with-a-user": ("CORS_ORIGINS", "https://hunter2@app.example.com"),
    "an-origin-of-many": ("CORS_ORIGINS", "https://*.example.com"),
    "every-origin": ("CORS_ORIGINS", "*"),
    "no-origin": ("CORS_ORIGINS", "null"),
    "an-origin-at-an-ipv6-address": ("CORS_ORIGINS", "https://[2600::1]"),
    "the-second-origin": ("CORS_ORIGINS", "https://app.example.com,hunter2"),
    "a-host-for-a-network": ("CALLBACK_NETWORKS", "hooks.example.com"),
    "a-network-with-host-bits": ("CALLBACK_NETWORKS", "10.1.2.3/16"),
    "a-network-too-wide": ("CALLBACK_NETWORKS", "10.1.0.0/33"),
    "the-second-network": ("CALLBACK_NETWORKS", "10.1.0.0/16,hunter2"),
    "a-secret-without-its-mark": ("CALLBACK_SECRET", SIGNING_KEY.removeprefix("whsec_")),
    "a-secret-that-is-not-base64": ("CALLBACK_SECRET", "whsec_hunter2!hunter2!hunter2!hunter2!hunter2"),
    "a-secret-cut-short": ("CALLBACK_SECRET", SIGNING_KEY[:-2]),
    "a-secret-with-a-space": ("CALLBACK_SECRET", SIGNING_KEY + " "),
    "nothing-behind-the-mark": ("CALLBACK_SECRET", "whsec_===="),
    "an-empty-second-secret": ("CALLBACK_SECRET", SIGNING_KEY + ","),
    "a-slash-in-a-password": ("REDIS_URL", "redis://:hunter2/@redis:6379/0"),
    "an-at-sign-in-a-password": ("USER_DB_URL", "postgresql://u:a@hunter2@postgres/user_db"),
    "a-hash-in-a-password": ("BROKER_URL", "amqp://u:hunter2#@rabbitmq//"),
    "a-bracket-in-a-password": ("REDIS_URL", "redis://:[hunter2@redis:6379/0"),
    "a-port-that-is-no-number": ("JOBS_DB_URL", "postgresql://u:a@postgres:hunter2/jobs_db"),
    "the-second-broker": ("BROKER_URL", "amqp://u:a@one//;amqp://u:hunter2/@two//"),
    "23-bytes": ("CALLBACK_SECRET", "whsec_" + b64encode(bytes(23)).decode()),
    "65-bytes": ("CALLBACK_SECRET", "whsec_" + b64encode(bytes(65)).decode()),
}


@pytest.mark.parametrize(("name", "value"), LISTS_AND_KEYS_REFUSED.values(), ids=LISTS_AND_KEYS_REFUSED)
def test_a_wrong_list_or_key_is_named_and_its_value_is_not(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv("CALLBACK_SECRET", SIGNING_KEY)
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"\b{name}: ") as refusal:
        Settings.from_environment()
    assert value not in str(refusal.value)


@pytest.fixture
def folder(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The one that SECRETS_DIR names."""
    environment.setenv("SECRETS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["REDIS_URL", "redis_url"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_a_file_has_what_the_environment_has_not(
    environment: pytest.MonkeyPatch, folder: Path, name: str, value: str | None
) -> None:
    environment.delenv("REDIS_URL")
    if value is not None:
        environment.setenv("REDIS_URL", value)
    (folder / name).write_text("redis://:hunter2@redis/0\n")
    read = Settings.from_environment()
    assert read.redis_url.get_secret_value() == "redis://:hunter2@redis/0"
    assert "redis://:hunter2@redis/0" in read.secrets()


def test_the_environment_goes_before_a_file(environment: pytest.MonkeyPatch, folder: Path) -> None:
    environment.setenv("REDIS_URL", "redis://one/0")
    (folder / "REDIS_URL").write_text("redis://another/0")
    assert Settings.from_environment().redis_url.get_secret_value() == "redis://one/0"


def test_a_secret_mounted_as_kubernetes_does_is_read(environment: pytest.MonkeyPatch, folder: Path) -> None:
    """A link to a link: so all files change in one step."""
    environment.delenv("REDIS_URL")
    (folder / "..2026").mkdir()
    (folder / "..2026" / "REDIS_URL").write_text("redis://one/0")
    (folder / "..data").symlink_to("..2026")
    (folder / "REDIS_URL").symlink_to("..data/REDIS_URL")
    assert Settings.from_environment().redis_url.get_secret_value() == "redis://one/0"


def no_folder(folder: Path) -> None:
    folder.rmdir()


def a_file_for_the_folder(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("hunter2")


def a_folder_for_a_file(folder: Path) -> None:
    (folder / "REDIS_URL").mkdir()


def a_link_out_of_the_folder(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    outside.write_text("hunter2")
    (folder / "REDIS_URL").symlink_to(outside)


def a_file_that_is_no_text(folder: Path) -> None:
    (folder / "REDIS_URL").write_bytes(b"hunter2\xff")


def a_file_with_nonsense(folder: Path) -> None:
    (folder / "CALLBACK_SECRET").write_text("hunter2")


def an_empty_file(folder: Path) -> None:
    (folder / "REDIS_URL").touch()


@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (no_folder, "SECRETS_DIR", "is no folder"),
        (a_file_for_the_folder, "SECRETS_DIR", "is no folder"),
        (a_folder_for_a_file, "SECRETS_DIR", "REDIS_URL.* found a directory instead"),
        (a_link_out_of_the_folder, "SECRETS_DIR", "REDIS_URL.* resolves outside"),
        (a_file_that_is_no_text, "SECRETS_DIR", "is no text in UTF-8: .*redis_url"),
        (a_file_with_nonsense, "CALLBACK_SECRET", "not whsec_"),
        (an_empty_file, "REDIS_URL", "Field required"),
    ],
)
def test_secrets_that_cannot_be_read_are_told_and_not_shown(
    environment: pytest.MonkeyPatch, folder: Path, spoil: Callable[[Path], None], name: str, reason: str
) -> None:
    environment.delenv("REDIS_URL")
    if name == "CALLBACK_SECRET":
        environment.setenv("REDIS_URL", "redis://one/0")
    spoil(folder)
    with pytest.raises(ConfigurationError, match=rf"\b{name}: .*{reason}") as refusal:
        Settings.from_environment()
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


@pytest.fixture
def somebody_else() -> Iterator[None]:
    """Tests of root, who may read anything, are somebody else's meanwhile."""
    ours = os.geteuid()
    if ours == 0:
        os.seteuid(65534)
    yield
    os.seteuid(ours)


def test_a_file_that_may_not_be_read_is_named(environment: pytest.MonkeyPatch, somebody_else: None) -> None:
    environment.delenv("REDIS_URL")
    with TemporaryDirectory() as folder:
        environment.setenv("SECRETS_DIR", folder)
        file = Path(folder, "REDIS_URL")
        file.write_text("hunter2")
        file.chmod(0)
        with pytest.raises(ConfigurationError, match=f"^SECRETS_DIR: {file} cannot be read: Permission denied$"):
            Settings.from_environment()


def test_hosts_to_call_back_need_a_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CALLBACK_HOSTS", "hooks.example.com")
    with pytest.raises(ConfigurationError, match=r"\bCALLBACK_SECRET: .*required with CALLBACK_HOSTS"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CALLBACK_HOSTS", "hooks.example.com"),
        ("CALLBACK_HOSTS", "Hooks.example.com:8443, xn--bcher-kva.de ,my_service,8.8.8.8,10.1.2.3:80,[2600::1]:443"),
        ("CALLBACK_NETWORKS", "10.1.0.0/16, fd00:1::/32,127.0.0.1"),
        ("CORS_ORIGINS", "https://app.example.com, http://localhost:3000 ,http://127.0.0.1:5173"),
        ("CALLBACK_SECRET", "whsec_" + b64encode(bytes(24)).decode()),
        ("CALLBACK_SECRET", "whsec_" + b64encode(bytes(64)).decode()),
        ("CALLBACK_SECRET", SIGNING_KEY + "," + SIGNING_KEY),
        ("USER_DB_URL", "postgresql://u:%2F%40%23@one:5432,[fd00::2]:5433/user_db?sslmode=require"),
        ("USER_DB_URL", "postgresql://%2Frun%2Fpostgresql/user_db"),
        ("USER_DB_URL", "host=/run/postgresql user=u password='a/b@c' dbname=user_db"),
        ("REDIS_URL", "unix://u:a@/run/redis.sock?db=1"),
        ("BROKER_URL", "amqp://u:a~!$&'()*+,;=b:c@one:5672/%2f;amqp://u:a@two:5672//"),
    ],
)
def test_a_right_list_or_key_is_taken(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv("CALLBACK_SECRET", SIGNING_KEY)
    environment.setenv(name, value)
    assert Settings.from_environment()


def test_every_wrong_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("BROKER_URL")
    environment.delenv("MODEL_STORE")
    environment.setenv("WEB_THREADS", "0")
    with pytest.raises(ConfigurationError, match=r"\.env\.example.*BROKER_URL.*MODEL_STORE.*WEB_THREADS"):
        Settings.from_environment()


def test_a_refusal_names_no_password_of_the_variables_that_are_right(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("MODEL_STORE")
    with pytest.raises(ConfigurationError) as refusal:
        Settings.from_environment()
    assert not [name for name in REQUIRED if name in os.environ and os.environ[name] in str(refusal.value)]


def test_addresses_with_passwords_are_masked_when_settings_are_shown(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment()
    assert {name for name, field in FIELDS.items() if field.annotation is SecretStr} == {
        *(name for name in REQUIRED if name.endswith("_URL")),
        "CALLBACK_SECRET",
        "JWT_SECRET",
    }
    assert "change-me" not in repr(settings) + str(settings.model_dump())


@pytest.mark.parametrize("seconds", [0, 2.5, 10, 60])
def test_a_page_made_with_remembered_titles_is_never_older_than_reuse_seconds(seconds: float) -> None:
    found = Settings.model_validate(dict.fromkeys(map(str.lower, REQUIRED), "x") | {"reuse_seconds": seconds})
    assert found.title_seconds + found.page_seconds == pytest.approx(seconds)
