"""The collaborative score against the seed's own formula in SQL, on real data; and that history is read live."""

from __future__ import annotations

import random
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from shared.ids import to_uuids
from shared.repositories.engagement import EngagementRepository
from shared.strengths import Strengths
from shared.tastes import tastes
from tests.conftest import Service
from tests.oracles import SEED_SQL
from tests.platform import Platform
from tests.slow_scorer import collaborative_scores

EVERYTHING = 10_000  # more than there are titles: no cut
PLAIN = {
    "model_history_exponent": 0,
    "model_user_exponent": 0,
    "model_title_exponent": 0,
    "model_neighbours": EVERYTHING,
    "model_order": 1,
    "model_recency": 0,
    "watch_strength": 1,
    "dislike_strength": 0,
}


@pytest.mark.usefixtures("service")
def test_without_damping_or_cut_the_scores_on_movielens_equal_the_seeds_sql(service: Service, tmp_path: Path) -> None:
    """Every score of a dozen users, the one with the longest history among them."""
    platform = service.platform
    parts = platform.parts(model_store=str(tmp_path), **PLAIN)
    platform.train(model_store=str(tmp_path), **PLAIN)
    parts.refresher.refresh()
    snapshot = parts.refresher.current()
    titles = to_uuids(snapshot.model.titles.ids)

    longest = platform.sql(
        "engagement_db", "SELECT user_id FROM interaction GROUP BY user_id ORDER BY count(*) DESC LIMIT 1"
    )
    users = [*random.Random(7).sample([user.id for user in service.sample.users], 11), UUID(longest[0][0])]
    history = EngagementRepository(parts.databases.engagement).histories(users)
    strengths = Strengths.from_settings(parts.settings)
    known = tastes(users, {}, history, snapshot, strengths=strengths, most=EVERYTHING)
    scores = collaborative_scores(known, snapshot).toarray()

    compared = 0
    for user, row in zip(users, scores, strict=True):
        rows = platform.sql("engagement_db", SEED_SQL, str(user), str(user))
        expected = {UUID(title): float(score) for title, score in rows}
        rows = platform.sql("engagement_db", "SELECT media_id FROM interaction WHERE user_id = %s", str(user))
        seen = {UUID(title) for (title,) in rows}
        found = {titles[i]: float(row[i]) for i in np.flatnonzero(row) if titles[i] not in seen}
        assert found == expected
        compared += len(expected)
    assert compared > 10_000


def test_a_new_like_changes_the_next_uncached_answer_without_training(platform: Platform) -> None:
    heat, ronin, amelie, delicatessen = (platform.title(t) for t in ("Heat", "Ronin", "Amelie", "Delicatessen"))
    for _ in range(3):
        platform.like(uuid4(), heat, ronin)
        platform.like(uuid4(), amelie, delicatessen)
    user = uuid4()
    platform.like(user, heat)
    trained = platform.train()
    gateway = platform.gateway()
    assert gateway.titles(user)[0] == "Ronin"

    platform.interact(user, ronin, "DISLIKE")
    platform.like(user, amelie)

    assert gateway.titles(user, fresh=False)[0] == "Ronin"  # for as long as the cache lives
    assert gateway.titles(user) == ["Delicatessen"]
    assert gateway.page(user)["model_version"] == trained.version


def test_only_the_newest_of_a_long_history_are_scored_from(platform: Platform) -> None:
    heat, ronin, amelie, delicatessen = (platform.title(t) for t in ("Heat", "Ronin", "Amelie", "Delicatessen"))
    platform.like(uuid4(), heat, ronin)
    platform.like(uuid4(), amelie, delicatessen)
    user = uuid4()
    platform.like(user, heat, amelie)
    platform.train()
    page = platform.gateway(history_length=1).page(user)
    scores = {r["title"]: r["collaborative_score"] for r in page["recommendations"]}
    assert scores == {"Delicatessen": 1.0, "Ronin": 0.0}
