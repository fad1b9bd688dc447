"""Prints more like a title.

usage: python similar.py MEDIA_ID

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
"""

from console import LIMIT, SERVICE, run, scored


# region: similar
def similar(words: list[str]) -> None:
    """What to show beside a title."""
    page = SERVICE.similar(words[0], limit=LIMIT, explain=False)
    for title in page["recommendations"]:
        print(scored(title))


# end
run(similar, __doc__)
