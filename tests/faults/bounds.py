"""The longest that recovering, and answering, may take: what the cluster's settings add up to, in seconds."""

from __future__ import annotations

from typing import Final

from tests.faults.cluster import SHORT

BUSY: Final = 4.0  # on top, for two cores that run the servers, the service and the test
SLOW_BEAT: Final = 2.0  # of workers whose silence nobody is to notice before their lease ends: four are longer
WORKER_START: Final = 8.0  # Python, the libraries, the model; then the pool's processes

_ROUND: Final = 2 * SHORT["beat_seconds"]  # a reconciler's pause, and its round
_SILENCE: Final = 4 * SHORT["beat_seconds"]  # after this a worker is taken for dead
_LEASE: Final = SHORT["lease_seconds"]
_QUERY: Final = sum(SHORT[f"database_{what}_seconds"] for what in ("checkout", "connect", "statement"))
_SOCKET: Final = 5.0  # after this without an answer a worker drops its connection to the broker (shared/broker.py)

# One of the workers is dead: the others notice its silence, and publish what it held.
DEAD_WORKER: Final = _SILENCE + _ROUND + BUSY
# A worker stands still, and beats too seldom for that to be noticed: its lease ends.
STANDING_STILL: Final = _LEASE + 2 * SLOW_BEAT + BUSY
# None is left: the first of those that come starts, and must itself have been awake for that long; or leases end.
NO_WORKER: Final = WORKER_START + max(_LEASE, _SILENCE) + _ROUND + BUSY
# Messages are gone: taken for lost, and sent again. The second time waits twice as long.
LOST_MESSAGES: Final = 2 * SHORT["republish_seconds"] + _ROUND + BUSY
# A worker's connection to the broker is dead and does not say so: two silences (one to ask, one for the answer), then
# whatever it had taken comes back as lost.
SILENT_BROKER: Final = 2 * _SOCKET + LOST_MESSAGES
# The broker was away: a worker looks for it after pauses of 1, 2, 3, 4, 5, 5, ... s; and messages may have been lost.
BROKER_BACK: Final = 5.0 + LOST_MESSAGES
# The ledger was away: an attempt that had begun fails, a pause, another; then leases that nobody could close end.
LEDGER_BACK: Final = 2 * _QUERY + SHORT["retry_pause_seconds"] + _LEASE + LOST_MESSAGES
# The gateway is dead: it starts, and what it had accepted is found; what it had not published counts as lost.
NO_GATEWAY: Final = WORKER_START + LOST_MESSAGES
# A worker that is told to stop gives back what it holds.
STOPPING: Final = SHORT["grace_seconds"] + BUSY

ANSWER: Final = BUSY  # nothing that the gateway waits for is down
ANSWER_WITHOUT_BROKER: Final = 2 * SHORT["publish_seconds"] + BUSY
ANSWER_WITHOUT_LEDGER: Final = 2 * 2 * _QUERY + BUSY  # two queries, each may find a broken connection first
# A message was taken and never acknowledged: it comes back when its time is over, which is a lease, at the next look;
# and a dead worker may have locked that for ten seconds (shared/broker.py).
REDELIVERED: Final = WORKER_START + _LEASE + 10.0 + _LEASE / 2 + BUSY
# Whoever was telling of a job's end is dead: another may tell it when the first one's lease on it is over.
ANNOUNCED: Final = NO_WORKER + 35.0 + BUSY
