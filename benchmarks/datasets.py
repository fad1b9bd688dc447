"""The sets of real interactions that benchmarks run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.model_settings import ModelSettings
from worker.training.evaluation import Task
from worker.training.files import Thresholds
from worker.training.metrics import KS
from worker.training.sources import Options, from_interactions
from worker.training.split import LEAST, Protocol

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"  # beside the checkout


@dataclass(frozen=True)
class Dataset:
    """Files, and how they are to be read."""

    name: str
    interactions: str
    titles: str | None = None  # genres
    thresholds: Thresholds = field(default_factory=Thresholds)

    def task(self, data: Path, protocol: Protocol, settings: ModelSettings) -> Task:
        """The set, read from the folder `data` and split. Raises UnusableFile."""
        options = Options(
            thresholds=self.thresholds,
            titles=data / self.titles if self.titles else None,
            protocol=protocol,
            lines_are_in_time=True,  # of the sets without timestamps; their README says so
            least=LEAST,
            most_users=None,
            ks=KS,
        )
        return from_interactions(data / self.interactions, settings, options)


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
