"""One training, from the database to the published model."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.broker import PublishBlocks
from shared.catalogue import Listed
from shared.databases import Database
from shared.errors import NothingToTrainOn, TrainingBusy
from shared.ids import IdIndex, id_array
from shared.interactions import InteractionRows
from shared.media import Kind
from shared.model import Description, Evidence, Manifest, Model
from shared.model import Trial as TrialRecord
from shared.model_store import ModelStore
from shared.repositories.engagement import EngagementRepository
from shared.settings import Settings
from shared.strengths import Strengths
from worker.training.blocks.trainer import Blocks
from worker.training.blocks.workbench import Workbench
from worker.training.coded_rows import CodedRows
from worker.training.configuration import microseconds, platform_of, policy
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.estimator import Estimator, Limits
from worker.training.interactions import Histories, Interactions
from worker.training.kept_rows import KeptRows
from worker.training.learn import Choice, learn
from worker.training.metrics import interval
from worker.training.publishing import publish
from worker.training.search import METRIC, Report, unheard
from worker.training.selection import Selection, select
from worker.training.space import UnknownEstimator, choice_of
from worker.training.split import Protocol

_LOCK: Final = 0x6D6C2D7472616961  # "ml-traia": the key under which trainings exclude each other in jobs_db

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Material:
    """What a model is made of, once its setting is known."""

    histories: Histories
    popularity: NDArray[np.float32]  # (titles,), of the histories' titles
    watermark: int  # the highest interaction id that was read
    limits: Limits


@dataclass(frozen=True)
class Training:
    """Trains models for one platform; one at a time, however many hosts try."""

    engagement: Database
    jobs: Database  # where trainings exclude each other
    models: ModelStore
    settings: Settings
    report: Report = unheard
    publish_blocks: PublishBlocks | None = None  # None: nobody helps

    def full(self, *, force: bool = False) -> Model:
        """Read every interaction, look for the best setting, and make the result the current model.

        force: even if it is much less than the current one. Raises TrainingBusy, NothingToTrainOn, TrainingTooLarge,
        DatabaseUnavailable, StorageUnavailable, ModelRejected; the current model then stays.
        """
        with self._alone():
            now = datetime.now(UTC)
            interactions = self._settled(self._rows().read_all())
            selection = self._select(interactions, now)
            evidence = _evidence(selection, self.settings.training_seed) if selection.found else None
            material = self._material(interactions, now)
            del interactions  # half of a training's memory
            return self._publish(material, selection.choice, evidence, now, read_all_at=now, force=force)

    def refresh(self) -> Model:
        """Learn from the interactions that are newer, with the setting of the current model; exactly what a full
        training with that setting would come to. Where that cannot be, a full training. Raises as `full` does."""
        basis = self._basis()
        if basis is None:
            return self.full()
        manifest, choice = basis
        with self._alone():
            now = datetime.now(UTC)
            rows = self._rows().read_newer()
            if rows is not None:
                material = self._material(self._settled(rows), now)
                del rows
                return self._publish(
                    material, choice, manifest.evidence, now, read_all_at=manifest.read_all_at, force=False
                )
        return self.full()

    def _basis(self) -> tuple[Manifest, Choice] | None:
        """The current model's manifest and setting, if a refresh can go on from it."""
        manifest = self.models.current_manifest()
        if manifest is None or manifest.read_all_at is None:
            return None
        try:
            return manifest, choice_of(manifest.estimator, manifest.parameters)
        except UnknownEstimator:
            return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self.jobs.exclusively(_LOCK) as alone:
            if not alone:
                raise TrainingBusy("another training is running; it will publish a model when it is done")
            yield

    def _rows(self) -> KeptRows:
        of_this_store = hashlib.sha256(self.settings.model_store.encode()).hexdigest()[:16]
        folder = self.settings.model_cache / f"interactions-{of_this_store}"
        return KeptRows(EngagementRepository(self.engagement), folder)

    def _settled(self, rows: CodedRows) -> Interactions:
        _log.info("%s interactions", len(rows))
        interactions = Interactions.of(rows, Strengths.from_settings(self.settings))
        if not interactions.positive.any():
            raise NothingToTrainOn("engagement_db holds no likes or watches")
        return interactions

    def _select(self, interactions: Interactions, now: datetime) -> Selection:
        platform = platform_of(Listed.ids_only(interactions.title_ids), self.settings, now)
        protocol = Protocol.TEMPORAL if interactions.ordered else Protocol.RANDOM
        return select(
            interactions, platform, policy(self.settings, ordered=interactions.ordered), protocol, self.report
        )

    def _material(self, interactions: Interactions, now: datetime) -> _Material:
        histories = interactions.histories()
        popularity = interactions.popularity(
            half_life_days=self.settings.popularity_half_life_days, now=microseconds(now)
        )
        return _Material(
            histories=histories,
            popularity=popularity[IdIndex(interactions.title_ids).find(histories.title_ids)],
            watermark=int(interactions.rows.max()),
            limits=policy(self.settings, ordered=interactions.ordered).limits,
        )

    def _publish(
        self,
        material: _Material,
        choice: Choice,
        evidence: Evidence | None,
        now: datetime,
        *,
        read_all_at: datetime | None,
        force: bool,
    ) -> Model:
        started = time.perf_counter()
        histories = material.histories
        learnt = learn(histories, choice, material.limits, self._fit)
        users, titles = histories.matrix.shape
        model = publish(
            self.models,
            titles=histories.title_ids,
            popularity=material.popularity,
            neighbours=learnt.neighbours,
            description=Description(
                estimator=choice.name,
                parameters=dict(choice.parameters),
                recency=choice.recency,
                users=users,
                interactions=histories.matrix.nnz,
                watermark=material.watermark,
                read_all_at=read_all_at,
                evidence=evidence,
            ),
            keep=self.settings.model_versions_kept,
            now=now,
            least_share=self.settings.model_least_share,
            force=force,
        )
        _log.info("model %s: %s titles, %.1f s", model.version, titles, time.perf_counter() - started)
        return model

    def _fit(self, estimator: Estimator, histories: Histories, limits: Limits) -> sparse.csr_array:
        """As the estimator does, by blocks of rows where each can be made without the others."""
        workbench = Workbench.of(self.models, self.settings)
        workbench.clear()  # what a trainer left that was killed
        split = 0 < self.settings.training_block_titles < histories.matrix.shape[1]
        if split and self.publish_blocks and isinstance(estimator, CoOccurrence):
            blocks = Blocks(workbench, self.publish_blocks, self.settings)
            return blocks.fit(estimator.rows(histories), threads=limits.threads)
        return estimator.fit(histories, limits)


def warm_up() -> None:
    """Have the loops of a training compiled and kept. Else they are in the first one, beside all the data."""
    ids = id_array(bytes(range(32)))
    two, times = np.arange(2), np.zeros(2, dtype=np.int64)
    found = InteractionRows(
        users=ids[[0, 0]],
        titles=ids,
        kinds=np.full(2, Kind.LIKE, dtype=np.int8),
        times=times,
        rows=two,
        values=np.ones(2, dtype=np.float32),
    )
    histories = Interactions.of(CodedRows.of(found), Strengths(like=1.0, watch=1.0, dislike=0.0)).histories()
    family = CoOccurrence(history_exponent=0.5, user_exponent=0.5, title_exponent=0.5, order=0.5, neighbours=1)
    rows = family.rows(histories)
    rows.block(slice(0, 2), threads=1)
    rows.counts.dense(threads=1)


def _evidence(selection: Selection, seed: int) -> Evidence:
    """For the manifest."""
    assert selection.found is not None
    best = next(t for t in selection.found.trials if t.choice == selection.choice)
    return Evidence(
        split=selection.protocol,
        metric=METRIC,
        users=selection.users,
        seed=seed,
        accuracy=interval(best.scores, seed=seed),
        trials=tuple(
            TrialRecord(
                estimator=trial.choice.name,
                parameters=dict(trial.choice.parameters),
                value=trial.value,
                seconds=round(trial.seconds, 1),
            )
            for trial in selection.found.trials
        ),
        skipped=tuple(selection.found.skipped),
    )
