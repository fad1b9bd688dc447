"""engagement_db by binary COPY: every row as it is, or an error."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import to_uuids
from shared.media import Kind
from worker.training.reading import CopyReader


def copy_stream(rows: list[tuple[bytes, bytes, int, int, int, float]]) -> bytes:
    """PostgreSQL's binary COPY of rows (user, title, kind, time, id, value)."""
    tuples = b"".join(
        struct.pack(">h i16s i16s ih iq iq id", 6, 16, user, 16, title, 2, kind, 8, time, 8, row, 8, value)
        for user, title, kind, time, row, value in rows
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
                st.floats(-1e6, 1e6, width=32),
            )
        ),
        st.integers(1, 100),
    )
    def test_rows_are_read_whatever_pieces_they_come_in(self, rows: list[tuple], piece: int) -> None:
        reader, stream = CopyReader(), copy_stream(rows)
        for start in range(0, len(stream), piece):
            reader.write(stream[start : start + piece])
        read = reader.rows()
        assert [i.bytes for i in to_uuids(read.user_ids[read.users])] == [row[0] for row in rows]
        assert [i.bytes for i in to_uuids(read.title_ids[read.titles])] == [row[1] for row in rows]
        columns = (read.kinds, read.times, read.rows, read.values)
        assert list(zip(*(column.tolist() for column in columns), strict=True)) == [row[2:] for row in rows]

    @pytest.mark.parametrize("end", [0, 5, 19, 60, 103, 104])
    def test_a_stream_that_was_cut_off_is_refused(self, end: int) -> None:
        reader = CopyReader()
        reader.write(copy_stream([(b"u" * 16, b"t" * 16, Kind.LIKE, 0, 1, 5.0)])[:end])
        with pytest.raises(ValueError, match="COPY"):
            reader.rows()

    def test_rows_of_another_shape_are_refused(self) -> None:
        reader = CopyReader()
        reader.write(copy_stream([(b"u" * 16, b"t" * 16, Kind.LIKE, 0, 1, 5.0)]).replace(b"\0\6", b"\0\5"))
        with pytest.raises(ValueError, match="width"):
            reader.rows()

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, -1e31])
    def test_a_value_that_says_nothing_is_no_value(self, value: float) -> None:
        reader = CopyReader()
        reader.write(copy_stream([(b"u" * 16, b"t" * 16, Kind.LIKE, 0, 1, value)]))
        assert np.isnan(reader.rows().values).all()
