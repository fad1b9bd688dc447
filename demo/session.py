"""One run of the demo: start, show, stay up until Ctrl-C, stop."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from demo import service, walkthrough
from demo.errors import DemoError, WrongAnswer
from demo.process import log_tail
from demo.supervisor import Supervisor, install_stop_handlers

_INTERRUPTED = 130  # the shell's convention for Ctrl-C


def run(directory: Path, *, port: int | None, movielens: Path | None, stay: bool) -> int:
    """Run the demo on `directory`, keeping it up afterwards when it is to `stay`.

    Returns the exit status: 0; 1 when something failed, which is said; 130 when interrupted before it was up.
    """
    install_stop_handlers()
    up = False
    try:
        with Supervisor(directory) as supervisor:
            try:
                address, users = _start_and_show(supervisor, port, movielens)
                if stay:
                    _invite(address, users, supervisor.directory)
                    up = True
                    supervisor.watch()
                print("\nEverything answered as it should.")
            except WrongAnswer as error:
                logs = [log_tail(supervisor.log(name)) for name in ("gateway", "worker")]
                raise DemoError("\n".join([str(error), *logs])) from error
            except BrokenPipeError:  # whoever read the output (a pager, head) has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
    except KeyboardInterrupt:
        return 0 if up else _INTERRUPTED
    except DemoError as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1
    return 0


def _start_and_show(supervisor: Supervisor, port: int | None, movielens: Path | None) -> tuple[str, list[UUID]]:
    """The gateway's address and the known users, once everything has answered as it should."""
    begun = time.perf_counter()
    port = service.choose_port(port)
    client, dsns = service.start(supervisor, port=port, movielens=movielens)
    print(f"Ready after {time.perf_counter() - begun:.1f} s.")
    users, seen = service.known_users(dsns)
    walkthrough.run(client, users, seen, supervisor.check)
    return client.address, users


def _invite(address: str, users: Sequence[UUID], directory: Path) -> None:
    """The addresses, and three commands that work as they are printed."""
    api = f"{address}/api/recommendations"
    three = ", ".join(f'"{user}"' for user in users[:3])
    send = f"{api}/batch -H 'Content-Type: application/json' -d '{{\"user_ids\": [{three}], \"limit\": 5}}'"
    print(
        f"\nThe service stays up at {address} (data and logs: {directory}). Try:\n\n"
        f"  one user   curl -s '{api}/{users[0]}?limit=5'\n\n"
        f"  a batch    curl -s {send}\n\n"
        f"  a job      curl -si {send} -H 'Prefer: respond-async'\n\n"
        "Ctrl-C stops everything.",
        flush=True,
    )
