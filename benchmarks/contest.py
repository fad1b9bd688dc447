"""Other libraries' models on the same split, tuned on the same validation part, measured by the same code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.peers.peer import Peer, PeerError, Recommend, Setting
from benchmarks.peers.tuning import tune
from shared.ids import IdArray
from shared.media import Kind
from shared.model import Interval
from worker.training.evaluation import Task
from worker.training.evaluator import Evaluator
from worker.training.interactions import Interactions
from worker.training.metrics import Lists, intervals, per_user
from worker.training.search import METRIC, K
from worker.training.selection import JUDGES
from worker.training.split import split

_BATCH: Final = 1000  # users ranked at once
# What a peer may be shown, where there are watches besides likes; which is better is tuned like a setting.
_SHOWN: Final = {"likes": (Kind.LIKE,), "likes and watches": (Kind.LIKE, Kind.WATCH)}


@dataclass(frozen=True)
class Entry:
    """What one peer came to, or why it came to nothing."""

    peer: str
    figures: Mapping[str, Interval]  # none where it came to nothing
    setting: Setting
    learnt_from: str
    tried: int
    untried: int  # settings of its grid that the budget left no time for
    seconds: float
    reason: str | None = None


def enter(peer: Peer, task: Task, *, budget: float, say: Callable[[str], None]) -> Entry:
    """Tune a peer within what is learnt from, fit it to all of that, and measure it on what was held out."""
    started = time.perf_counter()
    try:
        setting, learnt_from, tried, untried = _tuned(peer, task, budget, say)
        table = _Table.of(task.split.fit, _SHOWN[learnt_from])
        recommend = peer.fit(table.matrix, setting, seed=task.policy.seed)
        evaluator = Evaluator(task.split, task.platform, most_users=task.most_users, seed=task.policy.seed)
        lists = table.lists(recommend, evaluator, max(task.ks))
    except PeerError as error:
        return Entry(peer.name, {}, {}, "", 0, 0, time.perf_counter() - started, str(error))
    figures = intervals(lists, evaluator.truth, seed=task.policy.seed, ks=task.ks)
    return Entry(peer.name, figures, setting, learnt_from, tried, untried, time.perf_counter() - started)


def _tuned(peer: Peer, task: Task, budget: float, say: Callable[[str], None]) -> tuple[Setting, str, int, int]:
    """The best setting, what it is best shown, and how many settings were tried and not tried."""
    fit = task.split.fit
    validation = split(fit, task.validation, seed=task.policy.seed)
    judge = Evaluator(validation, task.platform, most_users=JUDGES, seed=task.policy.seed)
    watched = bool((fit.kinds == Kind.WATCH).any())
    shown = list(_SHOWN) if watched else ["likes"]
    results = {}
    for name in shown:
        table = _Table.of(validation.fit, _SHOWN[name])
        score = partial(_score, table=table, judge=judge)
        results[name] = tune(peer, table.matrix, score, seed=task.policy.seed, progress=say, budget=budget / len(shown))
    best = max(results, key=lambda name: results[name].value)
    tried, untried = (sum(len(getattr(r, part)) for r in results.values()) for part in ("trials", "untried"))
    return results[best].setting, best, tried, untried


def _score(recommend: Recommend, *, table: _Table, judge: Evaluator) -> float:
    return float(per_user(table.lists(recommend, judge, K), judge.truth, (K,))[METRIC].mean())


@dataclass(frozen=True)
class _Table:
    """Interactions as other libraries want them."""

    matrix: sparse.csr_array  # (users, titles), float32, ones where a user likes (or watched) a title
    seen: sparse.csr_array  # the same shape, ones where a user did anything
    title_ids: IdArray  # (titles,)

    @classmethod
    def of(cls, learnt: Interactions, kinds: tuple[Kind, ...]) -> _Table:
        positive = np.isin(learnt.kinds, kinds)
        columns = np.unique(learnt.titles[positive])
        known = np.isin(learnt.titles, columns)

        def ones(kept: NDArray[np.bool_]) -> sparse.csr_array:
            titles = np.searchsorted(columns, learnt.titles[kept])
            data = np.ones(len(titles), dtype=np.float32)
            return sparse.csr_array((data, (learnt.users[kept], titles)), shape=(len(learnt.user_ids), len(columns)))

        return cls(ones(positive), ones(known), learnt.title_ids[columns])

    def lists(self, recommend: Recommend, evaluator: Evaluator, depth: int) -> Lists:
        """For every user tested, in the places of the evaluator's catalogue."""
        place = np.append(evaluator.catalogue.index.find(self.title_ids), -1)  # -1, no title, stays -1
        lists = []
        for start in range(0, len(evaluator.users), _BATCH):
            users = evaluator.users[start : start + _BATCH].astype(np.int64)
            lists.append(place[recommend(users, self.matrix[users], self.seen[users], depth)])
        return np.concatenate(lists)
