"""JSON as the gateway sends it."""

from __future__ import annotations

import pytest

from gateway.rendering import fingerprint, json

PAGE = {"recommendations": [{"title": "Alien"}], "cached": False}


def test_a_page_is_the_same_whether_it_was_cached_or_not() -> None:
    assert fingerprint(json(PAGE)) == fingerprint(json(PAGE | {"cached": True}))


@pytest.mark.parametrize("texts", [("Alien", "Aliens"), ('"cached":false', '"cached":true')])
def test_pages_of_different_texts_are_told_apart(texts: tuple[str, str]) -> None:
    one, other = (fingerprint(json(PAGE | {"recommendations": [{"title": text}]})) for text in texts)
    assert one != other
