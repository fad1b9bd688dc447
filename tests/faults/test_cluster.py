"""What a cluster says of itself, on which the promises are judged."""

from __future__ import annotations

from tests.faults.cluster import Cluster


def test_a_message_that_is_never_acknowledged_is_seen_to_stay_behind(cluster: Cluster) -> None:
    """The check of I6 itself: it waits, and what it saw last is what it says."""
    cluster.broker.hset("unacked", "a tag", "a message")
    assert cluster.left_behind(0.1) == {"unacked": 1}
    cluster.broker.hdel("unacked", "a tag")
    assert cluster.left_behind(1.0) == {}
