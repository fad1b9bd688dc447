"""The users of docs/messages/*.acl, for tests: read, set on a server, and with one right less."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis


def users(file: Path) -> dict[str, list[str]]:
    """Each user's rules, without its password."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        user, name, *rules = re.findall(r"\([^)]*\)|\S+", line)
        assert user == "user"
        found[name] = [rule for rule in rules if not rule.startswith(">")]
    return found


def set_user(admin: redis.Redis, name: str, password: str, rules: Sequence[str]) -> None:
    """Make a user, or make it anew."""
    admin.execute_command("ACL", "SETUSER", name, "reset", f">{password}", *rules)


def without_one(rules: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each command and key pattern that is granted, and the rules without it."""
    for place, rule in enumerate(rules):
        words = rule.strip("()").split()
        for word in words:
            if word.startswith(("+", "~", "%")):
                fewer = " ".join(other for other in words if other != word)
                yield word, [*rules[:place], *([f"({fewer})"] if rule.startswith("(") else []), *rules[place + 1 :]]


def allowed(client: redis.Redis, commands: Sequence[str]) -> list[str]:
    """Those of the commands that are NOT refused for want of a right."""
    found = []
    for command in commands:
        try:
            client.execute_command(*command.split())
            found.append(command)
        except redis.exceptions.NoPermissionError:
            pass
        except redis.RedisError as error:
            found.append(f"{command}: {error}")
    return found


def snapshot(admin: redis.Redis) -> dict[bytes, bytes]:
    """Everything in the database."""
    return {key: admin.dump(key) for key in admin.scan_iter()}
