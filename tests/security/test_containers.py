"""Whoever takes over a container gets no further: read from the compose file as Docker's own tool renders it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.containers import DOCKERFILES, PROJECT, compose
from tests.engine import Engine
from tests.security.conftest import Told

WALL = "containers"

SERVICES: dict[str, Any] = json.loads(compose("config", "--format", "json").stdout)["services"]
NAMES = ["gateway", "postgres", "redis", "trainer", "worker"]
HOSTS_NAMESPACES = ("network_mode", "pid", "ipc", "userns_mode", "uts", "cgroup")

Service = dict[str, Any]


def user(service: Service) -> str:
    if "user" in service:
        return str(service["user"])
    text = (PROJECT / service["build"]["dockerfile"]).read_text(encoding="utf-8") if "build" in service else ""
    return (re.findall(r"^USER (\S+)$", text, re.MULTILINE) or ["root"])[-1]


def limits(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service["deploy"]["resources"]["limits"]
    return found


def become_root(service: Service) -> str | None:
    return f"runs as {user(service)}" if re.fullmatch(r"[1-9]\d*:[1-9]\d*", user(service)) else None


def get_capabilities(service: Service) -> str | None:
    bare = service.get("cap_drop") == ["ALL"] and not service.get("cap_add") and not service.get("privileged")
    return "has none" if bare else None


def use_a_setuid_program(service: Service) -> str | None:
    return "no new privileges" if "no-new-privileges:true" in service.get("security_opt", ()) else None


def change_the_program(service: Service) -> str | None:
    return "read-only file system" if service.get("read_only") else None


def run_what_it_wrote_to_memory(service: Service) -> str | None:
    held = all(
        {"noexec", "nosuid", "nodev"} <= set(mount.split(":")[1].split(",")) for mount in service.get("tmpfs", ())
    )
    return "noexec, nosuid, nodev" if held else None


def fill_the_memory_of_the_host(service: Service) -> str | None:
    held = int(limits(service).get("memory", 0)) > 0
    held = held and all("size=" in mount for mount in service.get("tmpfs", ()))
    return f"{int(limits(service)['memory']) >> 20} MB at most" if held else None


def start_processes_without_end(service: Service) -> str | None:
    pids = limits(service).get("pids", 0)
    return f"{pids} at most" if 0 < pids <= 1024 else None


def reach_the_host(service: Service) -> str | None:
    shared = [name for name in HOSTS_NAMESPACES if "host" in str(service.get(name, ""))]
    binds = [mount for mount in service.get("volumes", ()) if mount["type"] == "bind"]
    writable = [mount for mount in binds if not mount.get("read_only")]
    engines = [mount for mount in binds if mount["source"].endswith(".sock") or mount["source"] == "/"]
    if shared or writable or engines or service.get("devices"):
        return None
    return "no namespace, device or socket of it"


ATTACKS: list[Callable[[Service], str | None]] = [
    become_root, get_capabilities, use_a_setuid_program, change_the_program, run_what_it_wrote_to_memory,
    fill_the_memory_of_the_host, start_processes_without_end, reach_the_host,
]  # fmt: skip

WEAKER: list[tuple[Callable[[Service], str | None], Service]] = [
    (become_root, {"user": "0:0"}),
    (become_root, {"user": "root"}),
    (become_root, {"user": "999:0"}),
    (get_capabilities, {"cap_drop": []}),
    (get_capabilities, {"cap_add": ["SYS_PTRACE"]}),
    (get_capabilities, {"privileged": True}),
    (use_a_setuid_program, {"security_opt": ["no-new-privileges:false"]}),
    (change_the_program, {"read_only": False}),
    (run_what_it_wrote_to_memory, {"tmpfs": ["/tmp:size=1m,nosuid,nodev"]}),
    (fill_the_memory_of_the_host, {"tmpfs": ["/tmp:noexec,nosuid,nodev"]}),
    (fill_the_memory_of_the_host, {"deploy": {"resources": {"limits": {}}}}),
    (start_processes_without_end, {"deploy": {"resources": {"limits": {"memory": "1"}}}}),
    (reach_the_host, {"pid": "host"}),
    (reach_the_host, {"network_mode": "host"}),
    (reach_the_host, {"devices": [{"source": "/dev/sda"}]}),
    (reach_the_host, {"volumes": [{"type": "bind", "source": "/etc", "target": "/etc"}]}),
    (
        reach_the_host,
        {"volumes": [{"type": "bind", "source": "/run/docker.sock", "target": "/s", "read_only": True}]},
    ),
]


@pytest.mark.parametrize("tried", ATTACKS, ids=lambda tried: tried.__name__)
def test_a_container_that_was_taken_over_gets_no_further(tried: Callable[[Service], str | None], attack: Told) -> None:
    answers = {name: tried(SERVICES[name]) for name in SERVICES}
    assert [name for name, answer in answers.items() if answer is None] == []
    for answer in sorted(set(answers.values()), key=str):
        names = ", ".join(name for name in answers if answers[name] == answer)
        attack(f"{tried.__name__.replace('_', ' ')}, in {names}", answer)


def test_all_services_are_looked_at() -> None:
    assert sorted(SERVICES) == NAMES


@pytest.mark.parametrize(("tried", "weaker"), WEAKER)
def test_a_weaker_container_would_be_found(tried: Callable[[Service], str | None], weaker: Service) -> None:
    assert tried({**deepcopy(SERVICES["postgres"]), **weaker}) is None


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_no_secret_or_history_that_lies_in_the_folder_reaches_an_image(
    dockerfile: Path, tmp_path: Path, attack: Told
) -> None:
    for name in (
        "docker-compose.yml",
        ".dockerignore",
        "requirements.lock",
        ".env.example",
        *(f.name for f in DOCKERFILES),
    ):
        shutil.copy(PROJECT / name, tmp_path / name)
    for folder in ("gateway", "shared", "worker"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    shutil.copy(PROJECT / ".env.example", tmp_path / ".env")
    planted = [".git/config", ".demo/password", "tests/conftest.py", "server.key", "sbom.json", "gateway/.env",
               "gateway/.env.production", "shared/tls/server.key", "shared/tls/server.pem", "worker/production.env",
               "worker/.netrc"]  # fmt: skip
    for place in planted:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("secret", encoding="utf-8")
    service = {"Dockerfile.gateway": "gateway", "Dockerfile.worker": "worker"}[dockerfile.name]
    with Engine() as engine:
        subprocess.run(
            [Path(sys.executable).parent / "docker-compose", "build", service],
            cwd=tmp_path, check=False, capture_output=True, timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "DOCKER_HOST": engine.address,
                 "DOCKER_BUILDKIT": "0"},
        )  # fmt: skip
    assert f"{service}/__init__.py" in engine.sent
    assert [name for name, content in engine.sent.items() if content == b"secret"] == []
    at_the_top = {name.partition("/")[0] for name in engine.sent}
    assert at_the_top <= {"gateway", "shared", "worker", "requirements.lock", ".dockerignore", dockerfile.name}
    attack(
        f"plant {len(planted)} secrets in the folder that the {service}'s image is built of",
        "none was sent to the engine",
    )
