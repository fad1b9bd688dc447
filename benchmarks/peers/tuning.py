"""A peer at its best: every setting of its grid is tried on validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from scipy import sparse

from benchmarks.peers.peer import NotFitted, Peer, Recommend, Setting, check_memory


@dataclass(frozen=True)
class Trial:
    """One setting: what it reached and what it took."""

    setting: Setting
    value: float  # NaN when it was not fitted
    fit_seconds: float
    score_seconds: float
    failure: str | None = None


@dataclass(frozen=True)
class Tuned:
    """The best setting, and all that were tried."""

    setting: Setting
    value: float
    trials: tuple[Trial, ...]
    untried: tuple[Setting, ...]  # the budget was spent before their turn


def tune(
    peer: Peer,
    fit_matrix: sparse.csr_array,
    score: Callable[[Recommend], float],
    *,
    seed: int,
    progress: Callable[[str], None],
    budget: float = math.inf,
) -> Tuned:
    """Fit and score the settings in turn; the highest score wins, the earlier of two that are equal.

    No setting is begun once `budget` seconds have passed; the first always is. Raises NotPossible before anything is
    started, and NotFitted when no setting could be fitted.
    """
    check_memory(peer, fit_matrix)
    started = perf_counter()
    settings = tuple(peer.settings())
    trials: list[Trial] = []
    for setting in settings:
        if trials and perf_counter() - started > budget:
            break
        trials.append(_try(peer, fit_matrix, score, setting, seed))
        progress(f"{peer.name} {len(trials)}/{len(settings)} {_described(trials[-1])}")
    fitted = [trial for trial in trials if trial.failure is None]
    if not fitted:
        raise NotFitted(f"{peer.name}: no setting could be fitted; the last said: {trials[-1].failure}")
    winner = max(fitted, key=lambda trial: trial.value)
    return Tuned(winner.setting, winner.value, tuple(trials), settings[len(trials) :])


def _try(
    peer: Peer, fit_matrix: sparse.csr_array, score: Callable[[Recommend], float], setting: Setting, seed: int
) -> Trial:
    started = perf_counter()
    try:
        recommend = peer.fit(fit_matrix, setting, seed=seed)
    except NotFitted as error:
        return Trial(setting, math.nan, perf_counter() - started, 0.0, str(error))
    fitted = perf_counter()
    value = score(recommend)
    return Trial(setting, value, fitted - started, perf_counter() - fitted)


def _described(trial: Trial) -> str:
    """`factors=64 alpha=10: 0.1234 (fit 1.2 s, score 0.3 s)`."""
    setting = " ".join(f"{name}={value:g}" for name, value in trial.setting.items())
    outcome = trial.failure if trial.failure is not None else f"{trial.value:.4f}"
    return f"{setting}: {outcome} (fit {trial.fit_seconds:.1f} s, score {trial.score_seconds:.1f} s)"
