"""How figures are judged and written down; no figure is measured here."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.marked import Marked
from benchmarks.performance import report
from benchmarks.performance.figures import Figure, Plot, Sense, Target, amount
from benchmarks.performance.pace import Pace
from benchmarks.performance.report import Missing, Report
from benchmarks.performance.rows import ALL
from benchmarks.performance.rows.blocks import Run
from benchmarks.performance.rows.growth import grown, slope
from benchmarks.performance.rows.redis import _in_the_second_half
from benchmarks.platform.synthetic import S
from demo.errors import WrongAnswer

QUICK = Target("quick", "An answer", "ms", Sense.AT_MOST, 5, "median")
MANY = Target("many", "Answers", "requests/s", Sense.AT_LEAST, 300)
KNOWN = Target("known", "Something to know", "MB")


@pytest.mark.parametrize(
    ("target", "value", "verdict", "times_better"),
    [
        pytest.param(QUICK, 5.0, "met", 1.0, id="just-met"),
        pytest.param(QUICK, 5.001, "NOT met", 5 / 5.001, id="just-missed"),
        pytest.param(QUICK, 1.0, "met", 5.0, id="below"),
        pytest.param(QUICK, 0.0, "met", None, id="nothing-to-divide-by"),
        pytest.param(MANY, 300.0, "met", 1.0, id="just-reached"),
        pytest.param(MANY, 150.0, "NOT met", 0.5, id="too-few"),
        pytest.param(KNOWN, 7.0, "-", None, id="without-a-target"),
        pytest.param(QUICK, math.nan, "NOT met", None, id="not-a-number-at-most"),
        pytest.param(MANY, math.nan, "NOT met", None, id="not-a-number-at-least"),
    ],
)
def test_a_figure_is_judged_by_its_target(
    target: Target, value: float, verdict: str, times_better: float | None
) -> None:
    figure = Figure(target, value)
    assert figure.verdict == verdict
    assert figure.times_better == (None if times_better is None else pytest.approx(times_better))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0, "keys", "0 keys"),
        (3.14159, "ms", "3.14 ms"),
        (31.4159, "ms", "31.4 ms"),
        (0.00123456, "s", "0.00123 s"),
        (999.4, "", "999"),
        (12345.678, "users/s", "12,346 users/s"),
        (-2.5, "%", "-2.50 %"),
        (math.nan, "ms", "nothing ms"),
    ],
)
def test_an_amount_has_the_digits_that_count(value: float, unit: str, words: str) -> None:
    assert amount(value, unit) == words


def test_a_target_says_itself_in_words() -> None:
    assert (QUICK.words, MANY.words, KNOWN.words) == ("<= 5 ms median", ">= 300 requests/s", "-")
    assert Target("x", "", "", Sense.AT_LEAST, 0.8, "of a route").words == ">= 0.8 of a route"
    assert Target("x", "", "times", Sense.AT_LEAST, 1000).words == ">= 1,000 times"


def test_every_row_has_an_id_of_its_own_and_every_benchmark_says_what_it_measures() -> None:
    rows = [target.row for benchmark in ALL for target in benchmark.targets]
    assert len(rows) == len(set(rows)) > 0
    for benchmark in ALL:
        assert benchmark.help
        assert all(target.row.startswith(benchmark.name) for target in benchmark.targets)


@pytest.fixture
def found() -> Report:
    plot = Plot("quick", "Answers in time", "ms", "% answered", {"ours": [(1, 50), (2, 100)]})
    bars = Plot("many", "Side by side", "", "requests/s", bars={"median": {"ours": 310, "theirs": 2}})
    figures = [
        Figure(QUICK, 7.5, "of 10 users", {"all": [7, 8]}, [plot]),
        Figure(MANY, 310, plots=[bars]),
        Figure(KNOWN, 12),
    ]
    missing = [Missing(Target("gone", "What is gone", "s", Sense.AT_MOST, 1), "it did not start")]
    pace = Pace()
    for during, seconds in (("quick", 0.01), ("many", 0.02), ("many", 0.03), ("many", 0.02)):
        pace.note(during, seconds)
    return Report("python -m benchmarks run x", ["two processors"], figures, missing, {"quick": "90% waiting"}, pace)


def shown(found: Report) -> list[str]:
    """The lines of a terminal."""
    lines = io.StringIO()
    found.show(Console(width=200, file=lines))
    return lines.getvalue().splitlines()


def test_a_report_tells_how_fast_the_machine_was_during_each_benchmark(found: Report) -> None:
    told = "How fast the machine itself was meanwhile, of the fastest it was in this run: quick 1.00, many 0.50"
    assert told in shown(found)
    assert f"- two processors\n- {told}" in found.as_markdown({})
    assert found.as_record()["pace"] == {"quick": 1.0, "many": 0.5}


def test_before_anybody_looked_at_the_machine_nothing_is_told_of_its_pace() -> None:
    pace = Pace()
    assert pace.words == ""
    pace.look("quick")
    assert pace.shares == {"quick": 1.0}


def test_a_report_shows_every_row_with_target_figure_and_verdict(found: Report) -> None:
    lines = [" ".join(line.split()) for line in shown(found)]
    assert "quick An answer <= 5 ms median 7.50 ms NOT met" in lines
    assert "many Answers >= 300 requests/s 310 requests/s met" in lines
    assert "known Something to know - 12 MB -" in lines
    assert "gone What is gone <= 1 s NOT measured" in lines
    assert "gone: it did not start" in lines
    assert "90% waiting" in lines


def test_a_report_is_a_section_between_the_marks_of_a_document(found: Report, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- performance -->\nold\n<!-- end of performance -->\nafter\n")
    Marked(document, "performance").fill(found.as_markdown({"Answers in time": "images/quick.png"}))
    text = document.read_text()
    assert text.startswith("before\n<!-- performance -->\n\n```\npython -m benchmarks run x\n```")
    assert text.endswith("<!-- end of performance -->\nafter\n")
    assert "old" not in text
    assert "| quick | An answer | <= 5 ms median | 7.50 ms | NOT met |" in text
    assert "| gone | What is gone | <= 1 s |  | NOT measured |" in text
    assert "- **quick**: of 10 users." in text
    assert "![Answers in time](images/quick.png)" in text


def test_a_record_is_json_with_every_sample(found: Report) -> None:
    record = json.loads(json.dumps(found.as_record()))
    assert record["rows"][0] == {
        "row": "quick", "what": "An answer", "target": "<= 5 ms median", "value": 7.5, "unit": "ms", "met": False,
        "details": "of 10 users", "samples": {"all": [7, 8]},
    }  # fmt: skip
    assert record["rows"][2]["met"] is None
    assert record["missing"] == [{"row": "gone", "reason": "it did not start"}]


def test_every_plot_is_drawn_and_all_targets_together(found: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = report.draw(found.figures, tmp_path / "images")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "performance-many.png",
        "performance-quick.png",
        "performance-targets.png",
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files.values())


def test_the_slope_is_the_exponent() -> None:
    assert slope([(n, 3 * n**1.1) for n in (1e6, 3e6, 1e7)]) == pytest.approx(1.1)
    assert math.isnan(slope([(1e6, 20.0)]))


def test_a_platform_grows_in_users_and_less_in_titles() -> None:
    assert grown(S.interactions) == S
    larger = grown(4 * S.interactions)
    assert (larger.users, larger.titles) == (4 * S.users, 2 * S.titles)


def test_growth_is_of_the_second_half_alone() -> None:
    rising = [{"requests": float(n), "memory": 100.0 + n} for n in range(10)]
    level = [{"requests": float(n), "memory": float(min(n, 5) * 10)} for n in range(10)]
    assert _in_the_second_half(rising, "memory") == pytest.approx(4 / 105 * 100)
    assert _in_the_second_half(level, "memory") == pytest.approx(0)
    assert _in_the_second_half(rising[:1], "memory") == 0


MADE = "model 20261126T193117Z-507e9d8b: 199 titles, 0.4 s"


@pytest.mark.parametrize(
    ("log", "run"),
    [
        pytest.param([MADE], Run(0.4, by_workers=0, blocks=0), id="not-split"),
        pytest.param(
            ["30 blocks in 4.2 s: workers made 21 of them, the trainer 9", MADE],
            Run(0.4, by_workers=21, blocks=30),
            id="shared",
        ),
        pytest.param(
            ["no worker took part: the trainer made all 34 blocks, in 0.2 s", MADE],
            Run(0.4, by_workers=0, blocks=34),
            id="the-workers-came-too-late",
        ),
    ],
)
def test_who_made_a_training_is_read_from_its_log(log: list[str], run: Run) -> None:
    assert Run.told("\n".join(log)) == run


def test_a_log_of_no_model_is_an_error() -> None:
    with pytest.raises(WrongAnswer, match="nothing of what it made: 5000 interactions"):
        Run.told("5000 interactions")
