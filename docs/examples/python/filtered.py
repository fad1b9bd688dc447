"""Prints one user's titles of some genres, each with why it is recommended.

usage: python filtered.py USER_ID GENRE...

ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
"""

from console import LIMIT, SERVICE, run, scored


# region: filtered
def filtered(words: list[str]) -> None:
    """One user's best titles that have any of these genres, and what of the history each is owed to."""
    page = SERVICE.recommend(words[0], genres_any=words[1:], limit=LIMIT)
    for title in page["recommendations"]:
        print(scored(title))
        print(f"        {title['reason']['text']}")
        for cause in title["reason"]["history"]:
            print(f"        {cause['share']:.4f}  {cause['title'] or '(no title)'}")


# end
run(filtered, __doc__)
