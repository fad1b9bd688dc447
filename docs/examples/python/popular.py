"""Prints what is popular lately.

usage: python popular.py GENRE...

GENRE             any of these
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
"""

from console import LIMIT, SERVICE, run, scored


# region: popular
def popular(words: list[str]) -> None:
    """What to show to everybody: a like or a watch of 90 days ago counts half."""
    page = SERVICE.popular(half_life_days=90, genres_any=words, limit=LIMIT, explain=False)
    for title in page["recommendations"]:
        print(scored(title))


# end
run(popular, __doc__)
