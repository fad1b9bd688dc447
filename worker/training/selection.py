"""The setting a model is trained with: searched for on a part that is held out, or the default."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from shared.errors import NothingToEvaluate
from worker.training.estimators.estimator import Limits
from worker.training.evaluator import Evaluator, Platform
from worker.training.interactions import Interactions
from worker.training.learn import Choice
from worker.training.search import Found, Report, Search
from worker.training.split import Protocol, split

_log = logging.getLogger(__name__)

_HELD_BACK = 0.6
JUDGES = 5_000  # whose held-out interactions settings are judged by


@dataclass(frozen=True)
class Policy:
    """How a setting is chosen."""

    default: Choice  # for a budget of zero
    budget_seconds: float
    neighbours: int  # K while searching
    limits: Limits
    seed: int


@dataclass(frozen=True)
class Selection:
    """The setting, and why."""

    choice: Choice
    found: Found | None  # None for a budget of zero, and where there is too little to try on: the default, untried
    protocol: Protocol
    users: int  # whose held-out interactions it was judged by


def select(
    interactions: Interactions, platform: Platform, policy: Policy, protocol: Protocol, report: Report
) -> Selection:
    """Search within these interactions only; the default where they are too few. Raises NothingToTrainOn."""
    if not policy.budget_seconds:
        return Selection(policy.default, None, protocol, 0)
    part = split(interactions, protocol, seed=policy.seed)
    try:
        evaluator = Evaluator(part, platform, most_users=JUDGES, seed=policy.seed)
    except NothingToEvaluate as error:
        _log.warning("no model is searched for, the default is taken: %s", error)
        return Selection(policy.default, None, protocol, 0)
    # What is learnt from in the end is a fourth more than this part: what hardly fits here would not fit then.
    limits = replace(policy.limits, memory_bytes=round(_HELD_BACK * policy.limits.memory_bytes))
    found = Search(
        part.fit.histories(),
        evaluator,
        limits,
        ordered=interactions.ordered,
        neighbours=policy.neighbours,
        budget_seconds=policy.budget_seconds,
        report=report,
    ).run()
    return Selection(found.best.choice, found, protocol, len(evaluator.users))
