"""Small CSV files of interactions and titles, for evaluation."""

from __future__ import annotations

from pathlib import Path

from tests.interactions import DAY, Row, clustered

SECOND = 1_000_000  # microseconds


def write_interactions(path: Path, rows: list[Row], *, timestamps: bool = True) -> Path:
    """user_id, media_id and perhaps timestamp (seconds since 1970)."""
    lines = ["user_id,media_id,timestamp"]
    lines += [f"u{user},t{title},{1_000_000_000 + (time or 0) // SECOND}" for user, title, _, time in rows]
    path.write_text("\n".join(lines if timestamps else [line.rsplit(",", 1)[0] for line in lines]) + "\n")
    return path


def write_genres(path: Path, titles: int, of: int = 10) -> Path:
    """Titles t0, t1 ..., of a genre by tens."""
    path.write_text("\n".join(["media_id,genres", *(f"t{title},Genre {title // of}|All" for title in range(titles))]))
    return path


def write_clusters(folder: Path) -> dict[str, Path]:
    """The files that tests evaluate on: all, train, test and titles."""
    rows = clustered(users=30, clusters=3)
    last = 7 * DAY
    return {
        "all": write_interactions(folder / "all.csv", rows),
        "train": write_interactions(folder / "train.csv", [row for row in rows if row[3] != last]),
        "test": write_interactions(folder / "test.csv", [row for row in rows if row[3] == last]),
        "titles": write_genres(folder / "titles.csv", 30),
    }
