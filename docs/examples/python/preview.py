"""Prints what somebody who signs up would get.

usage: python preview.py GENRE[,GENRE...] [MEDIA_ID...]

GENRE             what they prefer
MEDIA_ID          what they like
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles (10)
"""

from console import LIMIT, SERVICE, run, scored


# region: preview
def preview(words: list[str]) -> None:
    """What to show to somebody who has just said what they like; nothing is stored of it."""
    page = SERVICE.preview(genres=words[0].split(","), liked=[*words[1:]], limit=LIMIT)
    for title in page["recommendations"]:
        print(f"{scored(title)}  ({title['reason']['text']})")


# end
run(preview, __doc__)
