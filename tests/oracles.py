"""Slow and obvious versions of what the service does fast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Set

# The seed's collaborative formula, as its specification gives it: find the users who share titles with me, and score
# the titles they like by how many of them do, weighted by how many titles we share.
SEED_SQL = """
WITH opinion AS (      -- the standing interaction per user and title
    SELECT DISTINCT ON (user_id, media_id) user_id, media_id, upper(btrim(type)) AS type
      FROM interaction
     ORDER BY user_id, media_id,
              CASE upper(btrim(type)) WHEN 'LIKE' THEN 2 WHEN 'DISLIKE' THEN 2 WHEN 'WATCH' THEN 1 ELSE 0 END DESC,
              "timestamp" DESC NULLS LAST, id DESC
), positive AS (
    SELECT user_id, media_id FROM opinion WHERE type IN ('LIKE', 'WATCH')
), similar_user AS (
    SELECT other.user_id, count(*) AS shared
      FROM positive AS mine
      JOIN positive AS other USING (media_id)
     WHERE mine.user_id = %s AND other.user_id <> mine.user_id
     GROUP BY other.user_id
)
SELECT positive.media_id, sum(similar_user.shared) AS score
  FROM similar_user JOIN positive USING (user_id)
 WHERE positive.media_id NOT IN (SELECT media_id FROM interaction WHERE user_id = %s)
 GROUP BY positive.media_id
"""


def seed_scores(likes: Mapping[Hashable, Set[Hashable]], user: Hashable) -> dict[Hashable, int]:
    """The same formula in Python. likes: user -> titles. Returns title -> score for every unseen title with one."""
    mine = likes[user]
    scores: dict[Hashable, int] = defaultdict(int)
    for other, theirs in likes.items():
        shared = len(mine & theirs)
        if other != user and shared:
            for title in theirs - mine:
                scores[title] += shared
    return dict(scores)
