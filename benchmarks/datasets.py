"""The sets of real interactions that benchmarks run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.training.files import Thresholds

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the checkout


@dataclass(frozen=True)
class Dataset:
    """Files, and how they are to be read."""

    name: str
    interactions: str
    titles: str | None = None  # genres
    thresholds: Thresholds = field(default_factory=Thresholds)


DATASETS: Final = (
    Dataset(
        "movielens",
        "ml-latest-small/ratings.csv",
        "ml-latest-small/movies.csv",
        Thresholds(like=4.0, dislike=2.0),
    ),
    Dataset("video-games", "sparse/video-games.csv.gz"),
    Dataset("beauty", "sparse/beauty.csv.gz"),
)
