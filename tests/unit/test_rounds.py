"""Rounds: whatever comes of one, the next follows, until they are stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from queue import Queue

import pytest

from shared.errors import DatabaseUnavailable
from tests.platform import wait_for
from worker.rounds import Rounds

SOON = 10.0  # s, for what happens at once
LONG = 3600.0

Outcome = bool | None | Exception


class Script:
    """Rounds that come out as they are told; `count` of them have begun."""

    def __init__(self, *outcomes: Outcome, pause_seconds: float) -> None:
        self.count = 0
        self._outcomes: Queue[Outcome] = Queue()
        for outcome in outcomes:
            self._outcomes.put(outcome)
        self.rounds = Rounds("clockwork", self._round, pause_seconds=pause_seconds)

    def _round(self) -> bool | None:
        self.count += 1
        outcome = None if self._outcomes.empty() else self._outcomes.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def started() -> Iterator[list[Script]]:
    scripts: list[Script] = []
    yield scripts
    for script in scripts:
        script.rounds.stop()


def start(started: list[Script], *outcomes: Outcome, pause_seconds: float) -> Script:
    script = Script(*outcomes, pause_seconds=pause_seconds)
    started.append(script)
    script.rounds.start()
    return script


def test_what_is_down_is_logged_once_and_again_when_it_is_back(
    started: list[Script], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    down = DatabaseUnavailable("jobs_db", "it is being mended")
    start(started, down, down, down, pause_seconds=0.001)
    wait_for(lambda: "what the clockwork needs is up again" in caplog.text, SOON)
    assert caplog.text.count("what the clockwork needs is down, going on without it: jobs_db") == 1


def test_a_defect_is_logged_with_its_traceback_and_ends_nothing(
    started: list[Script], caplog: pytest.LogCaptureFixture
) -> None:
    script = start(started, ZeroDivisionError("a defect"), pause_seconds=0.001)
    wait_for(lambda: script.count > 2, SOON)
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "a round of the clockwork failed"


def test_a_round_that_has_more_to_do_is_followed_at_once_and_others_by_a_pause(started: list[Script]) -> None:
    script = start(started, True, True, False, pause_seconds=LONG)
    wait_for(lambda: script.count == 3, SOON)


def test_one_that_pauses_can_be_woken(started: list[Script]) -> None:
    script = start(started, pause_seconds=LONG)
    for count in (1, 2, 3):
        wait_for(lambda count=count: script.count == count, SOON)
        script.rounds.wake()


def test_after_the_stop_there_is_no_other_round(started: list[Script]) -> None:
    script = start(started, pause_seconds=LONG)
    wait_for(lambda: script.count == 1, SOON)
    script.rounds.stop()
    script.rounds.stop()
    script.rounds._thread.join(SOON)
    assert not script.rounds._thread.is_alive()
    assert script.count == 1
