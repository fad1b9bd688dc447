"""What is down is passed over, found again, and said once."""

from __future__ import annotations

import logging
import time

import pytest

from shared.availability import Availability


def test_what_is_down_is_passed_over_until_the_pause_is_over() -> None:
    thing = Availability("it", pause_seconds=0.05)
    assert thing.worth_trying()
    thing.failed("no answer")
    assert not thing.worth_trying()
    time.sleep(0.06)
    assert thing.worth_trying()


def test_after_the_pause_one_caller_finds_out_for_all() -> None:
    thing = Availability("it", pause_seconds=0.2)
    thing.failed("no answer")
    time.sleep(0.21)
    assert [thing.worth_trying() for _ in range(3)] == [True, False, False]


def test_what_answers_again_is_used_again_at_once() -> None:
    thing = Availability("it", pause_seconds=60)
    thing.failed("no answer")
    thing.answered()
    assert thing.worth_trying()


def test_going_down_and_coming_back_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    thing = Availability("Redis", pause_seconds=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            thing.failed("no answer")
        for _ in range(5):
            thing.answered()
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "Redis is down, going on without it: no answer"
    assert second.startswith("Redis is up again after ")
