"""What nobody sends who means well. Whatever it is: never a 500, never a word of what is inside, never a hang."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.answers import INTERNALS
from tests.conftest import Service
from tests.raw_http import RawAnswer, exchange, request

POPULAR = "/api/titles/popular"
BATCH = "/api/recommendations/batch"
PREVIEW = "/api/recommendations/preview"
SOMEBODY = f"/api/recommendations/{uuid4()}"
IDS = [str(uuid4()) for _ in range(501)]
TEN_MEGABYTES = 10_000_000
LEAKS = (*INTERNALS, "root:", "site-packages", "gunicorn/")
DRIP = 0.3  # s between two bytes of a client that never pauses for CLIENT_SECONDS (1 here)


@pytest.fixture(autouse=True)
def unharmed(service: Service) -> Iterator[None]:
    """Whatever was sent: the service answers others as before, and has met nothing that it did not expect."""
    log = service.gateway.log
    before = len(log.read_text())
    [titles] = service.platform.sql("catalog_db", "SELECT count(*) FROM medias")
    yield
    assert service.client.get("/health/live").body == {"status": "alive"}
    assert "Traceback" not in log.read_text()[before:]
    assert [titles] == service.platform.sql("catalog_db", "SELECT count(*) FROM medias")


def harmless(answer: RawAnswer, *statuses: int) -> None:
    assert answer.status in statuses, (answer.status, answer.text[:500])
    assert not [word for word in LEAKS if word in answer.text], answer.text
    assert "gunicorn/" not in answer.headers.get("server", "")
    assert not {"set-cookie", "x-injected"} & answer.headers.keys()
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = json.loads(answer.text)
        assert (problem["status"], bool(problem["detail"])) == (answer.status, True)
        assert answer.headers["x-request-id"]


QUERIES = {  # name: the query, and the status
    "a limit of 5,000 digits": ("limit=" + "9" * 5000, 400),
    "a limit beyond 64 bits": (f"limit={2**64}", 400),
    "a limit in another script's digits": ("limit=" + "%EF%BC%91%D9%A0", 400),
    "a limit with an underscore": ("limit=1_0", 400),
    "a limit in hexadecimal": ("limit=0x10", 400),
    "a share that is not a number": ("diversity=NaN", 400),
    "a share without end": ("diversity=Infinity", 400),
    "a share beyond all floats": ("diversity=1e999", 400),
    "a share below all floats": ("diversity=1e-999", 200),
    "a share of minus nothing": ("diversity=-0.0", 200),
    "a year beyond 64 bits": (f"year_from={10**18}&year_to={10**18}", 400),
    "a seed beyond 32 bits": (f"seed={2**31}&explore=1", 400),
    "a NUL": ("genres_any=Come%00dy", 400),
    "a line's end": ("genres_any=a%0D%0ASet-Cookie:%20x=1", 400),
    "half a surrogate pair": ("genres_any=%ED%A0%80", 200),
    "bytes that are no UTF-8": ("genres_any=%FF%FE", 200),
    "a percent sign and nothing": ("genres_any=%", 200),
    "a percent sign and no digits": ("genres_any=%zz", 200),
    "SQL in a name": ("genres_any=" + quote("'; DROP TABLE medias; --"), 200),
    "SQL in an id": ("exclude=" + quote("1' OR '1'='1"), 400),
    "SQL in a number": ("limit=" + quote("1; DELETE FROM medias"), 400),
    "wildcards": ("genres_any=%25_%25,*,?", 200),
    "a template": ("genres_any=" + quote("{{7*7}}${jndi:ldap://x}"), 200),
    "a script": ("genres_any=" + quote("<script>alert(1)</script>"), 200),
    "a path for a cursor": ("cursor=" + quote("../../../etc/passwd", safe=""), 400),
    "a cursor of chance": ("cursor=" + "A" * 27, 410),
    "an attribute for a field": ("fields=__class__", 400),
    "a parameter that is an object": ("limit[$gt]=1", 400),
    "a parameter without a name": ("=1", 400),
    "nothing but separators": ("&&&;;;===", 400),
    "1,000 parameters": ("&".join(f"a{i}=" for i in range(1000)), 400),
    "10,000 parameters": ("&".join(f"a{i}=" for i in range(10_000)), 414),
    "1,000 names": ("genres_any=" + "a," * 1000, 400),
    "a name of 7,000 characters": ("genres_any=" + "a" * 7000, 400),
    "200 ids to exclude": ("exclude=" + ",".join(IDS[:200]), 200),
    "500 ids to exclude": ("exclude=" + ",".join(IDS[:500]), 414),
    "a line of a megabyte": ("genres_any=" + "a" * 1_000_000, 414),
}


@pytest.mark.parametrize(("query", "status"), QUERIES.values(), ids=QUERIES)
def test_a_query(service: Service, query: str, status: int) -> None:
    harmless(exchange(service.url, request(target=f"{POPULAR}?{query}")), status)


PATHS = {
    "upwards": ("/../../../../etc/passwd", 404),
    "upwards, encoded": ("/%2e%2e/%2e%2e/etc/passwd", 404),
    "upwards, encoded twice": ("/docs/%252e%252e/%252e%252e/etc/passwd", 404),
    "upwards from the page's files": ("/docs/../../README.md", 404),
    "upwards from the page's files, encoded": ("/docs/..%2f..%2f..%2fetc%2fpasswd", 404),
    "upwards with backslashes": ("/docs/..\\..\\..\\etc\\passwd", 404),
    "a file of the system": ("/docs//etc/passwd", 404),
    "upwards from problems": ("/problems/..%2f..%2fhealth", 404),
    "another host": ("//evil.example/%2e%2e", 404),
    "another host in full": ("http://evil.example/", 404),
    "a NUL": ("/api/recommendations/%00", 400),
    "a line's end": ("/api/recommendations/x%0D%0AX-Injected:%20y", 400),
    "bytes that are no UTF-8": ("/api/jobs/%FF%FE", 400),
    "SQL": (f"/api/jobs/{quote(chr(39))}%20OR%201=1--", 400),
    "half an id": ("/api/titles/9afca315/similar", 400),
    "4,000 segments": ("/a" * 4000, 404),
    "another scheme": ("file:///etc/passwd", 404),
    "an asterisk": ("*", 400),
}


@pytest.mark.parametrize(("path", "status"), PATHS.values(), ids=PATHS)
def test_a_path(service: Service, path: str, status: int) -> None:
    harmless(exchange(service.url, request(target=path)), status)


HEADERS: dict[str, tuple[str | bytes, int]] = {
    "a name for the request with a line's end": ("X-Request-Id: a%0d%0aX-Injected: y", 200),
    "a name for the request that is markup": ("X-Request-Id: <script>", 200),
    "a name for the request without end": ("X-Request-Id: " + "a" * 8000, 200),
    "a header of 10,000 bytes": ("X: " + "a" * 10_000, 431),
    "a header without a colon": ("nonsense", 400),
    "a header with a blank before the colon": ("Accept : */*", 400),
    "a header without a name": (": y", 400),
    "a header on two lines": ("Accept: */*\r\n y", 400),
    "a NUL": (b"X: a\0b", 400),
    "a bare line's end": (b"X: a\nX-Injected: y", 400),
    "a bare carriage return": (b"X: a\rX-Injected: y", 400),
    "bytes that are no UTF-8": (b"X-Request-Id: \xff\xfe", 200),
    "101 headers": ("\r\n".join(f"X-{i}: y" for i in range(101)), 431),
    "an ETag of nothing but quotes": ('If-None-Match: """"""', 200),
    "10,000 ETags": ("If-None-Match: " + ",".join(['"a"'] * 2000), 200),
    "preferences without end": ("Prefer: " + ",;=" * 2000, 200),
    "weights that are no numbers": ("Accept: application/json;q=nan, */*;q=1e999", 200),
    "packings with weights that are no numbers": ("Accept-Encoding: gzip;q=nan, *;q=-1", 200),
    "a range beyond all bytes": ("Range: bytes=0-99999999999999999999", 200),
    "a date beyond all dates": ("If-Modified-Since: Mon, 99 Foo 99999 99:99:99 GMT", 200),
    "an expectation nobody knows": ("Expect: the-unexpected", 417),
    "another protocol": ("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA", 200),
    "a forged address": ("X-Forwarded-For: ' OR 1=1 --, ::1", 200),
    "a credential that is none": ("Authorization: Basic \x7f", 400),
    "two lengths": ("Content-Length: 0\r\nContent-Length: 5", 400),
    "a length and pieces": ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
    "a length below nothing": ("Content-Length: -1", 400),
    "a length with a sign": ("Content-Length: +1", 400),
    "a length of 5,000 digits": ("Content-Length: " + "9" * 5000, 400),
    "pieces of an unknown kind": ("Transfer-Encoding: zebra", 501),
    "pieces in pieces": ("Transfer-Encoding: chunked, chunked", 400),
}


@pytest.mark.parametrize(("line", "status"), HEADERS.values(), ids=HEADERS)
def test_a_header(service: Service, line: str | bytes, status: int) -> None:
    harmless(exchange(service.url, request(target=POPULAR, headers=[line])), status)


BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b" ", 400),
    "10 MB of blanks": (b" " * TEN_MEGABYTES, 413),
    "10 MB of one name": (b'{"genres_any": ["' + b"a" * TEN_MEGABYTES + b'"]}', 413),
    "as many blanks as may be": (b"{" + b" " * 7_999_998 + b"}", 200),
    "a name as long as may be": (b'{"genres_any": ["' + b"a" * 7_900_000 + b'"]}', 400),
    "200,000 fields": (json.dumps({f"a{i}": 1 for i in range(200_000)}).encode(), 400),
    "200,000 fields, and the last of them twice": (
        json.dumps({f"a{i}": 1 for i in range(200_000)}).encode()[:-1] + b', "a199999": 2}',
        400,
    ),
    "a million names": (json.dumps({"genres_any": ["a"] * 1_000_000}).encode(), 400),
    "a million brackets": (b"[" * 1_000_000, 400),
    "1,000 objects in one another": (b'{"genres_any":' * 1000 + b"1" + b"}" * 1000, 400),
    "lists in one another, where names go": (b'{"genres_any":' + b"[" * 900 + b"]" * 900 + b"}", 400),
    "a field twice": (b'{"limit": 1, "limit": 2}', 400),
    "a number of 5,000 digits": (b'{"limit": ' + b"9" * 5000 + b"}", 400),
    "a number beyond all floats": (b'{"diversity": 1e999}', 400),
    "a number beyond 64 bits": (b'{"year_from": 99999999999999999999}', 400),
    "a whole number as a float beyond 64 bits": (b'{"limit": 1e300}', 400),
    "what is not a number": (b'{"diversity": NaN}', 400),
    "what has no end": (b'{"diversity": -Infinity}', 400),
    "half a surrogate pair": (b'{"genres_any": ["\\ud800"]}', 400),
    "half a surrogate pair in a field's name": (b'{"\\udfff": 1}', 400),
    "bytes that are no UTF-8": (b'{"genres_any": ["\xff"]}', 400),
    "half a surrogate pair in UTF-8": (b'{"genres_any": ["\xed\xa0\x80"]}', 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "UTF-16": ('{"limit": 1}'.encode("utf-16"), 400),
    "a NUL": (b'{"genres_any": ["a\\u0000b"]}', 400),
    "a NUL in a field's name": (b'{"a\\u0000": 1}', 400),
    "SQL": (b'{"genres_any": ["\'; DROP TABLE medias; --"]}', 200),
    "SQL for an id": (b'{"exclude": ["\' OR 1=1 --"]}', 400),
    "an operator for a value": (b'{"limit": {"$gt": 0}}', 400),
    "a prototype": (b'{"__proto__": {"limit": 100}}', 400),
    "a marked value": (b'{"limit": {"__type__": "uuid", "__value__": {"hex": "0"}}}', 400),
    "a pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins.", 400),
    "XML with an entity": (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', 400),
    "packed": (gzip.compress(b"{}"), 400),
    "501 ids to exclude": (json.dumps({"exclude": IDS}).encode(), 400),
    "500 ids to exclude": (json.dumps({"exclude": IDS[:500]}).encode(), 200),
    "an id to exclude that is no text": (b'{"exclude": [{"a": 1}, null, 7, true]}', 400),
    "comments": (b'{"limit": 1 /* one */}', 400),
    "two documents": (b"{}{}", 400),
}


@pytest.mark.parametrize("address", [POPULAR, PREVIEW])
@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_a_body(service: Service, address: str, body: bytes, status: int) -> None:
    answer = exchange(service.url, request("POST", address, body=body))
    if status == 413 and answer.status == 0:
        return  # refused before all of it was sent: who goes on sending may miss the answer
    harmless(answer, status)


IN_PIECES = {
    "no size": (b"zz\r\n{}\r\n0\r\n\r\n", 400),
    "a size below nothing": (b"-2\r\n{}\r\n0\r\n\r\n", 400),
    "a size with an underscore": (b"0_2\r\n{}\r\n0\r\n\r\n", 400),
    "a size of 5,000 digits": (b"f" * 5000 + b"\r\n{}\r\n0\r\n\r\n", 408),
    "less than it says": (b"2\r\n{}", 408),
    "more than it says": (b"1\r\n{}\r\n0\r\n\r\n", 400),
    "an end that is none": (b"2\r\n{}\r\n0\r\n", 408),
    "a header behind it that is none": (b"2\r\n{}\r\n0\r\nnonsense\r\n\r\n", 400),
    "10 MB": (b"%x\r\n" % TEN_MEGABYTES + b" " * TEN_MEGABYTES + b"\r\n0\r\n\r\n", 413),
}


@pytest.mark.parametrize(("body", "status"), IN_PIECES.values(), ids=IN_PIECES)
def test_a_body_in_pieces(service: Service, body: bytes, status: int) -> None:
    headers = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    answer = exchange(service.url, request("POST", POPULAR, headers) + body)
    if status == 413 and answer.status == 0:
        return
    harmless(answer, status)


NO_HTTP = {
    "nothing but bytes": (bytes(range(256)) + b"\r\n\r\n", 400),
    "a greeting of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\r\n\r\n", 400),
    "a command of Redis": (b"*1\r\n$8\r\nFLUSHALL\r\n\r\n", 400),
    "a word": (b"HELLO\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "a version there is not": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "a method there is not": (request("BREW", POPULAR), 405),
    "a method in lower case": (request("get", POPULAR), 400),
    "a method of 5,000 letters": (request("A" * 5000, POPULAR), 400),
    "a mirror": (request("TRACE", POPULAR), 405),
    "a tunnel": (request("CONNECT", "evil.example:443"), 404),
    "a preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.mark.parametrize(("raw", "status"), NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_hardly_http(service: Service, raw: bytes, status: int) -> None:
    harmless(exchange(service.url, raw), status)


def test_a_host_of_the_callers_own_is_in_no_address_that_is_answered(service: Service) -> None:
    body = json.dumps({"user_ids": IDS[:1]}).encode()
    raw = request("POST", BATCH, ["Prefer: respond-async"], body, host="evil.example")
    answer = exchange(service.url, raw)
    harmless(answer, 202)
    assert answer.headers["location"].startswith("/api/jobs/")
    assert "evil.example" not in answer.text


def test_a_request_in_the_body_of_another_is_not_answered(service: Service) -> None:
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    raw = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden
    answer = exchange(service.url, raw)
    harmless(answer, 404)
    assert answer.text.count("HTTP/1.1 ") == 0


DRIPPING = {
    "a request line": b"GET /" + b"a" * 100,
    "a header": b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100,
    "a body": request("POST", POPULAR, ["Content-Type: application/json", "Content-Length: 100"]) + b"{" + b" " * 99,
}


@pytest.mark.parametrize("raw", DRIPPING.values(), ids=DRIPPING)
def test_a_client_that_lets_it_drip_is_given_up(service: Service, raw: bytes) -> None:
    """A byte now and then would hold a thread for half a minute."""
    at_once, drops = raw[:-90], [raw[i : i + 1] for i in range(len(raw) - 90, len(raw))]
    answer = exchange(service.url, at_once, *drops, pause=DRIP)
    assert answer.status in (0, 408)


def test_clients_that_never_finish_their_headers_do_not_hold_the_gateway(service: Service) -> None:
    """More of them than there are threads, one after another on each."""
    stop = threading.Event()
    answers: list[RawAnswer] = []

    def begin_again_and_again() -> None:
        while not stop.is_set():
            answers.append(exchange(service.url, b"GET / HTTP/1.1\r\nHost:"))

    clients = [threading.Thread(target=begin_again_and_again) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        for _ in range(3):
            assert service.client.get("/health/live").body == {"status": "alive"}
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert {answer.status for answer in answers} == {0}
