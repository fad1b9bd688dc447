"""What holds of every estimator, whatever it learns."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shared.errors import TrainingTooLarge
from tests.estimators import drawn
from tests.histories import LIMITS, histories
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.ease import Ease
from worker.training.estimators.estimator import Estimator, Limits
from worker.training.estimators.head import EaseOnHead
from worker.training.estimators.local_ridge import LocalRidge
from worker.training.interactions import Histories

K = 5
FAMILY = CoOccurrence(0.5, 0.5, 0.3, 0.2, K)
REGARDLESS = CoOccurrence(0.5, 0.5, 0.3, 1.0, K)
ESTIMATORS = {
    "co-occurrence": FAMILY,
    "co-occurrence regardless of order": REGARDLESS,
    "co-occurrence by order alone": CoOccurrence(0.5, 0.5, 0.3, 0.0, K),
    "ease": Ease(10.0, 0.5, 0.5, 0.2, K),
    "ease regardless of order": Ease(10.0, 0.0, 0.0, 1.0, K),
    "local ridge": LocalRidge(10.0, FAMILY),
    "local ridge regardless of order": LocalRidge(10.0, REGARDLESS),
    "ease on the head": EaseOnHead(8, Ease(10.0, 0.5, 0.5, 0.2, K), FAMILY),
    "ease on a head of everything": EaseOnHead(1000, Ease(10.0, 0.5, 0.5, 1.0, K), REGARDLESS),
    "ease on a head of one title": EaseOnHead(1, Ease(10.0, 0.5, 0.5, 0.2, K), FAMILY),
}
REFUSING = {name: e for name, e in ESTIMATORS.items() if not isinstance(e, CoOccurrence)}  # which takes least

every = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS.keys())
every_that_may_refuse = pytest.mark.parametrize("estimator", REFUSING.values(), ids=REFUSING.keys())


def alike(one: sparse.csr_array, other: sparse.csr_array) -> bool:
    """To the bit."""
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ("indptr", "indices", "data"))


def _with_neighbours(estimator: Ease | EaseOnHead, k: int) -> Ease | EaseOnHead:
    if isinstance(estimator, EaseOnHead):
        return EaseOnHead(estimator.head, replace(estimator.ease, neighbours=k), replace(estimator.rest, neighbours=k))
    return replace(estimator, neighbours=k)


def check(s: sparse.csr_array, h: Histories, estimator: Estimator) -> None:
    """What the scorer and the model's files rely on."""
    titles = h.matrix.shape[1]
    assert s.shape == (titles, titles)
    assert s.dtype == np.float32
    assert np.isfinite(s.data).all()
    assert not s.diagonal().any()
    assert (s.data != 0).all()
    rows = np.repeat(np.arange(titles), np.diff(s.indptr))
    assert (np.diff(s.indices)[np.diff(rows) == 0] > 0).all(), "columns are not rising"
    if not isinstance(estimator, LocalRidge):  # it cuts what each title is explained by: columns
        assert np.diff(s.indptr).max(initial=0) <= estimator.neighbours
    else:
        assert np.bincount(s.indices, minlength=1).max() <= estimator.neighbours


@every
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(1, 20), st.sampled_from([0.05, 0.3, 1.0]), st.integers(0, 2**20))
def test_weights_are_finite_few_and_in_order_and_no_title_speaks_for_itself(
    estimator: Estimator, users: int, titles: int, share: float, seed: int
) -> None:
    h = drawn(users, titles, seed, share=share)
    check(estimator.fit(h, LIMITS), h, estimator)


DEGENERATE = {
    "nobody": np.zeros((0, 3)),
    "users without anything": np.zeros((4, 3)),
    "a single title": np.ones((5, 1)),
    "a single title of a single user": np.ones((1, 1)),
    "titles that nobody shares": np.eye(6),
    "titles that nobody has": np.array([[1.0, 0, 1], [1, 0, 1]]),
    "everybody likes everything": np.ones((20, 12)),
    "two titles that are always together": np.ones((9, 2)),
    "very strong and very weak likes": np.array([[100.0, 1e-4, 1], [100, 1, 1e-4]]),
}


@every
@pytest.mark.parametrize("matrix", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_odd_histories_are_learnt_from_without_a_fuss(estimator: Estimator, matrix: np.ndarray) -> None:
    h = histories(matrix)
    s = estimator.fit(h, LIMITS)
    check(s, h, estimator)
    shared = matrix.T @ matrix
    np.fill_diagonal(shared, 0)
    if not shared.any():
        assert s.nnz == 0


@every
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_histories_give_the_same_weights_to_the_bit(estimator: Estimator, threads: int) -> None:
    h = drawn(300, 80, seed=3, share=0.1)
    limits = replace(LIMITS, threads=threads)
    assert alike(estimator.fit(h, limits), estimator.fit(h, limits))


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "ease" not in name])
def test_the_sparse_ones_give_the_same_to_the_bit_with_any_number_of_threads(name: str) -> None:
    h = drawn(300, 80, seed=3, share=0.1)
    assert alike(*(ESTIMATORS[name].fit(h, replace(LIMITS, threads=n)) for n in (1, 2)))


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "ease" in name])
def test_blas_rounds_otherwise_with_more_threads_and_no_more_than_that(name: str) -> None:
    h = drawn(300, 80, seed=3, share=0.1)
    whole = _with_neighbours(ESTIMATORS[name], 80)
    one, two = (whole.fit(h, replace(LIMITS, threads=n)).toarray() for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)


@every
def test_learning_leaves_the_histories_as_they_were(estimator: Estimator) -> None:
    h, same = drawn(40, 15, seed=5), drawn(40, 15, seed=5)
    estimator.fit(h, LIMITS)
    assert h.matrix.data.tolist() == same.matrix.data.tolist()
    assert h.matrix.indices.tolist() == same.matrix.indices.tolist()
    assert h.places.tolist() == same.places.tolist()


@every
def test_parameters_are_plain_numbers_that_tell_settings_apart(estimator: Estimator) -> None:
    assert {type(value) for value in estimator.parameters.values()} <= {int, float}
    assert estimator.parameters["k"] == estimator.neighbours == K
    alike = [other for other in ESTIMATORS.values() if other.name == estimator.name]
    assert [other for other in alike if other.parameters == estimator.parameters] == [estimator]


def peak(estimator: Estimator, h: Histories, limits: Limits) -> tuple[int, BaseException | None]:
    """The bytes a fit took at most on top of what there was, and what it ended in."""
    ended = None
    tracemalloc.start()
    try:
        estimator.fit(h, limits)
    except TrainingTooLarge as error:
        ended = error
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, ended


@every_that_may_refuse
def test_what_would_take_more_memory_than_it_may_is_refused_before_it_begins(estimator: Estimator) -> None:
    if isinstance(estimator, EaseOnHead):
        estimator = replace(estimator, head=800)
    h = drawn(300, 900, seed=1, share=0.05)
    needed = estimator.needs_bytes(h)
    taken, error = peak(estimator, h, Limits(threads=1, memory_bytes=needed // 4))
    assert isinstance(error, TrainingTooLarge)
    assert taken < needed / 4


@every_that_may_refuse
def test_a_refusal_says_what_is_needed_what_is_allowed_and_how_to_mend_it(estimator: Estimator) -> None:
    with pytest.raises(TrainingTooLarge) as refused:
        estimator.fit(drawn(50, 30, seed=1), Limits(threads=1, memory_bytes=0))
    assert re.fullmatch(
        r"[a-z-]+ on \d+ titles needs about [1-9]\d* MB, "
        r"and TRAINING_MEMORY_MB allows 0: with more it can be used",
        str(refused.value),
    )


def test_figures_of_a_refusal_are_in_the_unit_of_the_setting() -> None:
    refused = TrainingTooLarge("ease", 40_000, needed=6_540_000_001, allowed=2_048_000_000)
    assert str(refused).startswith("ease on 40000 titles needs about 6541 MB, and TRAINING_MEMORY_MB allows 2048: ")


def test_more_titles_than_lapack_counts_are_refused_whatever_memory_there_is() -> None:
    with pytest.raises(TrainingTooLarge, match="46001 titles is more than its arithmetic can count, with any memory"):
        ESTIMATORS["ease"].fit(drawn(1, 46_001, seed=1, share=1e-4), Limits(threads=1, memory_bytes=2**50))


MODERATE = {
    "co-occurrence": CoOccurrence(0.5, 0.5, 0.3, 0.2, 200),
    "co-occurrence regardless of order": CoOccurrence(0.5, 0.5, 0.3, 1.0, 200),
    "ease": Ease(10.0, 0.5, 0.5, 0.2, 200),
    "ease regardless of order": Ease(10.0, 0.5, 0.5, 1.0, 200),
    "local ridge": LocalRidge(10.0, CoOccurrence(0.5, 0.5, 0.3, 0.2, 50)),
    "ease on the head": EaseOnHead(600, Ease(10.0, 0.5, 0.5, 0.2, 200), CoOccurrence(0.5, 0.5, 0.3, 0.2, 200)),
}


@pytest.mark.parametrize("estimator", MODERATE.values(), ids=MODERATE.keys())
def test_the_memory_it_says_it_needs_is_about_what_it_takes(estimator: Estimator) -> None:
    draw = np.random.default_rng(1)
    h = histories(draw.random((2000, 1200)) < 40 / 1200 * draw.pareto(2, 1200).clip(0.1, 5))
    taken, _ = peak(estimator, h, LIMITS)
    assert 0.7 * taken < estimator.needs_bytes(h) < 2.5 * taken
