"""`python -m worker evaluate` as people and programs run it, with nothing in the environment."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.files import write_clusters, write_interactions
from tests.interactions import clustered, sequels

ROOT = Path(__file__).resolve().parents[2]
WORKER = [sys.executable, "-m", "worker", "evaluate"]
ONE_THREAD = {"TRAINING_THREADS": "1"}


def evaluate(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WORKER, *map(str, arguments)],
        cwd=ROOT,
        env=environment or {},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_clusters(tmp_path_factory.mktemp("files"))


def test_people_get_tables(files: dict[str, Path]) -> None:
    done = evaluate("--interactions", files["all"], "--titles", files["titles"], "--budget", 0.5)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("30 users tested on 30 titles they liked (temporal split), 30 titles to choose from")
    lines = done.stdout.splitlines()
    for k in (20, 100):
        [heading] = [line for line in lines if line.strip().startswith(f"ndcg@{k} ")]
        assert heading.split() == [
            f"{name}@{k}"
            for name in ("ndcg", "recall", "capped_recall", "mrr", "coverage", "novelty", "popularity_bias", "ild")
        ]
    rows = [
        line for line in lines if re.match(r"(popularity|content|seed|co-occurrence|hybrid)\b( \*)? +\d\.\d{4} ±", line)
    ]
    assert len(rows) == 2 * 5
    assert re.search(
        r"^chosen: [a-z-]+ \(.*\), the best of \d+ settings by ndcg@20 within what was learnt", done.stdout, re.M
    )
    assert sum(" * " in line for line in lines) == 2
    assert re.search(r"^hybrid: keeps [\d.]+% of its ndcg@100; genres replace \d+% of the first ten", done.stdout, re.M)


def test_programs_get_json_and_nothing_else(files: dict[str, Path]) -> None:
    done = evaluate("--train", files["train"], "--test", files["test"], "--budget", 0.5, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert set(found) == {"models", "chosen", "parameters", "hybrid", "protocol", "search"}
    assert found["chosen"] in found["models"]
    for name, figures in found["models"].items():
        assert set(figures["ndcg@20"]) == {"value", "low", "high"}, name
        assert 0 <= figures["ndcg@20"]["low"] <= figures["ndcg@20"]["value"] <= figures["ndcg@20"]["high"] <= 1
    assert set(found["models"]) - {"popularity", "content", "hybrid"} == set(found["parameters"])
    assert found["models"]["seed"]["ndcg@20"]["value"] > found["models"]["popularity"]["ndcg@20"]["high"]


def test_the_same_seed_gives_the_same_to_the_byte_except_for_seconds(tmp_path: Path) -> None:
    path = write_interactions(tmp_path / "all.csv", sequels(users=20, series=2, length=8, each=6))
    found = [evaluate("--interactions", path, "--seed", 7, "--json", environment=ONE_THREAD).stdout for _ in range(2)]
    first, second = (re.sub(r'"seconds": [\d.]+', '"seconds"', text) for text in found)
    assert first == second
    assert json.loads(found[0])["search"]["skipped"] == []


def test_a_picture_is_written_beside_the_table(files: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "found.png"
    done = evaluate(
        "--interactions", files["all"], "--budget", 0, "--plot", picture,
        environment={"MPLCONFIGDIR": str(tmp_path), "LOG_LEVEL": "WARNING"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 users tested" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_matplotlib_a_picture_is_refused_at_once_with_what_to_install(files: dict[str, Path]) -> None:
    without = "import sys; sys.modules['matplotlib'] = None; from worker.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", without, "evaluate", "--interactions", files["all"], "--plot", "x.png"],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "worker: --plot needs matplotlib: pip install matplotlib\n"


def test_what_cannot_be_done_is_one_line_and_no_traceback() -> None:
    done = evaluate("--interactions", "/no/such/file.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"worker: /no/such/file.csv cannot be read: .*\n", done.stderr)


def test_whoever_waits_sees_what_is_tried_and_may_stop_it(tmp_path: Path) -> None:
    """On a terminal a line moves; Ctrl-C ends the evaluation in the middle of a search."""
    path = write_interactions(tmp_path / "all.csv", clustered(users=900, clusters=6, size=60, each=40))
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [*WORKER, "--interactions", str(path), "--budget", "600"],
        cwd=ROOT,
        env={"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=its_end,
    )
    os.close(its_end)
    said = b""
    while b"settings tried, the best: " not in said:
        said += os.read(terminal, 4096)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    while b"worker: stopped" not in said:
        said += os.read(terminal, 4096)
    assert process.wait(timeout=30) == 130
    assert time.monotonic() - began < 10
    assert b"Traceback" not in said
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    os.close(terminal)
