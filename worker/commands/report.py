"""An evaluation for people, for programs, and as a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared.errors import ConfigurationError
from shared.model import Interval
from worker.training.evaluation import Evaluation, Task
from worker.training.search import METRIC, K

_COLUMNS = ("ndcg@{k}", "recall@{k}", "capped_recall@{k}", "mrr@{k}", "coverage@{k}", "novelty@{k}",
            "popularity_bias@{k}", "ild@{k}", "disliked@{k}")  # fmt: skip
_PICTURES = (".png", ".svg", ".pdf")
_WIDE = 200  # characters a line may have where there is no terminal


def as_json(task: Task, evaluation: Evaluation) -> str:
    """Everything that was measured, and how."""
    selection, found = evaluation.selection, evaluation.selection.found
    whole = {
        "models": {
            name: {metric: figure.model_dump() for metric, figure in figures.items()}
            for name, figures in evaluation.models.items()
        },
        "chosen": evaluation.chosen,
        "parameters": {name: dict(parameters) for name, parameters in evaluation.parameters.items()},
        "hybrid": vars(evaluation.hybrid),
        "protocol": {
            "split": task.split.protocol,
            "users": evaluation.users,
            "titles": evaluation.titles,
            "learnt_from": len(task.split.fit),
            "held_out": len(task.split.held),
            "seed": task.policy.seed,
        },
        "search": {
            "split": selection.protocol,
            "metric": METRIC,
            "users": selection.users,
            "budget_seconds": task.policy.budget_seconds,
            "skipped": list(found.skipped) if found else [],
            "trials": [
                {
                    "estimator": trial.choice.name,
                    "parameters": dict(trial.choice.parameters),
                    "value": trial.value,
                    "seconds": round(trial.seconds, 2),
                }
                for trial in (found.trials if found else ())
            ],
        },
    }
    return json.dumps(whole, indent=2)


def show(task: Task, evaluation: Evaluation) -> None:
    """Tables on standard output: a line per way to recommend."""
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False, emoji=False)
    console.print(
        f"{evaluation.users} users tested on {evaluation.relevant} titles they liked "
        f"({task.split.protocol} split), {evaluation.titles} titles to choose from, "
        f"learnt from {len(task.split.fit)} interactions"
    )
    lengths = [k for k in (K, max(task.ks)) if k in task.ks] or list(task.ks)
    for k in dict.fromkeys(lengths):
        console.print()
        console.print(_table(evaluation, k))
    console.print()
    found = evaluation.selection.found
    settings = ", ".join(f"{name} {value:g}" for name, value in evaluation.parameters[evaluation.chosen].items())
    tried = (
        f"the best of {len(found.trials)} settings by {METRIC} within what was learnt from" if found else "by default"
    )
    console.print(f"chosen: {evaluation.chosen} ({settings}), {tried}")
    for reason in found.skipped if found else ():
        console.print(f"  left out: {reason}")
    hybrid = evaluation.hybrid
    kept = "the model alone guesses nothing" if hybrid.kept is None else f"keeps {hybrid.kept:.1%} of its ndcg@100"
    console.print(
        f"hybrid: {kept}; genres replace {hybrid.replaced:.0%} of the first ten titles and move {hybrid.moved:.0%}"
    )
    if task.platform.preferences is None:
        console.print("  no genres are known: --titles FILE gives them")


def _table(evaluation: Evaluation, k: int) -> Table:
    there = {metric for figures in evaluation.models.values() for metric in figures}
    columns = [column.format(k=k) for column in _COLUMNS if column.format(k=k) in there]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, figures in evaluation.models.items():
        chosen = name == evaluation.chosen
        cells = [_cell(figures.get(column)) for column in columns]
        table.add_row(f"{name} *" if chosen else name, *cells, style="bold" if chosen else None)
    return table


def _cell(figure: Interval | None) -> str:
    """The value, and half the width of its interval."""
    if figure is None:
        return ""
    digits = 2 if figure.high >= 2 else 4
    return f"{figure.value:.{digits}f} ±{(figure.high - figure.low) / 2:.{digits}f}"


def check_plot(path: Path) -> None:
    """Raises ConfigurationError where a picture could not be made, before an evaluation takes its time."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - only pictures need it
    except ImportError:
        raise ConfigurationError("--plot needs matplotlib: pip install matplotlib") from None
    if path.suffix not in _PICTURES:
        raise ConfigurationError(f"--plot {path}: expected a file .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--plot {path}: there is no folder {path.parent}")


def plot(evaluation: Evaluation, path: Path) -> None:
    """A picture of accuracy and coverage. Raises ConfigurationError for an unusable file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    metrics = [METRIC, f"recall@{K}", f"coverage@{K}"]
    names = list(evaluation.models)[::-1]
    metrics = [metric for metric in metrics if all(metric in evaluation.models[name] for name in names)]
    figure = Figure(figsize=(4 * len(metrics), 0.5 * len(names) + 1.2), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0], metrics, strict=True):
        found = [evaluation.models[name][metric] for name in names]
        errors = [[f.value - f.low for f in found], [f.high - f.value for f in found]]
        colours = ["#c2410c" if name == evaluation.chosen else "#94a3b8" for name in names]
        axes.barh(names, [f.value for f in found], xerr=errors, color=colours, ecolor="#334155", capsize=3)
        axes.set_title(metric)
        axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigurationError(f"--plot {path}: {error}") from error
