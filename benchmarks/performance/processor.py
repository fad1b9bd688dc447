"""Which part of the service the processors work for: what capacity is planned by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import psutil

from demo.process import Process
from demo.server import Server


class Spent:
    """Processor time of processes from now on."""

    def __init__(self, **processes: Process | Server) -> None:
        """processes: by name, each with its children, which must outlive what is measured."""
        self._pids = {name: process.pid for name, process in processes.items()}
        self._before = self._now()

    def per(self, count: int) -> Mapping[str, float]:
        """Seconds of each since the beginning, for each of `count` things that were done."""
        return {name: (seconds - self._before[name]) / count for name, seconds in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: _seconds(psutil.Process(pid)) for name, pid in self._pids.items()}


def in_words(seconds: Mapping[str, float]) -> str:
    """For people, in milliseconds."""
    return ", ".join(f"{name} {value * 1000:.2f} ms" for name, value in seconds.items())


def median_of(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each part over the runs."""
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _seconds(process: psutil.Process) -> float:
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))
