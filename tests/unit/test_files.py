"""Interactions and titles from CSV files, as people have them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from shared.errors import UnusableFile
from shared.interactions import UNKNOWN_TIME, InteractionRows
from shared.media import Kind
from worker.training.files import Names, Thresholds, read_genres, read_interactions

LIKE, WATCH, DISLIKE, OTHER = Kind.LIKE, Kind.WATCH, Kind.DISLIKE, Kind.OTHER
SECOND = 1_000_000
TO_2000 = 946_684_800


def written(folder: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def read(folder: Path, text: str | bytes, *, name: str = "file.csv", **thresholds: float) -> InteractionRows:
    return read_interactions(written(folder, text, name), Names(), Thresholds(**thresholds))


def kinds(found: InteractionRows) -> list[Kind]:
    return [Kind(kind) for kind in found.kinds]


def seconds(found: InteractionRows) -> list[float | None]:
    """Since 1970."""
    return [None if time == UNKNOWN_TIME else time / SECOND + TO_2000 for time in found.times.tolist()]


FORMS = {
    "our names": "user_id,media_id,value,timestamp\n1,10,4.5,1000000000\n2,10,2,1000000060\n",
    "MovieLens' names": "userId,movieId,rating,timestamp\n1,10,4.5,1000000000\n2,10,2,1000000060\n",
    "items": "user,item,interaction_value,time\n1,10,4.5,1000000000\n2,10,2,1000000060\n",
    "columns in another order, and more of them": (
        "note,timestamp,movieId,x,rating,userId\na,1000000000,10,,4.5,1\nb,1000000060,10,?,2,2\n"
    ),
    "lines that end as on Windows": "user_id,media_id,value,timestamp\r\n1,10,4.5,1000000000\r\n2,10,2,1000000060\r\n",
    "a byte order mark": "\ufeffuser_id,media_id,value,timestamp\n1,10,4.5,1000000000\n2,10,2,1000000060\n",
    "quotes": '"user_id","media_id","value","timestamp"\n"1","10","4.5","1000000000"\n"2","10","2","1000000060"\n',
    "no newline at the end": "user_id,media_id,value,timestamp\n1,10,4.5,1000000000\n2,10,2,1000000060",
    "empty lines": "user_id,media_id,value,timestamp\n\n1,10,4.5,1000000000\n\n2,10,2,1000000060\n\n",
    "dates": "user_id,media_id,value,timestamp\n1,10,4.5,2001-09-09 01:46:40\n2,10,2,2001-09-09 01:47:40\n",
    "dates with a T": "user_id,media_id,value,timestamp\n1,10,4.5,2001-09-09T01:46:40\n2,10,2,2001-09-09T01:47:40\n",
    "dates with a zone": (
        "user_id,media_id,value,timestamp\n1,10,4.5,2001-09-09T01:46:40Z\n2,10,2,2001-09-09T03:47:40+02:00\n"
    ),
}


@pytest.mark.parametrize("name", ["file.csv", "file.csv.gz"])
@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_one_table_in_many_forms_is_one_table(text: str, name: str, tmp_path: Path) -> None:
    found = read(tmp_path, text, name=name)
    assert found.values.tolist() == [4.5, 2]
    assert seconds(found) == [1e9, 1e9 + 60]
    assert found.rows.tolist() == [0, 1]
    assert found.users[0] != found.users[1]
    assert found.titles[0] == found.titles[1]
    assert kinds(found) == [LIKE, LIKE]


IDS = {
    "numbers": ("1", "2"),
    "numbers that differ by zeros in front": ("01", "1"),
    "UUIDs": ("6f1e0fb2-9d1c-4b43-9c4e-1f6b8f0c7a11", "6f1e0fb2-9d1c-4b43-9c4e-1f6b8f0c7a12"),
    "names": ("Zoë", "Zoe"),
    "numbers larger than any integer": ("123456789012345678901234567890", "123456789012345678901234567891"),
    "commas and quotes": ('"a,b"', '"a,""b"'),
    "words that look like nothing": ("NA", "null"),
    "truth": ("true", "True"),
    "emoji": ("🎬", "🎞"),
    "dates": ("2020-01-01", "2020-01-02"),
}


@pytest.mark.parametrize(("one", "other"), IDS.values(), ids=IDS.keys())
def test_ids_may_be_anything_and_are_told_apart_by_their_text(one: str, other: str, tmp_path: Path) -> None:
    names = Names()
    first = read_interactions(written(tmp_path, f"user_id,media_id\n{one},x\n{other},x\n"), names, Thresholds())
    second = read_interactions(written(tmp_path, f"user_id,media_id\n{other},y\n{one},y\n"), names, Thresholds())
    assert first.users[0] != first.users[1]
    assert second.users.tolist() == first.users[::-1].tolist()
    assert first.titles[0] != second.titles[0]


class TestKinds:
    def test_without_thresholds_every_row_is_a_like(self, tmp_path: Path) -> None:
        assert kinds(read(tmp_path, "user_id,media_id,value\n1,1,0.5\n1,2,5\n1,3,\n")) == [LIKE, LIKE, LIKE]

    def test_thresholds_are_met_by_the_value_itself_and_between_them_are_watches(self, tmp_path: Path) -> None:
        text = "user_id,media_id,value\n1,1,5\n1,2,4\n1,3,3.9\n1,4,2.1\n1,5,2\n1,6,0\n1,7,\n"
        assert kinds(read(tmp_path, text, like=4, dislike=2)) == [LIKE, LIKE, WATCH, WATCH, DISLIKE, DISLIKE, WATCH]
        assert kinds(read(tmp_path, text, like=4)) == [LIKE, LIKE, *[WATCH] * 5]

    def test_a_column_of_types_is_read_without_case_or_blanks(self, tmp_path: Path) -> None:
        text = "user_id,media_id,type\n1,1,LIKE\n1,2, watch \n1,3,Dislike\n1,4,bought\n1,5,\n"
        assert kinds(read(tmp_path, text)) == [LIKE, WATCH, DISLIKE, OTHER, OTHER]

    def test_thresholds_stand_over_types(self, tmp_path: Path) -> None:
        assert kinds(read(tmp_path, "user_id,media_id,type,value\n1,1,DISLIKE,5\n", like=4)) == [LIKE]


class TestTimes:
    def test_a_row_without_a_timestamp_has_an_unknown_time(self, tmp_path: Path) -> None:
        assert seconds(read(tmp_path, "user_id,media_id,timestamp\n1,1,5\n1,2,\n1,3,nan\n")) == [5, None, None]
        assert seconds(read(tmp_path, "user_id,media_id,timestamp\n1,1,2020-01-01\n1,2,\n")) == [1577836800, None]

    def test_parts_of_a_second_count(self, tmp_path: Path) -> None:
        assert seconds(read(tmp_path, "user_id,media_id,timestamp\n1,1,1000000000.25\n")) == [1000000000.25]
        assert seconds(read(tmp_path, "user_id,media_id,timestamp\n1,1,2001-09-09 01:46:40.25\n")) == [1000000000.25]

    def test_without_the_column_they_are_unknown_or_the_order_of_the_lines(self, tmp_path: Path) -> None:
        path = written(tmp_path, "user_id,media_id\n1,1\n1,2\n")
        assert (read_interactions(path, Names(), Thresholds()).times == UNKNOWN_TIME).all()
        in_time = read_interactions(path, Names(), Thresholds(), first_row=7, lines_are_in_time=True)
        assert in_time.times.tolist() == in_time.rows.tolist() == [7, 8]

    @pytest.mark.parametrize("time", ["1e300", "-1e300", "inf", "-inf"])
    def test_a_time_that_no_clock_shows_is_unknown(self, time: str, tmp_path: Path) -> None:
        assert seconds(read(tmp_path, f"user_id,media_id,timestamp\n1,1,{time}\n")) == [None]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "-1e35"])
def test_a_value_that_says_nothing_is_no_value_as_in_the_database(value: str, tmp_path: Path) -> None:
    assert np.isnan(read(tmp_path, f"user_id,media_id,value\n1,1,{value}\n").values).tolist() == [True]


UNUSABLE = {  # file -> what is said of it
    "an empty file": (b"", "cannot be read"),
    "nothing but names": (b"user_id,media_id\n", "holds no interactions"),
    "no users": (b"media_id,value\n1,2\n", "has no column user_id; it has media_id, value"),
    "neither": (b"a,b\n1,2\n", "has no column user_id or media_id; it has a, b"),
    "tabs instead of commas": (b"user_id\tmedia_id\n1\t2\n", "has no column user_id or media_id"),
    "a column that is there twice": (b"user_id,media_id,user_id\n1,2,3\n", "has more than one column user_id"),
    "blanks in front of names": (b"user_id, media_id\n1,2\n", "has no column media_id; it has user_id,  media_id"),
    "a row without a user": (b"user_id,media_id\n1,2\n,3\n,4\n", "2 rows have no user_id"),
    "a row without a title": (b"user_id,media_id\n1,2\n3,\n", "1 rows have no media_id"),
    "a value that is a word": (b"user_id,media_id,value\n1,2,good\n", "not a number in the column value.*good"),
    "a timestamp that is a word": (b"user_id,media_id,timestamp\n1,2,later\n", "neither seconds nor dates.*later"),
    "seconds and dates": (b"user_id,media_id,timestamp\n1,2,1000\n1,3,2020-01-01\n", "neither seconds nor dates"),
    "a day that there is not": (b"user_id,media_id,timestamp\n1,2,2021-02-30\n", "neither seconds nor dates"),
    "too few fields": (b"user_id,media_id,value\n1,2,3\n1\n", "cannot be read.*[Ee]xpected 3 columns, got 1"),
    "too many fields": (b"user_id,media_id\n1,2\n1,2,3\n", "cannot be read.*[Ee]xpected 2 columns, got 3"),
    "no text": (b"user_id,media_id\n\xff\xfe,\xfa\n", "cannot be read.*UTF8"),
    "bytes of another kind": (bytes(range(256)) * 9, "file.csv"),
}


@pytest.mark.parametrize(("raw", "said"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_wrong_with_a_file_is_said_with_its_name_on_one_line(raw: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, raw)
    with pytest.raises(UnusableFile, match=said) as refused:
        read_interactions(path, Names(), Thresholds())
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_is_a_folder_or_no_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.csv.gz").write_bytes(b"user_id,media_id\n1,2\n")
    for name in ("missing.csv", "", "broken.csv.gz"):
        with pytest.raises(UnusableFile, match=r"cannot be read") as refused:
            read_interactions(tmp_path / name, Names(), Thresholds())
        assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize("thresholds", [{"like": 4}, {"dislike": 2}], ids=["like", "dislike"])
def test_thresholds_need_values_to_compare_with(thresholds: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="no column value, which --like and --dislike compare with"):
        read(tmp_path, "user_id,media_id\n1,2\n", **thresholds)


class TestGenres:
    def read(self, folder: Path, text: str | bytes, names: Names | None = None) -> dict[str, list[int]]:
        """Each genre's titles, by their place in the file."""
        ids, genres = read_genres(written(folder, text), names or Names())
        places = ids.tolist()
        return {name: [places.index(i) for i in of.tolist()] for name, of in genres.items()}

    def test_they_stand_with_a_bar_between_and_none_is_none(self, tmp_path: Path) -> None:
        text = (
            'movieId,title,genres\n1,"Alien, the first",Horror | Sci-Fi\n2,Untold,(no genres listed)\n3,?,\n'
            "4,Heat,Crime|\n5,Ran,Sci-Fi||War\n"
        )
        assert self.read(tmp_path, text) == {"Horror": [0], "Sci-Fi": [0, 4], "Crime": [3], "War": [4]}

    def test_a_title_may_have_lines_and_quotes_in_its_name(self, tmp_path: Path) -> None:
        text = 'media_id,title,genres\n1,"Two\nlines, and ""quotes""",War\n2,One,War\n'
        assert self.read(tmp_path, text) == {"War": [0, 1]}

    def test_ids_are_those_of_the_interactions(self, tmp_path: Path) -> None:
        names = Names()
        found = read_interactions(written(tmp_path, "user_id,media_id\n1,b\n1,a\n"), names, Thresholds())
        ids, genres = read_genres(written(tmp_path, "media_id,genres\na,War\nb,Noir\nc,War\n"), names)
        assert ids[:2].tolist() == found.titles[::-1].tolist()
        assert genres["Noir"].tolist() == found.titles[:1].tolist()

    def test_a_user_and_a_title_may_have_the_same_id(self, tmp_path: Path) -> None:
        names = Names()
        read_interactions(written(tmp_path, "user_id,media_id\n7,7\n7,8\n"), names, Thresholds())
        assert self.read(tmp_path, "media_id,genres\n7,War\n8,Noir\n", names) == {"War": [0], "Noir": [1]}

    def test_a_list_of_titles_without_rows_has_no_genres(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "media_id,genres\n") == {}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("media_id,title\n1,x\n", "has no column genres; it has media_id, title"),
            ("genres\nWar\n", "has no column media_id"),
            ("media_id,genres\n1,War\n,Noir\n", "1 rows have no media_id"),
            ("", "cannot be read"),
        ],
        ids=["no genres", "no ids", "a title without an id", "an empty file"],
    )
    def test_what_is_wrong_is_said_with_the_files_name(self, text: str, said: str, tmp_path: Path) -> None:
        with pytest.raises(UnusableFile, match=said) as refused:
            self.read(tmp_path, text)
        assert str(tmp_path / "file.csv") in str(refused.value)


def test_timestamps_that_would_be_thousands_of_years_away_are_milliseconds(tmp_path: Path) -> None:
    found = read(tmp_path, "user_id,media_id,timestamp\n1,10,1600000000000\n1,11,1600000060500\n1,12,\n")
    assert seconds(found) == [1_600_000_000, 1_600_000_060.5, None]
