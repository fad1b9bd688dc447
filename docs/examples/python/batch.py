"""Prints the titles of a few users, answered at once.

usage: python batch.py USER_ID...

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
"""

from console import LIMIT, SERVICE, run, scored


# region: batch
def batch(users: list[str]) -> None:
    """Up to 50 users in one request; more are a job."""
    for user_id, page in SERVICE.batch(users, limit=LIMIT, explain=False).items():
        print(f"{user_id}  {page['strategy']}")
        for title in page["recommendations"]:
            print(scored(title))


# end
run(batch, __doc__)
