"""Going back to an earlier model."""

from __future__ import annotations

from shared.errors import NoSuchModel
from shared.model_store import ModelStore


def chosen_version(models: ModelStore, wanted: str | None) -> str:
    """The version to go back to: the one that is wanted, or the one before the current one. Raises NoSuchModel,
    ModelRejected when CURRENT holds no version's name, StorageUnavailable."""
    versions, current = models.versions(), models.current_version()
    there_are = f"there are {', '.join(versions)}" if versions else "there are none: run `python -m worker train`"
    if wanted is None:
        earlier = [version for version in versions if current and version < current]
        if not earlier:
            raise NoSuchModel(f"no version is older than the current one ({current or 'none'}); {there_are}")
        return earlier[-1]
    if wanted not in versions:
        raise NoSuchModel(f"there is no version {wanted}; {there_are}")
    return wanted


def roll_back(models: ModelStore, wanted: str | None) -> tuple[str, str | None]:
    """Make a version current, if it loads; returns it and the one that was current. Raises as `chosen_version` does,
    and ModelRejected when the version cannot be used."""
    with models.exclusive():
        current = models.current_version()
        version = chosen_version(models, wanted)
        models.load(version)
        models.make_current(version)
    return version, current
