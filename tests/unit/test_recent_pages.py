"""The gateway's memory of pages is bounded, by age and by size."""

from __future__ import annotations

import time

from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from gateway.recent_pages import Page, RecentPages


def request(path: str, **headers: str) -> Request:
    return Request(EnvironBuilder(path=path, headers=headers).get_environ())


PAGE = Page(b"{}", "tag")


def test_a_page_is_found_by_its_whole_address() -> None:
    recent = RecentPages(60)
    recent.keep(request("/a?limit=1"), PAGE)
    assert recent.find(request("/a?limit=1")) is PAGE
    for other in ("/a", "/a?limit=2", "/b?limit=1", "/a?limit=1&offset=0"):
        assert recent.find(request(other)) is None, other


def test_a_page_is_forgotten_when_its_time_is_over() -> None:
    recent = RecentPages(0.05)
    recent.keep(request("/a"), PAGE)
    time.sleep(0.06)
    assert recent.find(request("/a")) is None


def test_who_wants_it_anew_does_not_find_it_nor_does_anybody_after() -> None:
    recent = RecentPages(60)
    recent.keep(request("/a"), PAGE)
    assert recent.find(request("/a", **{"Cache-Control": "max-age=0, No-Cache"})) is None
    assert recent.find(request("/a")) is None


def test_however_many_pages_there_are_they_take_a_bounded_memory_and_the_latest_are_kept() -> None:
    recent, large = RecentPages(60), Page(b"x" * 1_000_000, "tag")
    for number in range(100):
        recent.keep(request(f"/{number}"), large)
    found = [number for number in range(100) if recent.find(request(f"/{number}"))]
    assert found == list(range(84, 100))


def test_a_page_that_is_larger_than_all_there_is_room_for_is_not_kept() -> None:
    recent = RecentPages(60)
    recent.keep(request("/a"), Page(b"x" * 16_000_001, "tag"))
    assert recent.find(request("/a")) is None
