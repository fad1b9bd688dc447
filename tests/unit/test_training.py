"""From rows to neighbours."""

from __future__ import annotations

import struct
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shared.ids import pack_ids, to_uuids
from shared.interactions import UNKNOWN_TIME, InteractionRows
from shared.media import Kind
from worker.training.cooccurrence import CoOccurrence
from worker.training.interactions import CopyReader, positives

MATRICES = (
    st.integers(1, 8)
    .flatmap(
        lambda titles: st.lists(st.lists(st.integers(0, 1), min_size=titles, max_size=titles), min_size=1, max_size=10)
    )
    .map(lambda rows: np.array(rows, dtype=np.float32))
)
EXPONENTS = st.sampled_from([0.0, 0.3, 0.5, 1.0])


def dense_formula(r: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    """S = Di^-a . R^T . Du^-b . R . Di^-c without its diagonal, as written."""
    di, du = np.maximum(r.sum(axis=0), 1), np.maximum(r.sum(axis=1), 1)
    s = np.diag(di**-a) @ r.T @ np.diag(du**-b) @ r @ np.diag(di**-c)
    np.fill_diagonal(s, 0)
    return s


class TestCoOccurrence:
    @settings(max_examples=200, deadline=None)
    @given(MATRICES, EXPONENTS, EXPONENTS, EXPONENTS)
    def test_without_a_cut_it_is_its_formula(self, r: np.ndarray, a: float, b: float, c: float) -> None:
        s = CoOccurrence(a, b, c, neighbours=100).fit(sparse.csr_array(r), threads=1)
        np.testing.assert_allclose(s.toarray(), dense_formula(r, a, b, c), rtol=1e-5)

    @settings(max_examples=200, deadline=None)
    @given(MATRICES, EXPONENTS, EXPONENTS, EXPONENTS, st.integers(1, 4))
    def test_a_cut_keeps_each_rows_largest(self, r: np.ndarray, a: float, b: float, c: float, k: int) -> None:
        cut = CoOccurrence(a, b, c, neighbours=k).fit(sparse.csr_array(r), threads=1).toarray()
        whole = dense_formula(r, a, b, c)
        np.testing.assert_allclose(cut[cut > 0], whole[cut > 0], rtol=1e-5)
        for kept, row in zip(cut, whole, strict=True):
            np.testing.assert_allclose(np.sort(kept)[::-1][:k], np.sort(row)[::-1][:k], rtol=1e-5)
            assert (kept > 0).sum() <= k

    def test_any_number_of_threads_gives_the_same_model(self) -> None:
        r = sparse.csr_array((np.random.default_rng(3).random((300, 80)) < 0.1).astype(np.float32))
        one, two = (CoOccurrence(0.5, 0, 0.5, 20).fit(r, threads=n) for n in (1, 2))
        assert (one.indices == two.indices).all()
        assert (one.data == two.data).all()


def copy_stream(rows: list[tuple[bytes, bytes, int, int, int]]) -> bytes:
    """PostgreSQL's binary COPY of rows (user, title, kind, time, id)."""
    tuples = b"".join(
        struct.pack(">h i16s i16s ih iq iq", 5, 16, user, 16, title, 2, kind, 8, time, 8, row)
        for user, title, kind, time, row in rows
    )
    return b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0) + tuples + struct.pack(">h", -1)


class TestCopy:
    @given(
        st.lists(
            st.tuples(
                st.binary(min_size=16, max_size=16),
                st.binary(min_size=16, max_size=16),
                st.sampled_from(list(Kind)),
                st.integers(-(2**63), 2**63 - 1),
                st.integers(0, 2**63 - 1),
            )
        ),
        st.integers(1, 100),
    )
    def test_rows_are_read_whatever_pieces_they_come_in(self, rows: list[tuple], piece: int) -> None:
        reader, stream = CopyReader(), copy_stream(rows)
        for start in range(0, len(stream), piece):
            reader.write(stream[start : start + piece])
        read = reader.rows()
        assert [i.bytes for i in to_uuids(read.users)] == [row[0] for row in rows]
        assert [i.bytes for i in to_uuids(read.titles)] == [row[1] for row in rows]
        found = list(zip(read.kinds.tolist(), read.times.tolist(), read.rows.tolist(), strict=True))
        assert found == [row[2:] for row in rows]

    @pytest.mark.parametrize("end", [0, 5, 19, 60, 91, 92])
    def test_a_stream_that_was_cut_off_is_refused(self, end: int) -> None:
        reader = CopyReader()
        reader.write(copy_stream([(b"u" * 16, b"t" * 16, Kind.LIKE, 0, 1)])[:end])
        with pytest.raises(ValueError, match="COPY"):
            reader.rows()

    def test_rows_of_another_shape_are_refused(self) -> None:
        reader = CopyReader()
        reader.write(copy_stream([(b"u" * 16, b"t" * 16, Kind.LIKE, 0, 1)]).replace(b"\0\5", b"\0\4"))
        with pytest.raises(ValueError, match="width"):
            reader.rows()


class TestPositives:
    def rows(self, *interactions: tuple[int, int, Kind, int]) -> InteractionRows:
        users, titles, kinds, times = zip(*interactions, strict=True)
        return InteractionRows(
            pack_ids(UUID(int=u) for u in users),
            pack_ids(UUID(int=t) for t in titles),
            np.array(kinds, dtype=np.int8),
            np.array(times, dtype=np.int64),
            np.arange(len(users)),
        )

    def test_likes_and_watches_are_ones_and_titles_that_nobody_likes_are_left_out(self) -> None:
        read = positives(
            self.rows((1, 7, Kind.LIKE, 0), (2, 7, Kind.WATCH, 0), (2, 8, Kind.DISLIKE, 0), (1, 9, Kind.LIKE, 0))
        )
        assert [t.int for t in to_uuids(read.titles)] == [7, 9]
        assert read.matrix.toarray().tolist() == [[1, 1], [1, 0]]

    def test_popularity_halves_with_each_half_life(self) -> None:
        day = 86_400_000_000
        read = positives(self.rows((1, 7, Kind.LIKE, 10 * day), (2, 8, Kind.LIKE, 0), (3, 9, Kind.LIKE, UNKNOWN_TIME)))
        assert read.popularity(half_life_days=10, now=99 * day).tolist() == [1, 0.5, 0.5]

    def test_popularity_of_rows_without_any_time_counts_users(self) -> None:
        read = positives(self.rows((1, 7, Kind.LIKE, UNKNOWN_TIME), (2, 7, Kind.LIKE, UNKNOWN_TIME)))
        assert read.popularity(half_life_days=10, now=0).tolist() == [2]
