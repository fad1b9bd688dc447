"""`python -m benchmarks`: what it writes down, on sets small enough for a test; the real ones take an hour."""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from demo.process import PROJECT

GENRES = ("Action", "Comedy", "Drama")


def run(*words: str | Path, program: Sequence[str] = ("-m", "benchmarks")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        cwd=PROJECT, env={}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty users of three tastes, who like what is of their taste."""
    draw = random.Random(5)
    folder = tmp_path_factory.mktemp("data")
    histories = {
        u: draw.sample([t for t in range(30) if t % 3 == u % 3], 8) + draw.sample(range(30), 2) for u in range(60)
    }
    rows = [(user, title) for user, titles in histories.items() for title in dict.fromkeys(titles)]
    (folder / "sparse").mkdir()
    for name in ("video-games", "beauty"):
        text = "user_id,media_id\n" + "".join(f"{user},{title}\n" for user, title in rows)
        (folder / "sparse" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    films = folder / "ml-latest-small"
    films.mkdir()
    ratings = "".join(
        f"{user},{title},{draw.choice([1, 3, 4, 4.5, 5])},{1_000_000 + place}\n"
        for place, (user, title) in enumerate(rows)
    )
    (films / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings)
    movies = "".join(f"{title},Film {title},{GENRES[title % 3]}\n" for title in range(40))
    (films / "movies.csv").write_text("movieId,title,genres\n" + movies)
    return folder


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.md"
    path.write_text(
        "before\n<!-- accuracy random -->\nold\n<!-- end of accuracy random -->\nbetween\n"
        "<!-- variety -->\n<!-- end of variety -->\nbetween\n"
        "<!-- defaults -->\n<!-- end of defaults -->\nafter\n"
    )
    return path


def test_accuracy_writes_a_table_per_set_between_the_marks_and_all_figures_as_json(
    data: Path, document: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    done = run(
        "accuracy", "--data", data, "--sets", "movielens", "beauty", "--split", "random", "--budget", "0",
        "--peer-budget", "1", "--json", figures, "--markdown", document,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr  # 1: a peer that is installed here was better on this toy
    text = document.read_text()
    assert text.startswith("before\n<!-- accuracy random -->\n\n### movielens\n")
    assert "### beauty" in text
    assert "old" not in text
    assert text.endswith("<!-- defaults -->\n<!-- end of defaults -->\nafter\n")
    assert "| **co-occurrence** (chosen) |" in text
    with_genres, without = text.split("### beauty")
    assert "of the chosen model's ndcg@100; genres replace" in with_genres
    assert "the set has no genres" in without
    results = json.loads(figures.read_text())
    assert [result["set"] for result in results] == ["movielens", "beauty"]
    for result in results:
        assert set(result["models"]) >= {"popularity", "seed", "co-occurrence", "hybrid"}
        figure = result["models"]["co-occurrence"]["ndcg@20"]
        assert 0 < figure["low"] <= figure["value"] <= figure["high"] <= 1


def test_a_library_that_is_not_installed_is_named_in_the_table(data: Path) -> None:
    without = (
        "import sys; sys.modules['implicit.nearest_neighbours'] = sys.modules['lenskit'] = None\n"
        "from benchmarks.__main__ import main; sys.exit(main())"
    )
    done = run("accuracy", "--data", data, "--sets", "beauty", "--budget", "0", program=("-c", without))
    assert "- implicit is missing: ModuleNotFoundError" in done.stdout
    assert "no peer could be measured" in done.stdout


def test_defaults_writes_a_table_per_setting_and_marks_the_defaults(data: Path, document: Path) -> None:
    done = run("defaults", "--data", data, "--markdown", document)
    assert done.returncode == 0, done.stderr
    text = document.read_text()
    for title in ("WATCH_STRENGTH", "DISLIKE_STRENGTH", "VALUE_WEIGHT", "HISTORY_HALF_LIFE_DAYS", "POOL_SIZE"):
        assert f"**{title}" in text
    assert "| 0.5 (default) |" in text
    assert "| 30 (default) | 1 |" in text


def test_variety_writes_a_row_per_option_beside_what_it_is_without(data: Path, document: Path) -> None:
    done = run("variety", "--data", data, "--markdown", document)
    assert done.returncode == 0, done.stderr
    table = document.read_text().partition("<!-- variety -->\n\n")[2].partition("\n\n<!-- end of variety -->")[0]
    rows = {cells[1]: cells[2:-1] for cells in (re.split(r" *\| *", line) for line in table.splitlines()[2:])}
    off = rows.pop("off")
    assert re.fullmatch(r"0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)", off[0])
    assert Counter(name.split()[0] for name in rows) == {"diversity": 6, "max_per_genre": 5, "explore": 4}
    for name, (accuracy, kept, ild, coverage, titles) in rows.items():
        assert float(accuracy) / float(off[0].split()[0]) == pytest.approx(float(kept.split("%")[0]) / 100, abs=0.02)
        assert 0 <= float(ild) <= 1, name
        assert 0 < float(coverage.rstrip("%")) <= 100, name
        assert 0 < int(titles) <= 40, name
    assert float(rows["max_per_genre 1"][2]) == 1 > float(off[2])  # a genre a film: no two have one in common
    assert rows["max_per_genre 1"][4] == "3"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["accuracy", "--data", "/nowhere"], "/nowhere", id="no-data"),
        pytest.param(["accuracy", "--sets", "netflix"], "invalid choice", id="unknown-set"),
        pytest.param(["accuracy", "--split", "users"], "invalid choice", id="a-split-peers-cannot-do"),
        pytest.param(["accuracy", "--markdown", "README.md"], "no marks <!-- accuracy temporal -->", id="no-marks"),
        pytest.param(["defaults", "--markdown", "/nowhere/at.md"], "/nowhere/at.md", id="no-document"),
        pytest.param(["variety", "--data", "/nowhere"], "/nowhere", id="no-data-for-variety"),
        pytest.param([], "required", id="nothing-asked"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(words: list[str], reason: str) -> None:
    done = run(*words)
    assert done.returncode in (1, 2)
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
