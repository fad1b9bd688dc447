"""The estimators, and what they learn, in dense float64 as their docstrings say it."""

from __future__ import annotations

import numpy as np

from tests.histories import histories
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.interactions import Histories


def drawn(users: int, titles: int, seed: int, *, share: float = 0.3) -> Histories:
    """Histories drawn at random: who likes what, how strongly, and in which order."""
    draw = np.random.default_rng(seed)
    there = draw.random((users, titles)) < share
    places = np.zeros((users, titles), dtype=np.int64)
    for user in range(users):
        places[user, there[user]] = draw.permutation(there[user].sum())
    return histories(there * draw.choice([0.5, 1.0], there.shape), places)


def gram(h: Histories, b: float) -> np.ndarray:
    """G = R^T . Du^-b . R, diagonal included."""
    r = h.matrix.toarray().astype(np.float64)
    return r.T @ np.diag(h.user_degree**-b) @ r


def before(h: Histories, b: float) -> np.ndarray:
    """F, as order.py says."""
    r = h.matrix.toarray().astype(np.float64)
    places = np.full(r.shape, -1)
    user = np.repeat(np.arange(r.shape[0]), np.diff(h.matrix.indptr))
    places[user, h.matrix.indices] = h.places
    earlier = (places[:, :, None] >= 0) & (places[:, None, :] >= 0) & (places[:, :, None] < places[:, None, :])
    return np.einsum("u,ui,uj,uij->ij", h.user_degree**-b, r, r, earlier.astype(float))


def target(h: Histories, b: float, w: float) -> np.ndarray:
    """T = w . G + (1 - w) . F."""
    return w * gram(h, b) + (1 - w) * before(h, b)


def family(h: Histories, of: CoOccurrence) -> np.ndarray:
    """S = Di^-a . T . Di^-c without its diagonal, and without a cut."""
    d = h.title_degree
    s = np.diag(d**-of.history_exponent) @ target(h, of.user_exponent, of.order) @ np.diag(d**-of.title_exponent)
    np.fill_diagonal(s, 0)
    return s


def ease(h: Histories, penalty: float, b: float, p: float, w: float) -> np.ndarray:
    """Column by column, by Lagrange: (W^T W + L) B_j = T_j + mu e_j with B_jj = 0, where T_jj is that of W^T W."""
    g = gram(h, b)
    n = len(g)
    system = g + penalty * np.eye(n) + p * np.diag(np.diag(g))
    right_sides = w * g + (1 - w) * before(h, b)
    found = np.zeros((n, n))
    for j in range(n):
        unit = np.zeros((n, 1))
        unit[j] = 1
        bordered = np.block([[system, -unit], [unit.T, np.zeros((1, 1))]])
        found[:, j] = np.linalg.solve(bordered, [*right_sides[:, j], 0.0])[:n]
    return found


def largest(s: np.ndarray, k: int) -> np.ndarray:
    """Each row cut to its k largest magnitudes, ties by column."""
    cut = np.zeros_like(s)
    for i, row in enumerate(s):
        kept = np.lexsort((np.arange(len(row)), -np.abs(row)))[:k]
        cut[i, kept] = row[kept]
    return cut
