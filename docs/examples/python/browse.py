"""Prints all of one user's titles, page by page: what an endless scroll does.

usage: python browse.py USER_ID

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles of a page (10)
"""

from client import each_title
from console import LIMIT, SERVICE, run, scored


# region: browse
def browse(words: list[str]) -> None:
    """A whole list, no title twice, though the user may like and watch meanwhile."""
    for title in each_title(lambda cursor: SERVICE.recommend(words[0], cursor=cursor, limit=LIMIT, explain=False)):
        print(scored(title))


# end
run(browse, __doc__)
