"""What `python -m worker evaluate` refuses, and how an evaluation is told."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.files import write_clusters, write_interactions
from tests.interactions import Row
from worker.__main__ import main

BOTH = ["--train", "{train}", "--test", "{test}"]
FILE = ["--interactions", "{all}"]

# Arguments (with the names of files in braces), exit code, and what the last line says.
REFUSED: dict[str, tuple[list[str], int, str]] = {
    "a file that is not there": (["--interactions", "{folder}/no.csv"], 1, "no.csv cannot be read: .*No such file"),
    "a folder": (["--interactions", "{folder}"], 1, "cannot be read"),
    "an empty file": (["--interactions", "{empty}"], 1, "empty.csv cannot be read: Empty CSV file"),
    "a file of titles instead": (
        ["--interactions", "{titles}"],
        1,
        "titles.csv has no column user_id; it has media_id",
    ),
    "a training part without a test": (["--train", "{train}"], 1, "--train and --test go together"),
    "a test without a training part": (["--test", "{test}"], 1, "--train and --test go together"),
    "a test that is not there": (["--train", "{train}", "--test", "{folder}/no.csv"], 1, "no.csv cannot be read"),
    "two sources": ([*BOTH, *FILE], 1, "--interactions and --split do not go with them"),
    "a split of what is split": ([*BOTH, "--split", "random"], 1, "are split already"),
    "a split that there is not": ([*FILE, "--split", "daily"], 2, "argument --split: invalid .*'daily'"),
    "an order that there is not": ([*FILE, "--order", "columns"], 2, "argument --order: invalid choice: 'columns'"),
    "a length of nothing": ([*FILE, "--k", "0"], 2, "argument --k: expected numbers from 1 to 1000"),
    "lengths that are words": ([*FILE, "--k", "ten,20"], 2, "argument --k: expected numbers from 1 to 1000"),
    "no length": ([*FILE, "--k", ""], 2, "argument --k: expected numbers from 1 to 1000"),
    "a length beyond any list": ([*FILE, "--k", "10,5000"], 2, "argument --k: expected numbers from 1 to 1000"),
    "nobody to draw": ([*FILE, "--users", "0"], 2, "argument --users: expected a whole number from 1"),
    "fewer than nobody": ([*FILE, "--users", "-3"], 2, "argument --users: expected a whole number from 1"),
    "users with nothing": ([*FILE, "--least", "0"], 2, "argument --least: expected a whole number from 1"),
    "users with a half": ([*FILE, "--least", "2.5"], 2, "argument --least: expected a whole number from 1"),
    "more than anybody has": ([*FILE, "--least", "1000"], 1, "nobody has enough interactions"),
    "a budget below nothing": ([*FILE, "--budget", "-1"], 1, "TRAINING_BUDGET_SECONDS: .*greater than or equal to 0"),
    "a budget that is no number": ([*FILE, "--budget", "nan"], 1, "TRAINING_BUDGET_SECONDS: "),
    "a budget that is a word": ([*FILE, "--budget", "long"], 2, "argument --budget: invalid float value: 'long'"),
    "a seed below nothing": ([*FILE, "--seed", "-1"], 1, "TRAINING_SEED: .*greater than or equal to 0"),
    "likes of files without values": ([*FILE, "--like", "4"], 1, "all.csv has no column value, which --like"),
    "likes that are no number": ([*FILE, "--like", "nan"], 2, "argument --like: expected a number"),
    "dislikes above likes": ([*FILE, "--like", "2", "--dislike", "4"], 1, "--dislike must be below --like"),
    "titles that are not there": ([*FILE, "--titles", "{folder}/no.csv"], 1, "no.csv cannot be read"),
    "titles of another platform": ([*FILE, "--titles", "{others}"], 1, "others.csv has none of the titles"),
    "titles without interactions": (["--titles", "{titles}"], 1, "--titles is for files: --interactions, or --train"),
    "likes in the databases": (["--like", "4"], 1, "--like is for files: --interactions, or --train and --test"),
    "an order of the databases": (["--order", "rows"], 1, "--order is for files"),
    "no databases": ([], 1, "settings to mend .*USER_DB_URL: Field required"),
    "a picture in no folder": ([*FILE, "--plot", "{folder}/no/x.png"], 1, "x.png: there is no folder .*no"),
    "a picture of no kind": ([*FILE, "--plot", "{folder}/x.xyz"], 1, "x.xyz: expected a file .png, .svg or .pdf"),
    "an option that there is not": ([*FILE, "--fast"], 2, "unrecognized arguments: --fast"),
    "titles that nobody shares": (["--interactions", "{alone}"], 1, "no two titles share a user|nobody has enough"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "empty.csv").write_bytes(b"")
    (folder / "others.csv").write_text("media_id,genres\nx1,War\n")
    (folder / "alone.csv").write_text("user_id,media_id\n" + "".join(f"{n},{n}\n" for n in range(9)))
    own = {name: folder / f"{name}.csv" for name in ("empty", "others", "alone")}
    return {name: str(path) for name, path in {**write_clusters(folder), **own, "folder": folder}.items()}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(("arguments", "code", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], code: int, said: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(**files) for argument in arguments]
    try:
        ended = main(["evaluate", *(given if "--budget" in given or not given else [*given, "--budget", "0"])])
    except SystemExit as error:  # argparse
        ended = error.code
    lines = capsys.readouterr().err.strip().splitlines()
    assert ended == code
    assert re.search(said, lines[-1]), lines
    assert len(lines) == 1 or code == 2  # where argparse says how it is used, too


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """The command sets up the log of a process of its own."""
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


def test_a_setting_of_the_environment_is_named_when_it_is_unusable(
    files: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCH_STRENGTH", "-1")
    assert main(["evaluate", "--interactions", files["all"]]) == 1
    assert capsys.readouterr().err.startswith("worker: settings to mend (see .env.example): WATCH_STRENGTH: ")


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


class TestJson:
    def test_an_evaluation_in_which_nothing_was_guessed_is_json_all_the_same(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is held out is new to everybody, and 200 titles are more popular."""
        rows: list[Row] = [(user, title, 2, title) for user in range(40, 44) for title in range(200)]
        rows += [(user, title, 2, title * 86_400_000_000) for user in range(9) for title in (1, 2, 3, 4, 1000 + user)]
        test = [row for row in rows if row[1] >= 1000]
        train = write_interactions(tmp_path / "train.csv", [row for row in rows if row[1] < 1000])
        found = evaluated(
            capsys, "--train", str(train), "--test", str(write_interactions(tmp_path / "test.csv", test)),
            "--budget", "0",
        )  # fmt: skip
        assert found["models"]["co-occurrence"]["ndcg@100"]["value"] == 0
        assert found["hybrid"]["kept"] is None

    @pytest.mark.parametrize("split", ["temporal", "random", "users"])
    def test_every_split_is_told_by_numbers(
        self, split: str, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = evaluated(
            capsys, "--interactions", files["all"], "--titles", files["titles"], "--split", split, "--budget", "0.2"
        )
        assert found["protocol"]["split"] == found["search"]["split"] == split
        assert {"popularity", "content", "seed", "hybrid", "co-occurrence"} <= set(found["models"])
        for figures in found["models"].values():
            assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in figures.values())

    def test_after_a_history_that_nobody_else_likes_there_is_no_bias_and_no_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [(user, 1000 * user + title, 2, title) for user in range(10) for title in range(6)]
        rows += [(user, title, 2, 99) for user in range(10) for title in (0, 1)]
        path = write_interactions(tmp_path / "all.csv", rows)
        found = evaluated(capsys, "--interactions", str(path), "--split", "users", "--budget", "0")
        assert found["protocol"]["users"] >= 1

    def test_only_so_many_users_are_tested_and_so_long_lists_are_measured(
        self, files: dict[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = evaluated(
            capsys, "--interactions", files["all"], "--users", "7", "--k", "3,1,3", "--budget", "0", "--seed", "5"
        )
        assert found["protocol"]["users"] == 7
        assert found["protocol"]["seed"] == 5
        assert {name.split("@")[1] for name in found["models"]["seed"]} == {"1", "3"}
        assert found["chosen"] == "co-occurrence"
        assert found["search"]["trials"] == []


def test_the_table_counts_what_was_tested(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--interactions", files["all"], "--users", "7", "--budget", "0"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("7 users tested on 7 titles they liked (temporal split), 30 titles to choose from, ")
    assert "learnt from 210 interactions" in said
    assert "by default" in said
    assert "no genres are known: --titles FILE gives them" in said
