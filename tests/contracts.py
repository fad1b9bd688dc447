"""What tests of the contracts share."""

from __future__ import annotations

from typing import Any, Final

import pytest

from shared.contracts import (
    BatchMessage,
    BatchRequest,
    PopularRequest,
    PreviewRequest,
    SimilarRequest,
    UserPageRequest,
)
from shared.errors import InvalidRequest
from shared.parsing import parse

USER: Final = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
JOB: Final = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

# Of every list, when nothing is asked of it.
ASKS_NOTHING: Final[dict[str, Any]] = {
    "genres_any": [],
    "genres_all": [],
    "genres_none": [],
    "media_type": [],
    "year_from": None,
    "year_to": None,
    "exclude": [],
    "diversity": 0.0,
    "max_per_genre": None,
    "explore": 0.0,
    "seed": 0,
    "explain": True,
    "fields": [],
}

# Of each contract that asks for a list the least that it takes.
LEAST: Final[dict[type, dict[str, Any]]] = {
    UserPageRequest: {},
    PreviewRequest: {},
    SimilarRequest: {},
    PopularRequest: {},
    BatchRequest: {"user_ids": [USER]},
    BatchMessage: {"user_ids": [USER], "job_id": JOB},
}
PAGED: Final = (UserPageRequest, PreviewRequest, SimilarRequest, PopularRequest)


def refusal(contract: type, data: Any) -> InvalidRequest:
    """Why this is not taken."""
    with pytest.raises(InvalidRequest) as caught:
        parse(contract, data)
    return caught.value
