"""What is held out, to be guessed from the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from shared.media import Kind
from shared.strengths import TimeLine
from worker.training.interactions import Interactions

FRACTION = 0.2  # of a user's interactions, or of the users
LEAST = 5  # interactions of a user, for some of them to be held out


class Protocol(StrEnum):
    """How interactions are held out."""

    TEMPORAL = "temporal"  # each user's last fifth: what the service does in life
    RANDOM = "random"  # a fifth of each user's, at random: usual where times are unknown
    USERS = "users"  # a fifth of the users entirely; of these, a fifth at random is guessed from the rest


@dataclass(frozen=True)
class Split:
    """Three parts of the same interactions, over the same index spaces."""

    protocol: Protocol
    fit: Interactions  # what a model learns from
    history: Interactions  # what is known of the users who are tested
    held: Interactions  # what they did besides

    @property
    def relevant(self) -> Interactions:
        """What a good list holds: held-out likes, or watches on a platform where nobody likes."""
        liked = self.held.kinds == Kind.LIKE
        return self.held.part(liked if liked.any() else self.held.kinds == Kind.WATCH)


def split(interactions: Interactions, protocol: Protocol, *, seed: int, least: int = LEAST) -> Split:
    """Hold out a fifth. Users with fewer than `least` interactions are learnt from, and not tested."""
    draw = np.random.default_rng(seed)
    users = interactions.users
    if protocol is Protocol.TEMPORAL:
        line = TimeLine.of(users, interactions.times, interactions.rows)
    else:
        line = TimeLine.of(users, draw.permutation(len(users)), interactions.rows)
    count = np.bincount(users, minlength=len(interactions.user_ids))
    most = np.where(count >= least, np.maximum(1, np.floor(FRACTION * count)), 0)
    held = np.zeros(len(users), dtype=np.bool_)
    held[line.order] = line.ranks < most[users[line.order]]
    if protocol is not Protocol.USERS:
        known = interactions.part(~held)
        return Split(protocol, fit=known, history=known, held=interactions.part(held))
    tested = np.zeros(len(count), dtype=np.bool_)
    able = np.flatnonzero(most)
    tested[draw.choice(able, size=int(np.ceil(FRACTION * len(able))), replace=False)] = True
    of_tested = tested[users]
    return Split(
        protocol,
        fit=interactions.part(~of_tested),
        history=interactions.part(of_tested & ~held),
        held=interactions.part(of_tested & held),
    )
