"""Tells whether a callback is the service's own: it prints what happened to which job, or ends with status 1.

usage: python verify.py WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < BODY

CALLBACK_SECRET  the secret that the service signs with: whsec_...
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping


# region: verify
def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether this request, at most five minutes old, was signed with the secret. body: the bytes as they came."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(signed).decode()
    signatures = headers.get("webhook-signature", "").split()  # several while the secret is being changed
    return any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures)


# end
if len(sys.argv) != 4:
    print(__doc__, file=sys.stderr)
    sys.exit(2)
names = ("webhook-id", "webhook-timestamp", "webhook-signature")
received = sys.stdin.buffer.read()
if not verify(os.environ["CALLBACK_SECRET"], dict(zip(names, sys.argv[1:], strict=True)), received):
    sys.exit("error: not signed by the service, or too old")
announcement = json.loads(received)
print(announcement["type"], announcement["data"]["job_id"])
