"""The settings that models and lists are made by: all an evaluation on files needs. Part of shared/settings.py."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from shared.errors import ConfigurationError

_NAMES_A_SECRET: Final = re.compile(r"(PASSWORD|SECRET|TOKEN|_KEY)$")


class ModelSettings(BaseSettings):
    """What models and lists are made by; all of it has a default."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    # Ranking.
    content_weight: float = Field(
        0.4, ge=0, le=1, description="weight of matching genres in the hybrid; the rest is collaborative"
    )
    list_depth: int = Field(200, ge=1, le=1000, description="titles ranked per user; offset + limit reach no further")
    pool_size: int = Field(30, ge=1, le=1000, description="best collaborative titles that the hybrid re-ranks")
    new_titles: int = Field(
        1, ge=0, le=100, description="titles nobody has liked yet that are ranked with these, if their genres match"
    )
    history_length: int = Field(500, ge=1, le=10_000, description="newest liked or watched titles that are scored from")
    popularity_half_life_days: float = Field(
        365.0, gt=0, description="age at which an interaction counts half towards popularity"
    )

    # Feedback: what an interaction weighs, in training and in a user's history. docs/ACCURACY.md has the evidence.
    like_strength: float = Field(1.0, gt=0, le=100, description="weight of a LIKE")
    watch_strength: float = Field(0.5, ge=0, le=100, description="weight of a WATCH; 0: seen, and no more")
    dislike_strength: float = Field(
        -0.2,
        ge=-100,
        le=0,
        description="weight of a DISLIKE in a history: pushes similar titles down; 0: seen, no more",
    )
    value_weight: float = Field(
        0.0, ge=0, le=1, description="how far interaction_value scales a weight: 0 not at all, 1 wholly"
    )
    value_full: float = Field(1.0, gt=0, description="interaction_value that counts fully: 5 for stars, 1 for a share")
    history_half_life_days: float = Field(
        0.0, ge=0, description="age at which an entry of a history counts half, on top of its rank; 0: age is no matter"
    )

    # Training.
    training_budget_seconds: float = Field(
        300.0, ge=0, le=86_400, description="time to search for the best model in; 0 trains the settings below, untried"
    )
    training_memory_mb: int = Field(
        2048,
        ge=64,
        description="memory one estimator may take, in MB; what would take more is left out, and it says so",
    )
    training_threads: int = Field(0, ge=0, le=256, description="threads of the matrix products; 0: every processor")
    training_seed: int = Field(0, ge=0, le=2**31, description="the same seed and interactions give the same model")
    model_neighbours: int = Field(
        200, ge=1, le=10_000, description="strongest neighbours kept per title; a search also tries 100 and 500"
    )
    model_history_exponent: float = Field(
        0.4, ge=0, le=1, description="a: damping by the popularity of the title in the history"
    )
    model_user_exponent: float = Field(0.5, ge=0, le=1, description="b: damping by the number of titles a user has")
    model_title_exponent: float = Field(
        0.2, ge=0, le=1, description="c: damping by the popularity of the title recommended"
    )
    model_order: float = Field(
        0.2, ge=0, le=1, description="w: weight of a pair against the order it was liked in; 1 forgets the order"
    )
    model_recency: float = Field(
        0.75, ge=0, le=5, description="r: a history's entry counts (1 + rank)^-r, the newest having rank 0"
    )

    secrets_dir: str = Field(
        "", description="folder with a file per setting that is not in the environment, as containers mount secrets"
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment once, and the files in SECRETS_DIR for what is not there.

        Raises ConfigurationError naming every variable that is missing or out of range, never its value.
        """
        folder = os.environ.get("SECRETS_DIR", "")
        if folder and not Path(folder).is_dir():
            raise ConfigurationError(f"SECRETS_DIR: {folder} is no folder")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # of a file that is none, or leads out of the folder
                return cls(_secrets_dir=folder or None)  # required fields come from the environment
        except ValidationError as error:
            raise _unusable(error) from None
        except SettingsError as error:
            raise ConfigurationError(_unreadable(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        """Where settings come from, the first before the last. An empty file sets nothing, as an empty variable."""

        def files() -> dict[str, Any]:
            return {name: value for name, value in file_secret_settings().items() if value != ""}

        return init_settings, env_settings, files

    def changed(self, **values: object) -> Self:
        """The same with other values, checked as the environment's are. Raises ConfigurationError."""
        try:
            return type(self).model_validate({**self.model_dump(), **values})
        except ValidationError as error:
            raise _unusable(error) from None

    def secrets(self) -> list[str]:
        """Every value that has to be hidden: those of these settings, and those the environment has for drivers, such
        as PGPASSWORD and AWS_SECRET_ACCESS_KEY."""
        values = (getattr(self, name) for name in type(self).model_fields)
        ours = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        return ours + [value for name, value in os.environ.items() if _NAMES_A_SECRET.search(name)]

    @property
    def collaborative_weight(self) -> float:
        """The hybrid's other weight: what content leaves."""
        return 1.0 - self.content_weight


def _unusable(error: ValidationError) -> ConfigurationError:
    wrong = [f"{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
    return ConfigurationError("settings to mend (see .env.example): " + "; ".join(wrong))


def _unreadable(error: SettingsError) -> str:
    """What is wrong with a file or a variable, without what is in it."""
    match error.__cause__:
        case OSError() as cause:
            return f"SECRETS_DIR: {cause.filename} cannot be read: {cause.strerror}"
        case UserWarning() as cause:
            return f"SECRETS_DIR: {cause}"
        case UnicodeDecodeError():
            return f"SECRETS_DIR: a file is no text in UTF-8: {error}"
    return f"settings to mend (see .env.example): {error}"  # such as a list that is no JSON
