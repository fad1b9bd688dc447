"""Prints the titles of a few users, answered at once.

usage: python batch.py USER_ID...

ML_SERVICE_URL  the service (http://127.0.0.1:8000)
LIMIT           titles per user (10)
"""

from client import LIMIT, Refused, call, run, scored


# region: batch
def batch(users: list[str]) -> None:
    """Up to 50 users in one request; for more the service answers with a job."""
    answer = call("POST", "/api/recommendations/batch", {"user_ids": users, "limit": LIMIT}).document
    if "results" not in answer:
        raise Refused(202, "too many users to answer at once; use job.py")
    for user_id, page in answer["results"].items():
        print(f"{user_id}  {page['strategy']}")
        for title in page["recommendations"]:
            print(scored(title))


# end
run(batch, __doc__)
