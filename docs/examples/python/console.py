"""What the programs share: the service, their arguments, and how titles and jobs are printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from client import Recommendations
from documents import Job, Recommendation
from transport import Problem

SERVICE = Recommendations(
    os.environ.get("ML_SERVICE_URL", "http://127.0.0.1:8000"), os.environ.get("ML_SERVICE_TOKEN") or None
)
LIMIT = int(os.environ.get("LIMIT", "10"))  # titles per user, or of a page


class Failed(Exception):
    """The program ends with this sentence."""


def scored(recommendation: Recommendation) -> str:
    """A title with its score; the catalogue may have no name for it."""
    return f"{recommendation['score']:.4f}  {recommendation['title'] or '(no title)'}"


def show_progress(job: Job) -> None:
    """How far a job is."""
    print(f"{job['state']}: {job['done']} of {job['total']} users", file=sys.stderr)


def print_results(job: Job) -> None:
    """The best title of every user, and why the others have none. Raises Problem, and Failed when there are such."""
    if job["problem"]:
        print(f"{job['state']}: {job['problem']['detail']}", file=sys.stderr)
    for page in SERVICE.results(job):
        print(page["user_id"], *(scored(best) for best in page["recommendations"][:1]), sep="  ")
    for failure in SERVICE.failures(job["job_id"]) if job["failed"] else ():
        print(f"{failure['user_id']}: {failure['detail']}", file=sys.stderr)
    if job["failed"]:
        raise Failed(f"{job['failed']} of {job['total']} users failed")


def run(main: Callable[[list[str]], None], usage: str | None) -> None:
    """Call `main` with the words of the command line; `-` reads them from standard input, one to a line."""
    words = sys.argv[1:]
    if words == ["-"]:
        words = sys.stdin.read().split()
    if not words or words[0].startswith("-"):
        print(usage, file=sys.stderr)
        sys.exit(2)
    try:
        main(words)
    except (Failed, Problem) as error:
        unknown = isinstance(error, Problem) and error.status == 401
        sys.exit(f"error: {error}{'; set ML_SERVICE_TOKEN' if unknown else ''}")
