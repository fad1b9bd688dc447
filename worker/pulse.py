"""A sign of life that a container's health check can see."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from celery import bootsteps

_PULSE_SECONDS: Final = 5.0


def pulse(file: Path) -> type[bootsteps.StartStopStep]:
    """A part of Celery's consumer that touches `file`, for a health check to look at its age.

    The loop that reads the queue does it, so the file grows old when that hangs or has no broker; a thread of its own
    would go on. Celery starts the part anew after each lost connection, which ends the timer too.
    """

    class Pulse(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        requires = ("celery.worker.consumer:Tasks",)

        def start(self, consumer: Any) -> None:
            self.timer = consumer.timer.call_repeatedly(_PULSE_SECONDS, file.touch)

        def stop(self, _consumer: Any) -> None:
            self.timer.cancel()

    return Pulse
