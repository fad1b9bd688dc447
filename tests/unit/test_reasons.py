"""Reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest

from shared.ids import pack_ids
from shared.list_name import ListName
from shared.media import Kind, Source, Strategy, Title
from shared.options import PLAIN
from shared.ranked_list import CAUSES, SOURCE_CODE, Causes, RankedList
from shared.reasons import mentioned, reasons

LISTED = UUID(int=100)
FOR_A_USER, LIKE_A_TITLE = ListName.of_user(UUID(int=1), PLAIN), ListName.like(UUID(int=1), PLAIN)
L, W = Kind.LIKE, Kind.WATCH


def title(number: int, name: str | None, *genres: str) -> Title:
    return Title(UUID(int=number), name, None, None, None, None, genres)


def a_list(source: Source, history: Sequence[tuple[Kind, int]], genres: Sequence[str]) -> RankedList:
    """One title, owed to these: kinds with shares in steps. Titles of the history are numbered from 1 on."""
    places = [place + 1 for place in range(len(history))]
    return RankedList(
        strategy=Strategy.HYBRID,
        titles=pack_ids([LISTED]),
        scores=np.array([5000], dtype=np.uint16),
        content=np.array([0], dtype=np.uint16),
        collaborative=np.array([9000], dtype=np.uint16),
        sources=np.array([SOURCE_CODE[source]], dtype=np.uint8),
        causes=Causes(
            pack_ids([UUID(int=place) for place in places]),
            np.array([kind for kind, _ in history], dtype=np.uint8),
            np.array([places + [0] * (CAUSES - len(places))], dtype=np.uint16),
            np.array([[share for _, share in history] + [0] * (CAUSES - len(places))], dtype=np.uint16),
        ),
        genres=frozenset(genres),
        exhausted=False,
    )


# name: which list, where the title came from, the history's kinds and names, the user's genres -> the sentence.
# The title's own genres are Crime and Drama.
SENTENCES = {
    "one-liked": (FOR_A_USER, Source.HYBRID, [(L, "Heat")], [], "Because you liked Heat"),
    "two-liked": (FOR_A_USER, Source.HYBRID, [(L, "Heat"), (L, "Ronin")], [], "Because you liked Heat and Ronin"),
    "three": (FOR_A_USER, Source.HYBRID, [(L, "A"), (L, "B"), (L, "C")], [], "Because you liked A, B and C"),
    "watched": (FOR_A_USER, Source.HYBRID, [(W, "Heat")], [], "Because you watched Heat"),
    "both": (FOR_A_USER, Source.HYBRID, [(W, "A"), (L, "B"), (L, "C")], [], "Because you liked B and C and watched A"),
    "commas": (
        FOR_A_USER,
        Source.HYBRID,
        [(L, "Fly, The"), (L, "Heat")],
        [],
        "Because you liked \u201cFly, The\u201d and Heat",
    ),
    "without-a-name": (FOR_A_USER, Source.HYBRID, [(L, None), (L, "B")], [], "Because you liked B"),
    "nothing-to-name": (FOR_A_USER, Source.HYBRID, [(L, None)], [], "Liked by people who share your taste"),
    "genres": (FOR_A_USER, Source.CONTENT, [], ["crime", "drama"], "Because you like Crime and Drama"),
    "history-over-genres": (FOR_A_USER, Source.HYBRID, [(L, "Heat")], ["crime"], "Because you liked Heat"),
    "popular": (FOR_A_USER, Source.POPULAR, [], ["war"], "Liked by many"),
    "trending": (ListName.popular(7, None, PLAIN), Source.TRENDING, [], [], "Liked by many lately"),
    "new": (FOR_A_USER, Source.EXPLORATION, [], ["crime"], "New in the catalogue"),
    "similar": (LIKE_A_TITLE, Source.HYBRID, [(L, "Heat")], ["crime"], "Liked by people who like Heat"),
    "similar-by-genre": (LIKE_A_TITLE, Source.CONTENT, [], ["crime", "drama"], "Also Crime and Drama"),
}


@pytest.mark.parametrize(("name", "source", "history", "genres", "text"), SENTENCES.values(), ids=SENTENCES)
def test_a_reason_is_one_plain_sentence(
    name: ListName, source: Source, history: list[tuple[Kind, str | None]], genres: list[str], text: str
) -> None:
    ranked = a_list(source, [(kind, 1000) for kind, _ in history], genres)
    known = {LISTED: title(100, "Listed", "Crime", "Drama")}
    known |= {UUID(int=i): title(i, called) for i, (_, called) in enumerate(history, 1)}
    [reason] = reasons(name, ranked, known)
    assert reason.text == text


def test_shares_and_the_rest_add_up_also_when_a_title_of_the_history_is_gone() -> None:
    ranked = a_list(Source.HYBRID, [(L, 5000), (W, 3000), (L, 500)], [])
    assert mentioned(ranked) == {UUID(int=i) for i in (1, 2, 3)}
    known = {LISTED: title(100, "Listed"), UUID(int=1): title(1, "One"), UUID(int=3): title(3, "Three")}
    [reason] = reasons(FOR_A_USER, ranked, known)
    assert [(cause.media_id.int, cause.kind, cause.share) for cause in reason.history] == [(1, L, 0.5), (3, L, 0.05)]
    assert reason.rest == 0.35


def test_the_genres_that_matched_are_named_as_the_title_has_them() -> None:
    ranked = a_list(Source.CONTENT, [], ["crime", "science fiction"])
    [reason] = reasons(FOR_A_USER, ranked, {LISTED: title(100, "Listed", "Crime", "Drama", "Science  Fiction")})
    assert reason.genres == ("Crime", "Science  Fiction")
