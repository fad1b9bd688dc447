"""A process of the pool that has ended, while Celery still keeps it."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub

from worker.pool import Pool


def test_a_process_whose_end_was_noticed_is_not_waited_for_at_the_next_connection() -> None:
    processes, hub, ended = object.__new__(Pool.Pool), Hub(), SimpleNamespace(_sentinel_poll=None)
    processes._track_child_process(ended, hub)
    assert not hub.readers
    with pytest.raises(ValueError, match="file descriptor is None"):  # once Celery bears this, ours can go
        AsynPool._track_child_process(processes, ended, hub)


def test_a_process_that_lives_is_waited_for_at_the_first_connection_and_at_the_next() -> None:
    processes, hub = object.__new__(Pool.Pool), Hub()
    reader, writer = os.pipe()
    try:
        living = SimpleNamespace(_popen=SimpleNamespace(sentinel=reader))
        for _ in range(2):
            processes._track_child_process(living, hub)
            assert list(hub.readers) == [living._sentinel_poll]
        os.close(living._sentinel_poll)
    finally:
        os.close(reader)
        os.close(writer)
