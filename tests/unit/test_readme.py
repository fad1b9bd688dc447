"""The README's message is one."""

from __future__ import annotations

import re

from demo.process import PROJECT
from shared.contracts import BATCH_TASK, QUEUE, BatchMessage
from shared.parsing import parse
from worker.guard.envelope import read_envelope


def test_the_message_that_the_readme_shows_is_taken_as_it_stands() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    command = re.search(rf"LPUSH {QUEUE} '(.*?)'\n", readme, re.DOTALL)
    message = read_envelope(QUEUE, command[1].encode())
    assert message.task == BATCH_TASK
    assert len(parse(BatchMessage, message.arguments).user_ids) == 1
