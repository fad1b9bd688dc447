"""Where an evaluation's interactions come from, and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.catalogue import Listed
from shared.errors import UnusableFile
from shared.ids import IdArray
from shared.model_settings import ModelSettings
from shared.parts import Databases, weights_of
from shared.repositories.catalog import CatalogRepository
from shared.repositories.engagement import EngagementRepository
from shared.repositories.users import UserRepository
from shared.settings import Settings
from shared.strengths import Strengths
from worker.training.coded_rows import CodedRows, Parts
from worker.training.configuration import platform_of, policy
from worker.training.evaluation import Task
from worker.training.evaluator import Platform
from worker.training.files import Names, Thresholds, read_genres, read_interactions
from worker.training.interactions import Interactions
from worker.training.preferences import favourites
from worker.training.reading import read_interactions as read_database
from worker.training.split import Protocol, Split, split

_MOSTLY = 0.9  # of the users: so many must go on after where the training part ends, for it to be a split by time


@dataclass(frozen=True)
class Options:
    """What whoever evaluates wants."""

    thresholds: Thresholds
    titles: Path | None  # a file with genres
    protocol: Protocol | None  # None: temporal where times are known
    lines_are_in_time: bool
    least: int  # interactions of a user who is tested
    most_users: int | None
    ks: Sequence[int]


def from_interactions(path: Path, settings: ModelSettings, options: Options) -> Task:
    """A file's interactions, split. Without timestamps its lines are taken to be in order of time, if the split is by
    time. Raises UnusableFile."""
    names = Names()
    in_time = options.lines_are_in_time or options.protocol is Protocol.TEMPORAL
    rows = read_interactions(path, names, options.thresholds, lines_are_in_time=in_time)
    interactions = Interactions.of(CodedRows.of(rows), Strengths.from_settings(settings))
    protocol = options.protocol or (Protocol.TEMPORAL if interactions.ordered else Protocol.RANDOM)
    parts = split(interactions, protocol, seed=settings.training_seed, least=options.least)
    return _from_files(parts, protocol, names, interactions.title_ids, settings, options)


def from_train_and_test(train: Path, test: Path, settings: ModelSettings, options: Options) -> Task:
    """Two files that were split by somebody else. Settings are chosen within the first alone.

    They are chosen by a split of the same kind: by time if the test's rows are later than the training's, where both
    have timestamps; at random if not, or where nothing is known of time. Raises UnusableFile.
    """
    names = Names()
    first = read_interactions(train, names, options.thresholds, lines_are_in_time=options.lines_are_in_time)
    second = read_interactions(
        test, names, options.thresholds, first_row=len(first), lines_are_in_time=options.lines_are_in_time
    )
    parts = Parts()
    parts.add(CodedRows.of(first))
    parts.add(CodedRows.of(second))
    both = parts.joined()
    both = both.part(~_known_already(both, len(first)))
    whole = Interactions.of(both, Strengths.from_settings(settings))
    learnt = whole.rows < len(first)
    fit, held = whole.part(learnt), whole.part(~learnt)
    later = options.lines_are_in_time or (whole.ordered and _goes_on(fit, held))
    protocol = Protocol.TEMPORAL if later else Protocol.RANDOM
    return _from_files(Split(protocol, fit, fit, held), protocol, names, whole.title_ids, settings, options)


def from_databases(databases: Databases, settings: Settings, options: Options) -> Task:
    """The platform's own interactions, titles and preferences, split. Raises DatabaseUnavailable."""
    rows = read_database(EngagementRepository(databases.engagement))
    interactions = Interactions.of(rows, Strengths.from_settings(settings))
    protocol = options.protocol or (Protocol.TEMPORAL if interactions.ordered else Protocol.RANDOM)
    catalog, users = CatalogRepository(databases.catalog), UserRepository(databases.user)
    platform = replace(
        platform_of(catalog.listed(), settings, datetime.now(UTC)),
        genres=catalog.titles_by_genre(),
        preferences=lambda user_ids: users.genres(user_ids, bulk=True),
    )
    parts = split(interactions, protocol, seed=settings.training_seed, least=options.least)
    return _task(parts, protocol, platform, settings, options)


def _known_already(rows: CodedRows, learnt: int) -> NDArray[np.bool_]:
    """Which of the rows behind the first `learnt` repeat a user's title from among these: it is seen, and so never
    recommended. Shape (n,)."""
    pairs = rows.users.astype(np.int64) * len(rows.title_ids) + rows.titles
    return np.isin(pairs, pairs[:learnt]) & (np.arange(len(pairs)) >= learnt)


def _goes_on(fit: Interactions, held: Interactions) -> bool:
    """Whether the users' held-out interactions are later than what is learnt from."""
    last = np.full(len(fit.user_ids), np.iinfo(np.int64).min)
    np.maximum.at(last, fit.users, fit.times)
    first = np.full(len(fit.user_ids), np.iinfo(np.int64).max)
    np.minimum.at(first, held.users, held.times)
    in_both = np.intersect1d(fit.users, held.users)
    return bool(len(in_both)) and float(np.mean(first[in_both] >= last[in_both])) > _MOSTLY


def _from_files(
    parts: Split, protocol: Protocol, names: Names, titles: IdArray, settings: ModelSettings, options: Options
) -> Task:
    platform = platform_of(Listed.ids_only(titles), settings, datetime.now(UTC))
    if options.titles is not None:
        listed, genres = read_genres(options.titles, names)
        if not np.isin(titles, listed).any():
            raise UnusableFile(f"{options.titles} has none of the titles that users interacted with")
        platform = replace(
            platform,
            titles=Listed.ids_only(np.union1d(titles, listed)),
            genres=genres,
            preferences=favourites(parts.history, genres),
        )
    return _task(parts, protocol, platform, settings, options)


def _task(parts: Split, protocol: Protocol, platform: Platform, settings: ModelSettings, options: Options) -> Task:
    return Task(
        split=parts,
        validation=protocol,
        platform=platform,
        weights=weights_of(settings),
        policy=policy(settings, ordered=parts.fit.ordered and protocol is not Protocol.USERS),
        most_users=options.most_users,
        ks=options.ks,
    )
