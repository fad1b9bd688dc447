"""How long making an answer may take."""

from __future__ import annotations

from flask import Flask

from shared import deadline


def register(app: Flask, seconds: float) -> None:
    """Give each request so many seconds from when it is read. Sending is not in them: a stream that begins in time goes
    on as long as its client takes it without long pauses."""

    def begin() -> None:
        deadline.begin(seconds)

    def end(_error: BaseException | None) -> None:
        deadline.end()

    app.before_request(begin)
    app.teardown_request(end)
