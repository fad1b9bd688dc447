"""`python -m benchmarks run`: every row comes to a figure, on a platform small enough for a test; how fast is none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from benchmarks.performance.rows import ALL
from benchmarks.platform.loading import load
from benchmarks.platform.synthetic import Platform as MadeUp
from benchmarks.platform.synthetic import Size
from demo.process import PROJECT
from shared.media import Kind
from shared.repositories.engagement import EngagementRepository
from tests.platform import Platform
from worker.training.reading import read_interactions

SIZE = Size(users=300, titles=200, interactions=5000)
NAMES = ("scoring-batch", "scoring-one", "redis", "start", "candidates")


PROGRAM = ("-m", "benchmarks")
WITHOUT_IMPLICIT = (
    "-c",
    "import sys; sys.modules['implicit.nearest_neighbours'] = None\n"
    "from benchmarks.__main__ import main; sys.exit(main())",
)


def run(*words: str | Path, program: Sequence[str] = PROGRAM) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        cwd=PROJECT, env={}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


def small(folder: Path) -> Sequence[str | Path]:
    size = ["--users", str(SIZE.users), "--titles", str(SIZE.titles), "--interactions", str(SIZE.interactions)]
    return [*size, "--runs", "1", "--requests", "120", "--folder", folder]


def test_every_row_comes_to_a_figure_and_a_verdict_and_what_was_loaded_is_kept(tmp_path: Path) -> None:
    document, folder, figures = tmp_path / "document.md", tmp_path / "bench", tmp_path / "figures.json"
    document.write_text("before\n<!-- performance -->\n<!-- end of performance -->\nafter\n")
    written = ["--json", figures, "--markdown", document, "--plot", tmp_path / "images"]
    done = run("run", *NAMES, *small(folder), *written)
    assert done.returncode == 0, done.stderr
    expected = [target for benchmark in ALL if benchmark.name in NAMES for target in benchmark.targets]
    record = json.loads(figures.read_text())
    assert [row["row"] for row in record["rows"]] == [target.row for target in expected]
    assert record["missing"] == []
    text = document.read_text()
    for row, target in zip(record["rows"], expected, strict=True):
        assert row["value"] >= 0 or row["row"] == "redis-growth", row
        assert row["met"] is None if target.sense is None else row["met"] in (True, False), row
        assert f"| {target.row} | {target.what} | {target.words} |" in text
        assert target.row in done.stdout
    assert text.startswith("before\n<!-- performance -->\n")
    assert text.endswith("<!-- end of performance -->\nafter\n")
    assert "![" in text
    assert (tmp_path / "images" / "performance-redis.png").exists()
    assert "interactions are loaded" in done.stderr

    without = run("run", "scoring-batch", *small(folder), program=WITHOUT_IMPLICIT)
    assert without.returncode == 1
    assert re.search(r"scoring-batch-1 .* NOT measured", without.stdout)
    assert "scoring-batch: import of implicit.nearest_neighbours halted" in without.stdout
    assert "interactions are loaded" not in without.stderr


def test_list_names_every_benchmark() -> None:
    done = run("list")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [words[1] for words in lines if words[0] == "run"] == [benchmark.name for benchmark in ALL]
    assert {words[0] for words in lines} >= {"accuracy", "defaults", "filters", "variety"}
    assert all(len(words) > 2 for words in lines)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["run", "nothing"], "invalid choice: 'nothing'", id="unknown"),
        pytest.param(["run"], "required: NAME", id="none-named"),
        pytest.param(["run", "start", "--users", "0"], "'0' is not a number above 0", id="nobody"),
        pytest.param(["run", "start", "--markdown", "README.md"], "no marks <!-- performance -->", id="no-marks"),
        pytest.param(["run", "start", "--folder", "README.md"], "Cannot use", id="no-folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(words: list[str], reason: str) -> None:
    done = run(*words)
    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("held_before", [False, True])
def test_the_rows_that_arrive_are_those_that_were_made_up(platform: Platform, held_before: bool) -> None:
    made_up, told = MadeUp(SIZE), []
    if held_before:
        platform.interact(platform.user("Drama"), platform.title("Old", "Drama"), "LIKE")
    load(made_up, platform.urls, progress=lambda done, of: told.append((done, of)))

    rows = read_interactions(EngagementRepository(platform.parts().databases.engagement))
    order = np.argsort(rows.rows)
    expected = next(made_up.blocks(until=0))  # its times are known but for a constant
    np.testing.assert_array_equal(rows.user_ids[rows.users[order]], made_up.user_ids[expected.users])
    np.testing.assert_array_equal(rows.title_ids[rows.titles[order]], made_up.title_ids[expected.titles])
    np.testing.assert_array_equal(rows.kinds[order], expected.kinds)
    np.testing.assert_array_equal(np.diff(rows.times[order]), np.diff(expected.times))
    assert (rows.values == 1).all()
    assert Kind.OTHER not in rows.kinds
    assert told == [(SIZE.interactions, SIZE.interactions)]
    [(newest,)] = platform.sql("engagement_db", 'SELECT max("timestamp") FROM interaction')
    assert (
        0 <= (datetime.now(UTC).replace(tzinfo=None) - newest).total_seconds() < 730 * 86_400 / SIZE.interactions + 60
    )


def test_titles_and_genres_arrive_and_indexes_are_there_afterwards(platform: Platform) -> None:
    made_up = MadeUp(SIZE)
    load(made_up, platform.urls, progress=lambda done, of: None)
    assert platform.sql("catalog_db", "SELECT count(*), min(length(title)) > 0 FROM medias") == [(SIZE.titles, True)]
    for database, table, genres in (
        ("catalog_db", "tb_media_genre", made_up.genres_of_titles()),
        ("user_db", "tb_user_genre", made_up.genres_of_users()),
    ):
        assert platform.sql(database, f"SELECT count(*) FROM {table}") == [(len(genres[0]),)]
    indexes = platform.sql(
        "engagement_db", "SELECT indexname FROM pg_indexes WHERE tablename = 'interaction' ORDER BY 1"
    )
    assert [name for (name,) in indexes] == ["interaction_history", "interaction_pkey"]
    plan = platform.sql(
        "engagement_db",
        "EXPLAIN SELECT media_id, type FROM interaction WHERE user_id = '00000000-0000-4000-8000-000000000000'",
    )
    assert "Index Only Scan using interaction_history" in plan[0][0]
