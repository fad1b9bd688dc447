"""`python -m gateway key`: make an API key. (gunicorn runs the gateway itself: see gateway/gunicorn.conf.py.)"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from pydantic import ValidationError

from gateway.auth.api_keys import ApiKeyFile, make_key
from gateway.auth.principals import Scope


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="What belongs to the gateway.")
    commands = parser.add_subparsers(dest="command", required=True)
    key = commands.add_parser(
        "key",
        help="make an API key for a service",
        description="Prints a new API key, once: only its hash is kept. To withdraw a key, remove its entry from the "
        "file; gateways notice within a second.",
    )
    key.add_argument("name", metavar="NAME", help="the service's: small letters, digits and hyphens")
    key.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=[str(scope) for scope in Scope],
        help="what it may do; once for each",
    )
    key.add_argument("--file", type=Path, required=True, metavar="FILE", help="API_KEYS_FILE: made, or added to")
    key.add_argument("--days", type=_days, metavar="N", help="how long it is good (default: until it is removed)")
    chosen = parser.parse_args(arguments)
    try:
        print(_make(chosen.name, [Scope(scope) for scope in chosen.scope], chosen.file, chosen.days))  # noqa: T201
    except (OSError, ValueError) as error:
        reason = "the name: small letters, digits and hyphens" if isinstance(error, ValidationError) else error
        print(f"gateway: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _days(text: str) -> int:
    if not (text.isdigit() and 0 < int(text) <= 3650):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days (1 to 3650)")
    return int(text)


def _make(name: str, scopes: list[Scope], file: Path, days: int | None) -> str:
    """A new key, which the file knows afterwards. Raises OSError, ValueError for a name or a file that is none."""
    expires = None if days is None else datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    key, entry = make_key(name, scopes, expires)
    known = ApiKeyFile.read(file.read_bytes()) if file.exists() else ApiKeyFile()
    _replace(file, known.with_key(entry).model_dump_json(indent=2, exclude_none=True) + "\n")
    return key


def _replace(file: Path, text: str) -> None:
    """Write a file in one step: a gateway that reads it meanwhile sees the one or the other."""
    beside = file.with_name(f".{file.name}-{uuid4().hex}")
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as out:
            out.write(text)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
