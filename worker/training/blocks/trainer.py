"""The trainer's side of a training that is split: it hands out blocks, makes some itself, and puts the rows together.

Blocks are handed out from the first on, a window at a time, as the chunks of a job are, so that a job's chunk waits
behind a few of them, not all. Meanwhile the trainer makes blocks itself from the last on: it waits for nobody, and
whatever dies or is lost, a training takes at most about as long as if it were not split.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from uuid import UUID, uuid4

from scipy import sparse

from shared.availability import Availability
from shared.broker import PublishBlocks
from shared.errors import BrokerUnavailable, StorageUnavailable
from shared.settings import Settings
from worker.training.blocks.material import Material
from worker.training.blocks.workbench import Workbench
from worker.training.estimators.rows import Rows

_PROGRESS_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Blocks:
    """Makes S with whoever helps."""

    def __init__(self, workbench: Workbench, publish: PublishBlocks, settings: Settings) -> None:
        self._workbench = workbench
        self._publish = publish
        self._settings = settings

    def fit(self, rows: Rows, *, threads: int) -> sparse.csr_array:
        """S (titles, titles), to the bit what one process makes of it. threads: of this process."""
        material, training = Material(rows, self._settings.training_block_titles), uuid4()
        started = time.perf_counter()
        try:
            self._workbench.lay_out(training, material)
            _log.info(
                "training %s is split into %s blocks of %s titles, laid out in %.1f s",
                training, material.blocks, material.block_titles, time.perf_counter() - started,
            )  # fmt: skip
            return _Gathering(training, material, self._workbench, self._publish, self._settings, threads).run()
        except StorageUnavailable as error:
            _log.warning("the training is not split: %s", error)
            return rows.block(slice(0, len(rows)), threads=threads)
        finally:
            with contextlib.suppress(StorageUnavailable):  # the next training does it
                self._workbench.clear()


class _Gathering:
    """One training's blocks, until all are there."""

    def __init__(
        self,
        training: UUID,
        material: Material,
        workbench: Workbench,
        publish: PublishBlocks,
        settings: Settings,
        threads: int,
    ) -> None:
        self._training, self._material, self._workbench, self._publish = training, material, workbench, publish
        self._window, self._patience, self._threads = settings.chunks_in_flight, settings.republish_seconds, threads
        self._missing = list(range(material.blocks))
        self._rows: dict[int, sparse.csr_array] = {}
        self._made_here = 0
        self._sent: dict[int, int] = {}  # how often each block was handed out
        self._lost_at: dict[int, float] = {}  # when a block that was handed out is taken for lost
        self._store = Availability("the model store", self._patience)
        self._broker = Availability("the broker", self._patience)

    def run(self) -> sparse.csr_array:
        """S, once all blocks are there."""
        started = said = time.monotonic()
        while self._missing:
            self._collect()
            self._hand_out()
            self._make_one()
            if time.monotonic() - said >= _PROGRESS_SECONDS:
                said = time.monotonic()
                _log.info("%s of %s blocks are there", len(self._rows), self._material.blocks)
        by_workers, blocks = len(self._rows) - self._made_here, self._material.blocks
        if by_workers:
            _log.info("%s blocks in %.1f s: workers made %s of them, the trainer %s",
                      blocks, time.monotonic() - started, by_workers, self._made_here)  # fmt: skip
        else:
            _log.warning("no worker took part: the trainer made all %s blocks, in %.1f s",
                         blocks, time.monotonic() - started)  # fmt: skip
        return sparse.csr_array(sparse.vstack([self._rows[block] for block in range(blocks)], format="csr"))

    def _collect(self) -> None:
        """Take what workers have made."""

        def take() -> None:
            for block in sorted(self._workbench.made(self._training) & set(self._missing)):
                if (rows := self._workbench.rows(self._training, block, self._material)) is not None:
                    self._take(block, rows)

        self._with_store(take)

    def _hand_out(self) -> None:
        """Fill the window, and hand out again what seems lost, later each time: perhaps the queue is only long."""
        now = time.monotonic()
        flying = self._flying(now)
        due = [block for block in self._missing if block not in flying][: max(0, self._window - len(flying))]
        if not due or not self._broker.worth_trying():
            return
        try:
            self._publish(self._training, due)
            self._broker.answered()
        except BrokerUnavailable as error:  # some may have been sent even so
            self._broker.failed(error)
        if again := sum(block in self._sent for block in due):
            _log.info("%s blocks seem lost and are handed out again", again)
        for block in due:
            times = self._sent[block] = self._sent.get(block, 0) + 1
            self._lost_at[block] = now + self._patience * 2 ** (times - 1)

    def _make_one(self) -> None:
        """Make a block here: the last that nobody has, or else the last that nobody has begun, as it seems."""
        if not self._missing:
            return
        flying = self._flying(time.monotonic())
        block = next((block for block in reversed(self._missing) if block not in flying), self._missing[-1])
        rows = self._material.block(block, threads=self._threads)
        self._take(block, rows)
        self._made_here += 1
        if block in self._sent:  # whoever takes its message now sees that it is made
            self._with_store(lambda: self._workbench.put(self._training, block, rows))

    def _flying(self, now: float) -> set[int]:
        """The blocks that are on the queue or being made."""
        return {block for block in self._missing if self._lost_at.get(block, now) > now}

    def _take(self, block: int, rows: sparse.csr_array) -> None:
        self._rows[block] = rows
        self._missing.remove(block)

    def _with_store(self, do: Callable[[], None]) -> None:
        """Do something with the store, unless it is known to be down."""
        if self._store.worth_trying():
            try:
                do()
                self._store.answered()
            except StorageUnavailable as error:
                self._store.failed(error)
