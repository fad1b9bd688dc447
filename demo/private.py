"""Files that nobody but their owner may read, and the passwords that are kept in them."""

import os
import secrets
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all, at no moment readable for others. Raises OSError."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def password(path: Path) -> str:
    """The password that the file holds; made when it is first asked for. Raises OSError."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text(encoding="utf-8").strip()
