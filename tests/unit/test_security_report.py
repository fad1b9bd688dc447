"""The last line of `make security` says what was clean, what was not, and what nobody knows."""

from __future__ import annotations

import sys

import pytest

from tests.audit import NOT_CHECKED
from tests.containers import PROJECT
from tests.security.__main__ import CHECKS, run, verdict

VERDICTS = {
    "all-clean": ({"attacks": 0, "bandit": 0}, "Security: clean: attacks, bandit.", 0),
    "one-failed": ({"attacks": 1, "bandit": 0}, "Security: FAILED: attacks; clean: bandit.", 1),
    "none-collected": ({"attacks": 5, "bandit": 0}, "Security: FAILED: attacks; clean: bandit.", 1),
    "killed": ({"attacks": -9, "bandit": 0}, "Security: FAILED: attacks; clean: bandit.", 1),
    "not-checked": (
        {"bandit": 0, "pip-audit": NOT_CHECKED}, "Security: NOT CHECKED: pip-audit; clean: bandit.", NOT_CHECKED
    ),
    "failed-and-not-checked": (
        {"bandit": 1, "pip-audit": NOT_CHECKED}, "Security: FAILED: bandit; NOT CHECKED: pip-audit.", 1
    ),
}  # fmt: skip


@pytest.mark.parametrize(("codes", "line", "code"), VERDICTS.values(), ids=VERDICTS)
def test_the_last_line_and_the_exit_code_say_the_same(codes: dict[str, int], line: str, code: int) -> None:
    assert verdict(codes) == (line, code)


def test_what_fails_does_not_keep_the_rest_from_running() -> None:
    assert run({name: [sys.executable, "-c", f"exit({code})"] for name, code in (("a", 3), ("b", 0))}) == {
        "a": 3,
        "b": 0,
    }


def test_each_tool_is_run() -> None:
    assert list(CHECKS) == ["attacks", "bandit", "hadolint and docker-compose", "pip-audit"]


def test_make_lint_asks_bandit_the_same() -> None:
    command = " ".join(CHECKS["bandit"][1:])
    assert f"\t@$(RUN) {command}\n" in (PROJECT / "Makefile").read_text(encoding="utf-8")
