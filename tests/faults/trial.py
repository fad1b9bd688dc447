"""One fault under load: every answer held against what is promised, and the time until all is well again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from shared.job_states import JobState
from tests.faults.accepted import Accepted
from tests.faults.audience import Audience
from tests.faults.cluster import Cluster
from tests.faults.load import Answer, Load
from tests.faults.promises import JOB, KINDS, Bounds, is_promised, is_whole, shows
from tests.faults.report import Row
from tests.platform import wait_for

LASTS: Final = 2.5  # s that a fault does
_WELL: Final = 8  # whole answers of each kind, one after the other, are a sign that all is well

# s in which jobs are done after a fault. The longest: a worker whose connection to the broker is dead and does not say
# so asks for a sign after 5 s, waits 5 s for it, and connects again after pauses of 1, 2, 3 s and more; then messages
# are taken for lost and sent again, and leases that nobody closed end.
JOBS_DONE: Final = 60.0


Seen = set[tuple[str, str]]
"""What callers saw: a kind of request, and what its answer showed."""


class Trials:
    """Tries faults out on a cluster."""

    def __init__(self, cluster: Cluster, audience: Audience, report: list[Row]) -> None:
        self.cluster = cluster
        self._audience = audience
        self._report = report
        self._bounds = Bounds(cluster.settings)

    @contextlib.contextmanager
    def trial(
        self,
        fault: str,
        *down: str,
        silent: bool = False,
        well_before: bool = True,
        queue: float = 0.0,
        recovery: float | None = None,
    ) -> Iterator[Seen]:
        """The block is the fault, from its beginning to its end; afterwards, the set holds what callers saw meanwhile.

        down: what does not work, as readiness calls it. silent: it says nothing at all. queue: seconds that an answer
        may take on top, where more ask than the gateway has threads. recovery: the longest until all is well again, in
        seconds, where that is not a matter of the databases' times.
        """
        seen: Seen = set()
        with Load(self.cluster.address, self._audience.kinds) as load:
            if well_before:
                wait_for(lambda: self._is_well(load))
            self._audience.forget_rare_titles(self.cluster.platform.redis_url)
            began = time.monotonic()
            yield seen
            ended = time.monotonic()
            with contextlib.suppress(AssertionError):  # the answers say what was wrong
                wait_for(lambda: self._is_well(load, since=ended), recovery or self._bounds.recovery)
        answers = [answer for answer in load.answers if answer.answered >= began]
        seen.update((answer.kind, shows(answer)) for answer in answers if answer.asked < ended)
        names = frozenset(down)
        late = [a for a in answers if a.seconds > queue + self._bounds.answer(a.kind, names, silent=silent)]
        self._check(fault, answers, names, ended=ended, late=late, well=self._is_well(load, since=ended))

    def _check(
        self, fault: str, answers: list[Answer], down: frozenset[str], *, ended: float, late: list[Answer], well: bool
    ) -> None:
        short = [answer for answer in answers if not self._is_whole(answer)]
        unpromised = [answer for answer in short if not is_promised(answer, down, self._audience.pages)]
        accepted = [answer for answer in answers if answer.kind == JOB and answer.status == 202]
        jobs = self._audience.followed(accepted, JOBS_DONE)
        lost = [job.job_id for job in jobs if job.document["state"] != JobState.COMPLETED]
        wrong = [sentence for job in jobs for sentence in job.broken()]
        wrong += self._audience.wrong_results([a for a in accepted if a.body["job_id"] not in lost])
        if left := self.cluster.left_behind(0 if lost else JOBS_DONE):
            wrong.append(f"I6: left behind: {left}")
        back = [a.answered - ended for a in short] + [
            _finished(job) - ended for job, answer in zip(jobs, accepted, strict=True) if answer.asked < ended
        ]
        self._report.append(
            Row(
                fault,
                injected=1,
                accepted=len(accepted),
                lost=len(lost),
                wrong=len(unpromised) + len(late) + len(wrong),
                recovery_seconds=max([0.0, *back]),
                answers=len(answers),
                slowest_seconds=max(answer.seconds for answer in answers),
            )
        )
        assert not unpromised, _some("not as promised", unpromised)
        assert not late, _some("late", late)
        assert well, _some("not well again in time", short[-5:])
        assert not lost, f"jobs that were accepted and not done: {lost}"
        assert not wrong, f"jobs or results that are wrong: {str(wrong)[:1000]}"

    def _is_whole(self, answer: Answer) -> bool:
        return is_whole(answer, self._audience.pages)

    def _is_well(self, load: Load, since: float = 0.0) -> bool:
        """Whether the last answers of each kind, to what was asked since, are whole."""
        answers = load.since(since)
        last = [[answer for answer in answers if answer.kind == kind][-_WELL:] for kind in KINDS]
        return all(len(some) == _WELL and all(map(self._is_whole, some)) for some in last)


def _some(what: str, answers: list[Answer]) -> str:
    return f"{len(answers)} answers {what}:\n" + "\n".join(map(str, answers[:5]))


def _finished(job: Accepted) -> float:
    """When the job ended by its own account, on this process's clock; it has not been lost."""
    if (at := job.document["finished_at"]) is None:
        return 0.0
    return datetime.fromisoformat(at).timestamp() - time.time() + time.monotonic()
