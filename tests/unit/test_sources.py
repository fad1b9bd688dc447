"""Where an evaluation's interactions come from, and how they are split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import UnusableFile
from shared.ids import IdArray, to_uuids
from shared.model_settings import ModelSettings
from tests.interactions import Row, clustered, sequels
from worker.training.evaluation import Task
from worker.training.files import Thresholds
from worker.training.interactions import Interactions
from worker.training.sources import Options, from_interactions, from_train_and_test
from worker.training.split import Protocol

SETTINGS = ModelSettings()
OPTIONS = Options(
    thresholds=Thresholds(),
    titles=None,
    protocol=None,
    lines_are_in_time=False,
    least=5,
    most_users=None,
    ks=(10,),
)


def written(path: Path, rows: list[tuple], *, timestamps: bool = True) -> Path:
    """Rows of user, title and seconds."""
    lines = ["user_id,media_id,timestamp", *(f"u{user},t{title},{time}" for user, title, time in rows)]
    path.write_text("\n".join(lines if timestamps else [line.rsplit(",", 1)[0] for line in lines]))
    return path


def plain(rows: list[Row]) -> list[tuple[int, int, int]]:
    """Users, titles, and seconds in place of microseconds."""
    return [(user, title, 10_000 + (time or 0) // 1_000_000) for user, title, _, time in rows]


HISTORIES = plain(sequels(users=20, series=3, each=6))
LAST = 10_000 + 5 * 86_400  # s; of each user
TRAIN, TEST = ([row for row in HISTORIES if (row[2] == LAST) is late] for late in (False, True))


def pairs(part: Interactions) -> set[tuple[bytes, bytes]]:
    return set(zip(part.user_ids[part.users].tolist(), part.title_ids[part.titles].tolist(), strict=True))


def two_files(
    folder: Path, train: list[tuple], test: list[tuple], *, timestamps: bool = True, **options: object
) -> Task:
    return from_train_and_test(
        written(folder / "train.csv", train, timestamps=timestamps),
        written(folder / "test.csv", test, timestamps=timestamps),
        SETTINGS,
        replace(OPTIONS, **options),
    )


def one_file(folder: Path, rows: list[tuple], *, timestamps: bool = True, **options: object) -> Task:
    path = written(folder / "all.csv", rows, timestamps=timestamps)
    return from_interactions(path, SETTINGS, replace(OPTIONS, **options))


def at(rows: list[tuple], seconds: int | str) -> list[tuple]:
    return [(user, title, seconds) for user, title, _ in rows]


VALIDATION = {  # train, test, options -> how settings are chosen, and whether order is learnt by default
    "the test is later": (TRAIN, TEST, {}, Protocol.TEMPORAL, True),
    "the test begins when the training ends": (at(TRAIN, 50), at(TEST, 50), {}, Protocol.TEMPORAL, True),
    "the test is earlier": (TRAIN, at(TEST, 1), {}, Protocol.RANDOM, True),
    "most of the test's users are later": (TRAIN, [*TEST[:-1], (*TEST[-1][:2], 1)], {}, Protocol.TEMPORAL, True),
    "a half of the test's users is later": (TRAIN, [*TEST[:10], *at(TEST[10:], 1)], {}, Protocol.RANDOM, True),
    "no test user is known": (TRAIN, [(user + 1000, *rest) for user, *rest in TEST], {}, Protocol.RANDOM, True),
    "no timestamps": (TRAIN, TEST, {"timestamps": False}, Protocol.RANDOM, False),
    "no timestamps, but lines in order": (
        TRAIN, TEST, {"timestamps": False, "lines_are_in_time": True}, Protocol.TEMPORAL, True,
    ),
    "timestamps that are all empty": (at(TRAIN, ""), at(TEST, ""), {}, Protocol.RANDOM, False),
}  # fmt: skip


@pytest.mark.parametrize(
    ("train", "test", "options", "validation", "ordered"), VALIDATION.values(), ids=VALIDATION.keys()
)
def test_settings_are_chosen_by_a_split_of_the_same_kind(
    train: list[tuple], test: list[tuple], options: dict, validation: Protocol, ordered: bool, tmp_path: Path
) -> None:
    task = two_files(tmp_path, train, test, **options)
    assert task.validation is task.split.protocol is validation
    assert task.policy.default.parameters["w"] == (SETTINGS.model_order if ordered else 1)
    assert task.policy.default.recency == (SETTINGS.model_recency if ordered else 0)


class TestTrainAndTest:
    def test_the_first_file_is_learnt_from_and_the_second_is_guessed(self, tmp_path: Path) -> None:
        task = two_files(tmp_path, TRAIN, TEST)
        assert task.split.fit is task.split.history
        assert (len(task.split.fit), len(task.split.held)) == (len(TRAIN), len(TEST))
        assert not pairs(task.split.fit) & pairs(task.split.held)
        assert len(task.platform.titles.ids) == len({title for _, title, _ in HISTORIES})

    def test_what_a_user_had_in_training_is_left_out_of_the_test_whatever_the_times(self, tmp_path: Path) -> None:
        for late in (LAST + 9, 1):
            repeated = at(TRAIN[:7], late)
            task = two_files(tmp_path, TRAIN, [*TEST, *repeated])
            assert (len(task.split.fit), len(task.split.held)) == (len(TRAIN), len(TEST))
            assert pairs(task.split.held) == pairs(two_files(tmp_path, TRAIN, TEST).split.held)

    def test_what_is_learnt_from_does_not_depend_on_the_test(self, tmp_path: Path) -> None:
        one = two_files(tmp_path, TRAIN, TEST).split.fit
        other = two_files(tmp_path, TRAIN, [*TRAIN[:20], *TEST[:9]]).split.fit
        assert pairs(one) == pairs(other)
        assert one.times.tolist() == other.times.tolist()

    def test_a_title_that_is_there_twice_counts_once_in_each_file(self, tmp_path: Path) -> None:
        task = two_files(tmp_path, [*TRAIN, *TRAIN], [*TEST, *TEST])
        assert (len(task.split.fit), len(task.split.held)) == (len(TRAIN), len(TEST))


class TestOneFile:
    def test_with_timestamps_each_users_last_is_held_out(self, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES)
        assert task.validation is task.split.protocol is Protocol.TEMPORAL
        assert len(task.split.held) == len(TEST)
        assert task.split.held.times.min() > task.split.fit.times.max()

    def test_without_timestamps_it_is_at_random_and_order_is_no_matter(self, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES, timestamps=False)
        assert task.validation is task.split.protocol is Protocol.RANDOM
        assert task.policy.default.parameters["w"] == 1

    @pytest.mark.parametrize("options", [{"protocol": Protocol.TEMPORAL}, {"lines_are_in_time": True}])
    def test_without_timestamps_lines_may_be_in_order(self, options: dict, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES, timestamps=False, **options)
        assert task.validation is task.split.protocol is Protocol.TEMPORAL
        assert len(task.split.held) == 20
        assert all(row % 6 == 5 for row in task.split.held.rows.tolist())
        assert task.policy.default.parameters["w"] == SETTINGS.model_order

    @pytest.mark.parametrize("protocol", Protocol)
    def test_a_split_that_is_asked_for_is_made(self, protocol: Protocol, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES, protocol=protocol)
        assert task.validation is task.split.protocol is protocol

    def test_users_with_fewer_than_least_are_not_tested(self, tmp_path: Path) -> None:
        assert len(one_file(tmp_path, HISTORIES, least=6).split.held) == 20
        assert len(one_file(tmp_path, HISTORIES, least=7).split.held) == 0


def genres_file(folder: Path, lines: list[str]) -> Path:
    path = folder / "titles.csv"
    path.write_text("\n".join(["media_id,genres", *lines]))
    return path


class TestTitles:
    LINES = tuple(f"t{title},{'War' if title % 2 else 'Noir|Crime'}" for title in range(36))

    def test_genres_come_from_the_file_and_preferences_from_them(self, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES, titles=genres_file(tmp_path, [*self.LINES, "unseen,Drama"]))
        assert set(task.platform.genres) == {"War", "Noir", "Crime", "Drama"}
        known = task.platform.preferences(to_uuids(task.split.history.user_ids))
        assert set().union(*known.values()) == {"war", "noir", "crime"}

    def test_a_title_of_the_file_may_be_recommended_though_nobody_knows_it(self, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES, titles=genres_file(tmp_path, [*self.LINES, "unseen,Drama"]))
        assert len(task.platform.titles.ids) == len(self.LINES) + 1

    def test_without_a_file_nothing_is_known_of_genres(self, tmp_path: Path) -> None:
        task = one_file(tmp_path, HISTORIES)
        assert task.platform.preferences is None
        assert task.platform.genres == {}

    def test_a_file_of_other_titles_is_refused(self, tmp_path: Path) -> None:
        other = genres_file(tmp_path, ["1,War", "2,Noir"])
        with pytest.raises(UnusableFile, match=r"titles.csv has none of the titles that users interacted with"):
            one_file(tmp_path, HISTORIES, titles=other)


class TestNothingLeaks:
    """What is held out tells nothing of what is recommended."""

    def favourites(self, task: Task) -> dict[bytes, frozenset[str]]:
        return {i.bytes: known for i, known in self.told(task, task.split.history.user_ids).items()}

    def told(self, task: Task, users: IdArray) -> dict:
        assert task.platform.preferences is not None
        return dict(task.platform.preferences(to_uuids(users)))

    def test_preferences_stay_when_what_is_held_out_is_another(self, tmp_path: Path) -> None:
        # Every user's history is of one genre, and what is held out of another, or of a third.
        train = [(user, title, title) for user in range(12) for title in range(5)]
        lines = [*(f"t{title},War" for title in range(5)), *(f"t{title},Noir" for title in range(5, 20))]
        titles = genres_file(tmp_path, [*lines, *(f"t{title},Drama" for title in range(20, 40))])
        found = []
        for held in (range(5, 8), range(20, 30)):
            test = [(user, title, 100 + title) for user in range(12) for title in held]
            task = two_files(tmp_path, train, test, titles=titles)
            found.append(self.favourites(task))
            assert set(found[-1].values()) == {frozenset({"war"})}
        assert found[0] == found[1]

    @pytest.mark.parametrize("protocol", Protocol)
    def test_in_one_file_preferences_come_from_the_history_alone(self, protocol: Protocol, tmp_path: Path) -> None:
        rows = plain(clustered(users=30))
        titles = genres_file(tmp_path, [f"t{title},g{title}" for title in range(40)])
        task = one_file(tmp_path, rows, titles=titles, protocol=protocol)
        names = {i: name for name, ids in task.platform.genres.items() for i in ids.tolist()}
        known = {(user, names[title]) for user, title in pairs(task.split.history)}
        for user, genres in self.favourites(task).items():
            assert all((user.rstrip(b"\0"), genre) in {(u.rstrip(b"\0"), g) for u, g in known} for genre in genres)
        assert len(self.favourites(task)) == len({user for user, _ in known})

    def test_settings_are_chosen_within_what_is_learnt_from(self, tmp_path: Path) -> None:
        one, other = (two_files(tmp_path, TRAIN, test) for test in (TEST, TEST[:10]))
        assert one.policy == other.policy
        assert pairs(one.split.fit) == pairs(other.split.fit)
