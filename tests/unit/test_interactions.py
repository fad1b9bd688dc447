"""Several interactions of one user with one title come to one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import id_array
from shared.interactions import UNKNOWN_TIME, InteractionRows, settle
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
    ids = id_array(bytes(16 * len(rows)))  # settling goes by the positions beside them
    values = places.astype(np.float32)
    settled = settle(users, titles, InteractionRows(ids, ids, kinds.astype(np.int8), times, places, values))

    expected = {}
    for user, title in sorted({row[:2] for row in rows}):
        mine = [(time, place, kind) for place, (u, t, kind, time) in enumerate(rows) if (u, t) == (user, title)]
        opinions = [m for m in mine if m[2] in (Kind.LIKE, Kind.DISLIKE)]
        watches = [m for m in mine if m[2] is Kind.WATCH]
        time, place, kind = max(opinions or watches or mine)
        expected[user, title] = (kind, time, place, float(place))

    pairs = zip(settled.users.tolist(), settled.titles.tolist(), strict=True)
    of_each = (settled.kinds, settled.times, settled.rows, settled.values)
    found = dict(zip(pairs, zip(*(column.tolist() for column in of_each), strict=True), strict=True))
    assert found == expected
    assert list(found) == list(expected)  # in order of user, then title
