"""What browsers are told of answers: to take them for what they say they are, and to keep pages to themselves."""

from __future__ import annotations

from typing import Final

from flask import Flask, Response

# Nothing from elsewhere and no script within the page, whatever its files try.
_PAGES: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def register(app: Flask) -> None:
    """Let every answer of `app` have them."""
    app.after_request(_tell)


def _tell(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "text/html":
        response.headers.update(_PAGES)
    return response
