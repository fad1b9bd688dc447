"""Callbacks to real receivers: signed, to the address that was checked, and over within their bound."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
import standardwebhooks
import trustme

from shared import __version__
from shared.callbacks import CallbackPolicy
from tests.receiver import (
    SECRET,
    Answer,
    Receiver,
    continue_for_ever,
    endless_headers,
    hang,
    hang_up,
    huge,
    raw,
    status,
    trickle,
)
from worker.announcing.webhook import CallbackFailed, CallbackRefused, Webhook

NAME = "hooks.example.com"
LOOPBACK = "127.0.0.0/8"
BODY = json.dumps({"type": "job.completed", "data": {"job_id": "1", "title": "Amélie"}}, ensure_ascii=False).encode()
PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"]


def webhook(
    *hosts: str,
    networks: str = LOOPBACK,
    seconds: float = 5.0,
    addresses: Sequence[str] = ("127.0.0.1",),
    resolve: Callable[[str], Sequence[str]] | None = None,
    secrets: Sequence[str] = (SECRET,),
) -> Webhook:
    """Calls these hosts; every name stands for `addresses`, unless something else resolves it."""
    policy = CallbackPolicy(frozenset(hosts), tuple(map(ip_network, filter(None, [networks]))))
    return Webhook(policy, secrets, seconds=seconds, resolve=resolve or (lambda _: addresses))


def send(caller: Webhook, url: str, message_id: str = "1") -> None:
    caller.send(url, message_id, BODY, datetime.now(UTC))


def call(receiver: Receiver, *, seconds: float = 5.0) -> None:
    """One call to the receiver, over HTTP."""
    send(webhook(f"{NAME}:{receiver.port}", seconds=seconds), f"http://{NAME}:{receiver.port}/done")


def test_a_receiver_can_verify_what_it_gets() -> None:
    with Receiver() as receiver:
        caller = webhook(f"{NAME}:{receiver.port}")
        send(caller, f"http://{NAME}:{receiver.port}/done?for=a%20b#here", message_id="job-1")
    [received] = receiver.calls
    assert received.verified(SECRET) == json.loads(BODY)
    assert received.path == "/done?for=a%20b"
    assert received.headers["webhook-id"] == "job-1"
    assert received.headers["Host"] == f"{NAME}:{receiver.port}"
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["User-Agent"] == f"ml-service/{__version__}"


def test_while_the_secret_is_being_changed_either_verifies_it() -> None:
    secrets = [SECRET, "whsec_" + b64encode(bytes(32)).decode()]
    with Receiver() as receiver:
        send(webhook(f"{NAME}:{receiver.port}", secrets=secrets), f"http://{NAME}:{receiver.port}/done")
    assert [receiver.calls[0].verified(secret) for secret in secrets] == [json.loads(BODY)] * 2


def test_another_secret_does_not_verify_it() -> None:
    with Receiver() as receiver:
        call(receiver)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        receiver.calls[0].verified("whsec_" + b64encode(bytes(32)).decode())


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(code: int) -> None:
    with Receiver(status(code)) as receiver:
        call(receiver)


@pytest.mark.parametrize("code", [300, 304, 400, 401, 404, 405, 422, 429, 500, 502, 503, 599])
def test_every_other_status_is_a_failure_that_names_it(code: int) -> None:
    with Receiver(status(code)) as receiver, pytest.raises(CallbackFailed, match=f"it answered {code}") as failure:
        call(receiver)
    assert not isinstance(failure.value, CallbackRefused)
    assert len(receiver.calls) == 1


def test_410_means_never_again() -> None:
    with Receiver(status(410)) as receiver, pytest.raises(CallbackRefused, match="it answered 410"):
        call(receiver)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(code: int) -> None:
    with Receiver() as inside:
        elsewhere = f"http://127.0.0.1:{inside.port}/admin"
        with Receiver(status(code, Location=elsewhere)) as receiver, pytest.raises(CallbackFailed, match=str(code)):
            call(receiver)
    assert inside.calls == []


@pytest.mark.parametrize(
    ("code", "header", "low", "high"),
    [
        pytest.param(429, "17", 17, 17, id="seconds"),
        pytest.param(503, "86400", 3600, 3600, id="a-day-is-cut-to-an-hour"),
        pytest.param(503, "9" * 400, 3600, 3600, id="for-ever"),
        pytest.param(503, "Wed, 21 Oct 2015 07:28:00 GMT", 0, 0, id="a-date-that-is-past"),
        pytest.param(503, "-17", 0, 0, id="negative"),
        pytest.param(503, "soon", 0, 0, id="words"),
        pytest.param(503, "Wed, 21 Oct 99999 07:28:00 GMT", 0, 0, id="a-year-out-of-range"),
        pytest.param(404, "17", 0, 0, id="where-it-has-no-meaning"),
    ],
)
def test_retry_after_is_told(code: int, header: str, low: float, high: float) -> None:
    with Receiver(status(code, Retry_After=header)) as receiver, pytest.raises(CallbackFailed) as failure:
        call(receiver)
    assert low <= failure.value.retry_after <= high


def test_retry_after_may_be_a_date() -> None:
    header = format_datetime(datetime.fromtimestamp(time.time() + 90, UTC), usegmt=True)
    with Receiver(status(503, Retry_After=header)) as receiver, pytest.raises(CallbackFailed) as failure:
        call(receiver)
    assert 60 <= failure.value.retry_after <= 90


NEVER_ENDING = [hang, trickle, continue_for_ever]


@pytest.mark.parametrize("answer", NEVER_ENDING, ids=lambda answer: answer.__name__)
def test_a_receiver_that_comes_to_no_end_is_left_when_the_time_is_over(answer: Answer) -> None:
    with Receiver(answer) as receiver:
        begun = time.monotonic()
        with pytest.raises(CallbackFailed, match=r"it took longer than 0\.5 s"):
            call(receiver, seconds=0.5)
        assert 0.4 < time.monotonic() - begun < 3


def test_a_receiver_that_takes_the_connection_and_no_more_is_left_when_the_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(CallbackFailed, match=r"it took longer than 0\.5 s"):  # in the handshake
            send(webhook(f"{NAME}:{port}", seconds=0.5), f"https://{NAME}:{port}/")
        assert time.monotonic() - begun < 3


def test_a_resolver_that_hangs_is_left_when_the_time_is_over() -> None:
    release = threading.Event()

    def hangs(_: str) -> list[str]:
        release.wait()
        return []

    begun = time.monotonic()
    try:
        with pytest.raises(CallbackFailed, match=r"it took longer than 0\.3 s"):
            send(webhook(NAME, seconds=0.3, resolve=hangs), f"http://{NAME}/")
        assert time.monotonic() - begun < 3
    finally:
        release.set()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param(hang_up, "Remote end closed connection", id="hangs-up"),
        pytest.param(endless_headers, "the answer is no HTTP", id="headers-without-end"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "the answer is no HTTP: BadStatusLine", id="another-protocol"),
        pytest.param(raw(b"HTTP/1.1 999 Odd\r\n\r\n"), "it answered 999", id="an-odd-status"),
        pytest.param(raw(b"HTTP/1.1 99 Odd\r\n\r\n"), "the answer is no HTTP", id="no-status"),
        pytest.param(raw(b"\x00" * 100_000), "the answer is no HTTP: LineTooLong", id="a-line-without-end"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(answer: Answer, problem: str) -> None:
    with Receiver(answer) as receiver, pytest.raises(CallbackFailed, match=problem):
        call(receiver)


def test_the_body_of_an_answer_is_not_waited_for() -> None:
    with Receiver(huge) as receiver:
        begun = time.monotonic()
        call(receiver)
        assert time.monotonic() - begun < 3


def test_a_port_that_nobody_listens_on_is_a_failure() -> None:
    with Receiver() as receiver:
        pass
    with pytest.raises(CallbackFailed, match="Connection refused"):
        call(receiver)


def test_a_name_that_does_not_exist_is_a_failure() -> None:
    policy = CallbackPolicy(frozenset({"nowhere.invalid"}), ())
    with pytest.raises(CallbackFailed):
        Webhook(policy, [SECRET], seconds=5).send("https://nowhere.invalid/", "1", BODY, datetime.now(UTC))


def test_localhost_is_what_the_system_says_and_private() -> None:
    with Receiver() as receiver:
        policy = CallbackPolicy(frozenset({f"localhost:{receiver.port}"}), ())
        with pytest.raises(CallbackFailed, match="no address of localhost may be called"):
            send(Webhook(policy, [SECRET], seconds=5), f"https://localhost:{receiver.port}/")
    assert receiver.calls == []


class TestWhichAddressIsCalled:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_a_name_that_stands_for_a_private_address_is_not_called(self, address: str) -> None:
        with Receiver() as receiver:
            caller = webhook(f"{NAME}:{receiver.port}", networks="", addresses=[address])
            with pytest.raises(CallbackFailed, match=f"no address of {NAME} may be called with https: {address}"):
                send(caller, f"https://{NAME}:{receiver.port}/")
        assert receiver.calls == []

    def test_the_first_permitted_address_is_called(self) -> None:
        with Receiver() as receiver:
            caller = webhook(f"{NAME}:{receiver.port}", addresses=["::1", "10.0.0.1", "127.0.0.1", "127.0.0.9"])
            send(caller, f"http://{NAME}:{receiver.port}/")
        assert len(receiver.calls) == 1

    def test_a_name_is_looked_up_once_so_that_another_answer_later_changes_nothing(self) -> None:
        asked = []

        def rebinds(host: str) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

        with Receiver() as receiver:  # listens on 127.0.0.1 alone
            send(webhook(f"{NAME}:{receiver.port}", resolve=rebinds), f"http://{NAME}:{receiver.port}/")
        assert asked == [NAME]
        assert len(receiver.calls) == 1

    def test_a_name_that_turned_private_is_refused_at_the_next_call(self) -> None:
        answers = iter([["127.0.0.1"], ["10.0.0.1"]])
        with Receiver() as receiver:
            caller = webhook(f"{NAME}:{receiver.port}", resolve=lambda _: next(answers))
            send(caller, f"http://{NAME}:{receiver.port}/")
            with pytest.raises(CallbackFailed, match=r"10\.0\.0\.1"):
                send(caller, f"http://{NAME}:{receiver.port}/")
        assert len(receiver.calls) == 1

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example.com/",
            f"https://{NAME}:6379/",
            f"https://user:password@{NAME}/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://[::ffff:127.0.0.1]/",
            "gopher://127.0.0.1/",
        ],
    )
    def test_a_host_that_is_not_listed_any_more_is_never_called(self, url: str) -> None:
        asked: list[str] = []
        with pytest.raises(CallbackRefused):
            send(webhook(NAME, resolve=lambda host: asked.append(host) or ["127.0.0.1"]), url)
        assert asked == []

    def test_proxies_of_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Receiver() as proxy, Receiver() as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            call(receiver)
        assert (len(proxy.calls), len(receiver.calls)) == (0, 1)


class TestTLS:
    @pytest.fixture
    def authority(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
        """A certificate authority that the machine trusts."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        return authority

    @pytest.fixture
    def names(self) -> list[str]:
        """The server names that callers ask for in the handshake."""
        return []

    @pytest.fixture
    def receiver(self, authority: trustme.CA, names: list[str]) -> Iterator[Receiver]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME).configure_cert(context)
        context.sni_callback = lambda _socket, name, _context: names.append(name)
        with Receiver(tls=context) as receiver:
            yield receiver

    def test_a_receiver_is_called_under_its_name(self, receiver: Receiver, names: list[str]) -> None:
        send(webhook(f"{NAME}:{receiver.port}"), f"https://{NAME.upper()}.:{receiver.port}/done")
        [received] = receiver.calls
        assert received.verified(SECRET)
        assert names == [NAME]
        assert received.headers["Host"] == f"{NAME}:{receiver.port}"

    def test_a_certificate_of_another_name_is_refused(self, receiver: Receiver) -> None:
        with pytest.raises(CallbackFailed, match=r"CERTIFICATE_VERIFY_FAILED.*other\.example\.com"):
            send(webhook(f"other.example.com:{receiver.port}"), f"https://other.example.com:{receiver.port}/")
        assert receiver.calls == []

    def test_a_certificate_of_an_authority_nobody_knows_is_refused(
        self, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "another.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "another.pem"))
        with pytest.raises(CallbackFailed, match="CERTIFICATE_VERIFY_FAILED"):
            send(webhook(f"{NAME}:{receiver.port}"), f"https://{NAME}:{receiver.port}/")
        assert receiver.calls == []

    def test_plain_http_on_the_port_of_tls_is_a_failure(self, receiver: Receiver) -> None:
        with pytest.raises(CallbackFailed):
            call(receiver)
        assert receiver.calls == []

    def test_a_receiver_that_trickles_through_tls_is_left_when_the_time_is_over(self, authority: trustme.CA) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME).configure_cert(context)
        with Receiver(trickle, tls=context) as receiver:
            begun = time.monotonic()
            with pytest.raises(CallbackFailed, match=r"it took longer than 0\.5 s"):
                send(webhook(f"{NAME}:{receiver.port}", seconds=0.5), f"https://{NAME}:{receiver.port}/")
            assert time.monotonic() - begun < 3


def test_nothing_of_a_call_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(status(500)) as receiver:
        caller = webhook(f"{NAME}:{receiver.port}")
        with pytest.raises(CallbackFailed) as failure:
            send(caller, f"http://{NAME}:{receiver.port}/token-in-path?token=hunter2")
    told = caplog.text + str(failure.value) + repr(caller)
    assert not [word for word in ("hunter2", "token-in-path", SECRET) if word in told]


def test_no_thread_and_no_connection_is_left_behind() -> None:
    with Receiver(trickle, hang_up, status(204)) as receiver:
        before = {thread.name for thread in threading.enumerate()}
        for seconds in (0.2, 5, 5):
            try:
                call(receiver, seconds=seconds)
            except CallbackFailed:
                continue
        after = {thread.name for thread in threading.enumerate() if "process_request" not in thread.name}
    assert after <= before
