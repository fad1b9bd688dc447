"""Submits many users as a job, follows it, and prints the best title of each.

usage: python job.py USER_ID...
       python job.py - < FILE      (one user id to a line)

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
IDEMPOTENCY_KEY   the submission's name (a new one); submitted again under the same name, it is the same job
"""

import os
import sys
from uuid import uuid4

from console import LIMIT, SERVICE, print_results, run, show_progress


# region: job
def job(users: list[str]) -> None:
    """Any number of users, up to 100,000."""
    key = os.environ.get("IDEMPOTENCY_KEY") or str(uuid4())
    submitted = SERVICE.submit(users, key=key, limit=LIMIT, explain=False)
    print(f"job {submitted['job_id']}, submitted as {key}", file=sys.stderr)
    print_results(SERVICE.follow(submitted["job_id"], progress=show_progress))


# end
run(job, __doc__)
