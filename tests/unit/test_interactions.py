"""Several interactions of one user with one title come to one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.interactions import UNKNOWN_TIME, settle
from shared.media import Kind

ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # user
        st.integers(0, 3),  # title
        st.sampled_from(list(Kind)),
        st.sampled_from([UNKNOWN_TIME, 0, 1, 2]),  # time
    ),
    max_size=30,
)


@given(ROWS)
def test_the_fast_way_agrees_with_the_slow_and_obvious_one(rows: list[tuple[int, int, Kind, int]]) -> None:
    columns = np.array([(*row, place) for place, row in enumerate(rows)], dtype=np.int64).reshape(-1, 5)
    users, titles, kinds, times, places = columns.T
    settled = settle(users, titles, kinds.astype(np.int8), times, places)

    expected = {}
    for user, title in sorted({row[:2] for row in rows}):
        mine = [(time, place, kind) for place, (u, t, kind, time) in enumerate(rows) if (u, t) == (user, title)]
        opinions = [m for m in mine if m[2] in (Kind.LIKE, Kind.DISLIKE)]
        watches = [m for m in mine if m[2] is Kind.WATCH]
        time, _, kind = max(opinions or watches or mine)
        expected[user, title] = (kind in (Kind.LIKE, Kind.WATCH), time)

    pairs = zip(settled.users.tolist(), settled.titles.tolist(), strict=True)
    found = dict(zip(pairs, zip(settled.positive.tolist(), settled.times.tolist(), strict=True), strict=True))
    assert found == expected
    assert list(found) == list(expected)  # in order of user, then title
