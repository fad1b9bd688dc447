"""engagement_db: who liked, disliked and watched what. Only ever read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import numpy as np

from shared.catalogue import Popularity
from shared.databases import Database
from shared.ids import id_array
from shared.interactions import InteractionRows
from shared.media import Kind
from shared.repositories import uuid_array
from shared.session import Parameters
from shared.stall_guard import Sink

# What a type means, as SQL. Case and blanks do not count; anything unknown is OTHER.
_KIND: Final = f"""
    CASE upper(btrim(type, E' \\t\\r\\n')) WHEN 'LIKE' THEN {Kind.LIKE} WHEN 'DISLIKE' THEN {Kind.DISLIKE}
                            WHEN 'WATCH' THEN {Kind.WATCH} ELSE {Kind.OTHER} END::smallint
"""
_TIME: Final = """coalesce("timestamp", '-infinity')::timestamp"""
_NOW: Final = "(now() AT TIME ZONE 'UTC')"
_VALUE: Final = "coalesce(interaction_value::double precision, 'NaN')"

# One row as `histories` gets it: the fields' binary forms, end to end.
_RECORD: Final = np.dtype(
    [("user", "S16"), ("title", "S16"), ("kind", ">i2"), ("time", ">i8"), ("row", ">i8"), ("value", ">f8")]
)


class EngagementRepository:
    """Reads interaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def histories(self, user_ids: Sequence[UUID], *, bulk: bool = False) -> InteractionRows:
        """Every interaction of these users, in no order, packed by the server into one value: reading a row this way
        costs a tenth of a Python tuple per row. Raises DatabaseUnavailable."""
        [(packed,)] = self._database.fetch(
            f"""
            SELECT string_agg(uuid_send(user_id) || uuid_send(media_id) || int2send({_KIND})
                              || timestamp_send({_TIME}) || int8send(id) || float8send({_VALUE}), ''::bytea)
              FROM interaction
             WHERE user_id = ANY(%(ids)s::uuid[])
            """,
            {"ids": uuid_array(user_ids)},
            bulk=bulk,
        )
        return InteractionRows.from_records(np.frombuffer(packed or b"", dtype=_RECORD))

    def copy(self, sink: Sink, *, after: int | None = None) -> None:
        """Stream every interaction, or those with an id above `after`, in COPY's binary format, all rows of one width:
        user_id, media_id, kind, time, id, value. Raises DatabaseUnavailable."""
        newer = "" if after is None else f"AND id > {after:d}"  # COPY takes no parameters; an integer is none to fear
        self._database.copy(
            f"""
            COPY (SELECT user_id::uuid, media_id::uuid, {_KIND}, {_TIME}, id::bigint, {_VALUE}
                    FROM interaction
                   WHERE user_id IS NOT NULL AND media_id IS NOT NULL AND id IS NOT NULL {newer})
              TO STDOUT (FORMAT BINARY)
            """,
            sink,
        )

    def popularity(self, half_life_days: float) -> Popularity:
        """How much liked each title is now, for the time before there is a model; reads the whole table.

        The same formula and the same rules as in training (worker/training/interactions.py): each user who likes or
        watches a title counts 2^(-age / half-life), age being measured from the newest interaction that is not in the
        future; an unknown age is that of the oldest. Raises DatabaseUnavailable.
        """
        return self._liked("true", "max(time)", {"half_life": half_life_days, "most": None}, bulk=True)

    def trending(self, *, window_days: float | None, half_life_days: float | None, most: int) -> Popularity:
        """The `most` titles that are liked or watched most in the days before now, by the database's clock.

        Each user counts 2^(-age / half-life) towards a title, or 1 without a half-life; what users did in the window
        settles what they think, whatever they did before. What is dated in the future has not happened yet. A missing
        time is in no window; without a window it is that of the oldest interaction.

        Within a request's bound: without an index on "timestamp" it reads the whole table, as it always does without a
        window. Raises DatabaseUnavailable.
        """
        happened = f"""("timestamp" IS NULL OR "timestamp" <= {_NOW})"""
        in_window = f""""timestamp" > {_NOW} - %(window)s * interval '1 day' AND "timestamp" <= {_NOW}"""
        return self._liked(
            happened if window_days is None else in_window,
            f"max({_NOW})",
            {
                "half_life": math.inf if half_life_days is None else half_life_days,
                "most": most,
                "window": window_days,
            },
            bulk=False,
        )

    def _liked(self, counted: str, newest: str, parameters: Parameters, *, bulk: bool) -> Popularity:
        """How much liked titles are by the rows `counted`, a condition; age being measured from `newest`, an aggregate
        of what is known of their time."""
        [(titles, weights)] = self._database.fetch(
            f"""
            WITH settled AS (  -- as shared/interactions.py settles it: an opinion over a watch, then the latest
                SELECT DISTINCT ON (user_id, media_id) media_id, {_KIND} AS kind, {_TIME} AS time
                  FROM interaction
                 WHERE user_id IS NOT NULL AND media_id IS NOT NULL AND {counted}
                 ORDER BY user_id, media_id, least({_KIND}, {Kind.LIKE}) DESC, {_TIME} DESC, id DESC
            ), positive AS (
                SELECT media_id, time FROM settled WHERE kind IN ({Kind.WATCH}, {Kind.LIKE})
            ), span AS (
                SELECT {newest} AS newest, min(time) AS oldest
                  FROM positive
                 WHERE time > '-infinity' AND time <= {_NOW}
            ), aged AS (
                SELECT media_id, extract(epoch FROM newest - least(greatest(time, oldest), newest)) / 86400 AS days
                  FROM positive, span
            ), weighed AS (
                SELECT media_id,
                       sum(exp(greatest(-700, -ln(2) * coalesce(days, 0) / %(half_life)s))::double precision) AS weight
                  FROM aged
                 GROUP BY media_id
                 ORDER BY weight DESC, media_id
                 LIMIT %(most)s
            )
            SELECT string_agg(uuid_send(media_id), ''::bytea ORDER BY media_id),
                   string_agg(float4send(weight::real), ''::bytea ORDER BY media_id)
              FROM weighed
            """,
            parameters,
            bulk=bulk,
        )
        weights = np.frombuffer(weights or b"", dtype=">f4").astype(np.float32)
        return Popularity(id_array(titles or b""), weights)
