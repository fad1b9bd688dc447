"""What an accuracy benchmark came to, as tables for people and as records for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.contest import Entry
from benchmarks.datasets import Dataset
from benchmarks.peers.peer import Unavailable
from shared.model import Interval
from worker.training.evaluation import Evaluation, Task

_METRIC: Final = "ndcg@20"  # by which the best peer is the best
_COLUMNS: Final = ("ndcg@20", "ndcg@100", "recall@20", "capped_recall@20", "mrr@20", "coverage@20", "novelty@20",
                   "popularity_bias@20")  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One set of interactions, split one way."""

    dataset: Dataset
    task: Task
    ours: Evaluation
    peers: Sequence[Entry]
    seconds: float

    @property
    def best_peer(self) -> Entry | None:
        """None where no peer could be measured."""
        measured = [entry for entry in self.peers if entry.figures]
        return max(measured, key=lambda entry: entry.figures[_METRIC].value, default=None)

    @property
    def chosen(self) -> Mapping[str, Interval]:
        """The figures of the model that training would publish."""
        return self.ours.models[self.ours.chosen]

    @property
    def ahead(self) -> bool:
        """Whether the chosen model is as good as the best peer."""
        return self.best_peer is None or self.chosen[_METRIC].value >= self.best_peer.figures[_METRIC].value


def as_record(result: Result, missing: Sequence[Unavailable]) -> dict[str, Any]:
    """Everything, for JSON."""
    ours = result.ours
    return {
        "set": result.dataset.name,
        "split": result.task.split.protocol,
        "users": ours.users,
        "titles": ours.titles,
        "learnt_from": len(result.task.split.fit),
        "held_out": len(result.task.split.relevant),
        "chosen": ours.chosen,
        "models": {name: _figures(figures) for name, figures in ours.models.items()},
        "parameters": {name: dict(parameters) for name, parameters in ours.parameters.items()},
        "hybrid": asdict(ours.hybrid),
        "peers": [asdict(entry) | {"figures": _figures(entry.figures)} for entry in result.peers],
        "missing": [asdict(library) for library in missing],
        "seconds": round(result.seconds),
    }


def _figures(figures: Mapping[str, Interval]) -> dict[str, Any]:
    return {metric: figure.model_dump() for metric, figure in figures.items()}


def as_markdown(result: Result, missing: Sequence[Unavailable]) -> str:
    """A section: what the set is, a table, and how the chosen model stands."""
    ours = result.ours
    lines = [
        f"### {result.dataset.name}",
        "",
        f"{ours.users:,} users tested on {len(result.task.split.relevant):,} titles they liked; "
        f"{ours.titles:,} titles; learnt from {len(result.task.split.fit):,} interactions.",
        "",
        "| | " + " | ".join(_COLUMNS) + " | settings |",
        "|---|" + "---:|" * len(_COLUMNS) + "---|",
        *_rows(result),
        "",
        *(f"- {library.name} is missing: {library.reason}" for library in missing),
        *(f"- {entry.peer} came to nothing: {entry.reason}" for entry in result.peers if entry.reason),
        *(
            f"- {entry.peer}: the budget left no time for {entry.untried} of {entry.tried + entry.untried} settings"
            for entry in result.peers
            if entry.untried
        ),
        *(f"- our search left out: {reason}" for reason in _left_out(ours)),
        f"- {_verdict(result)}",
        f"- {_hybrid(result)}",
    ]
    return "\n".join(lines)


def _rows(result: Result) -> Iterator[str]:
    ours = result.ours
    for name, figures in ours.models.items():
        settings = _settings(ours.parameters.get(name, {}))
        yield _row(f"**{name}** (chosen)" if name == ours.chosen else name, figures, settings)
    for entry in result.peers:
        if entry.figures:
            yield _row(entry.peer, entry.figures, f"{_settings(entry.setting)}; {entry.learnt_from}")


def _row(name: str, figures: Mapping[str, Interval], settings: str) -> str:
    cells = [_cell(figures[column]) if column in figures else "" for column in _COLUMNS]
    return f"| {name} | {' | '.join(cells)} | {settings} |"


def _cell(figure: Interval) -> str:
    digits = 2 if abs(figure.value) >= 2 else 4
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _settings(settings: Mapping[str, float | int]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())


def _left_out(ours: Evaluation) -> Sequence[str]:
    return ours.selection.found.skipped if ours.selection.found else ()


def _verdict(result: Result) -> str:
    peer, chosen = result.best_peer, result.chosen[_METRIC].value
    if peer is None:
        return f"{result.ours.chosen}: {_METRIC} {chosen:.4f}; no peer could be measured"
    theirs = peer.figures[_METRIC].value
    place = "ahead of" if chosen > theirs else "level with" if chosen == theirs else "BEHIND"
    return (
        f"{result.ours.chosen}, the chosen model, is {place} the best peer, {peer.peer}: "
        f"{_METRIC} {chosen:.4f} against {theirs:.4f} ({chosen / theirs - 1:+.1%})"
    )


def _hybrid(result: Result) -> str:
    hybrid = result.ours.hybrid
    if result.task.platform.preferences is None:
        return "the set has no genres: the hybrid's lists are the chosen model's"
    kept = "nothing" if hybrid.kept is None else f"{hybrid.kept:.1%}"
    return (
        f"the hybrid keeps {kept} of the chosen model's ndcg@100; genres replace {hybrid.replaced:.0%} of the first "
        f"ten titles and move {hybrid.moved:.0%} of them"
    )
