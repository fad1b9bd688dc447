"""A small media platform to serve while things break: dozens of titles, hundreds of users, the same every time."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

import pandas as pd

from demo.movielens import Sample, SampleTitle, SampleUser

TITLES: Final = 60
USERS: Final = 400
HISTORY: Final = range(3, 12)  # interactions per user

_GENRES: Final = ("Drama", "Comedy", "War", "Crime", "Musical", "Western")
_SEED: Final = 20_240_101
_NOON: Final = datetime(2024, 1, 1, 12)


def small_sample() -> Sample:
    """Titles, users and what the users did, drawn with a fixed seed."""
    draw = random.Random(_SEED)
    titles = [SampleTitle(_id("title", i), f"Title {i}", 1960 + i, _genres(draw)) for i in range(TITLES)]
    users = [SampleUser(_id("user", i), _genres(draw)) for i in range(USERS)]
    seen = [(user, title) for user in users for title in draw.sample(titles, draw.choice(HISTORY))]
    interactions = pd.DataFrame(
        [
            (str(user.id), str(title.id), draw.choice(("LIKE", "LIKE", "WATCH", "DISLIKE")), 4.0, _minute(number))
            for number, (user, title) in enumerate(seen)
        ],
        columns=["user_id", "media_id", "type", "interaction_value", "timestamp"],
    )
    return Sample(titles=titles, users=users, interactions=interactions)


def stranger(number: int) -> UUID:
    """A user whom the platform does not know, and for whom there is a list all the same."""
    return _id("stranger", number)


def _id(kind: str, number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"faults/{kind}/{number}")


def _genres(draw: random.Random) -> tuple[str, ...]:
    return tuple(draw.sample(_GENRES, draw.randint(1, 3)))


def _minute(number: int) -> datetime:
    return _NOON + timedelta(minutes=number)
