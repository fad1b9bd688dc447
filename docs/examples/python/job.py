"""Submits many users as a job, follows it, and prints the best title of each.

usage: python job.py USER_ID...
       python job.py - < FILE      (one user id to a line)

ML_SERVICE_URL   the service (http://127.0.0.1:8000)
LIMIT            titles per user (10)
IDEMPOTENCY_KEY  the submission's name (a new one); submitted again under the same name, it is the same job
"""

import os
import sys
from uuid import uuid4

from client import LIMIT, call, follow, print_results, run


# region: job
def job(users: list[str]) -> None:
    """Any number of users, up to 100,000."""
    key = os.environ.get("IDEMPOTENCY_KEY") or str(uuid4())
    headers = {"Prefer": "respond-async", "Idempotency-Key": key}
    answer = call("POST", "/api/recommendations/batch", {"user_ids": users, "limit": LIMIT}, headers)
    print(f"job {answer.document['job_id']}, submitted as {key}", file=sys.stderr)
    print_results(follow(answer.headers["Location"]))


# end
run(job, __doc__)
