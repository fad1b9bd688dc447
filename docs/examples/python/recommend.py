"""Prints one user's titles with their scores.

usage: python recommend.py USER_ID

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
"""

from console import LIMIT, SERVICE, run, scored


# region: recommend
def recommend(words: list[str]) -> None:
    """One user's best titles."""
    page = SERVICE.recommend(words[0], limit=LIMIT)
    print(f"{page['user_id']}  {page['strategy']}")
    for title in page["recommendations"]:
        print(scored(title))


# end
run(recommend, __doc__)
