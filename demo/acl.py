"""The service's users on the demo's Valkey, with the rights of docs/messages/service.acl and no more."""

import hashlib
import re
from collections.abc import Mapping

from demo.process import PROJECT

FILE = PROJECT / "docs" / "messages" / "service.acl"
USERS = ("administrator", "gateway", "worker")


def users(passwords: Mapping[str, str]) -> str:
    """What `--aclfile` reads: each user with its password's digest in place of the one that is to be chosen."""
    digests = {name: hashlib.sha256(passwords[name].encode()).hexdigest() for name in USERS}
    text = FILE.read_text(encoding="utf-8")
    return re.sub(r"^(user (\w+) on) >\S+", lambda found: f"{found[1]} #{digests[found[2]]}", text, flags=re.MULTILINE)
