"""Prints one user's titles with their scores.

usage: python recommend.py USER_ID

ML_SERVICE_URL  the service (http://127.0.0.1:8000)
LIMIT           titles (10)
"""

from urllib.parse import quote

from client import LIMIT, call, run, scored


# region: recommend
def recommend(users: list[str]) -> None:
    """One user's best titles."""
    page = call("GET", f"/api/recommendations/{quote(users[0], safe='')}?limit={LIMIT}").document
    print(f"{page['user_id']}  {page['strategy']}")
    for title in page["recommendations"]:
        print(scored(title))


# end
run(recommend, __doc__)
