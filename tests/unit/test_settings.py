"""Settings and .env.example say the same, and a wrong environment is refused by name and never by value."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "SERVICE_PASSWORD", "REDIS_PASSWORD", "GATEWAY_PUBLISH"}

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
    assert passwords["SERVICE_PASSWORD"] in settings.jobs_db_url.get_secret_value()
    assert passwords["REDIS_PASSWORD"] in settings.broker_url.get_secret_value()
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


def test_every_wrong_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("BROKER_URL")
    environment.delenv("MODEL_DIR")
    environment.setenv("WEB_THREADS", "0")
    with pytest.raises(ConfigurationError, match=r"\.env\.example.*BROKER_URL.*MODEL_DIR.*WEB_THREADS"):
        Settings.from_environment()


def test_a_refusal_names_no_password_of_the_variables_that_are_right(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("MODEL_DIR")
    with pytest.raises(ConfigurationError) as refusal:
        Settings.from_environment()
    assert not [name for name in REQUIRED if name in os.environ and os.environ[name] in str(refusal.value)]


def test_addresses_with_passwords_are_masked_when_settings_are_shown(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment()
    assert {name for name, field in FIELDS.items() if field.annotation is SecretStr} == {
        name for name in REQUIRED if name.endswith("_URL")
    }
    assert "change-me" not in repr(settings) + str(settings.model_dump())
