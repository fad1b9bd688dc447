"""Who may be called back: listed hosts, and addresses that are public or in a listed network."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from shared.callbacks import CallbackPolicy, CallbackTarget
from shared.errors import InvalidRequest
from shared.settings import Settings

HOSTS = frozenset(
    {"hooks.example.com", "jobs.example.com:8443", "8.8.8.8", "[2600::1]", "10.1.2.3", "xn--bcher-kva.de"}
)
PUBLIC_ONLY = CallbackPolicy(HOSTS, ())
WITH_NETWORK = CallbackPolicy(HOSTS, (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")))

LISTED = {
    "as-listed": "https://hooks.example.com/done",
    "without-a-path": "https://hooks.example.com",
    "with-a-query": "https://hooks.example.com/done?job=1&again",
    "in-capitals": "https://HOOKS.Example.COM/done",
    "with-a-dot-at-the-end": "https://hooks.example.com./done",
    "with-the-usual-port": "https://hooks.example.com:443/done",
    "on-its-listed-port": "https://jobs.example.com:8443/",
    "an-international-name": "https://XN--BCHER-KVA.de/",
    "a-public-ipv4-address": "https://8.8.8.8/",
    "a-public-ipv6-address": "https://[2600::1]/",
    "the-same-ipv6-address-in-full": "https://[2600:0:0:0:0:0:0:0001]/",
}
NOT_LISTED = {
    "another-host": "https://evil.example.com/",
    "a-host-below": "https://a.hooks.example.com/",
    "a-host-above": "https://example.com/",
    "a-longer-name": "https://hooks.example.com.evil.org/",
    "two-dots-at-the-end": "https://hooks.example.com../",
    "another-port": "https://hooks.example.com:6379/",
    "the-usual-port-of-the-other-scheme": "https://hooks.example.com:80/",
    "the-usual-port-where-another-is-listed": "https://jobs.example.com/",
    "a-user": "https://hooks.example.com@evil.org/",
    "a-listed-host-behind-a-user": "https://evil.org@hooks.example.com/",
    "a-password-alone": "https://:secret@hooks.example.com/",
    "a-backslash": "https://evil.org\\.hooks.example.com/",
    "a-backslash-and-an-at": "https://evil.org\\@hooks.example.com/",
    "a-percent-encoded-name": "https://%68ooks.example.com/",
    "a-name-in-the-fragment": "https://evil.org#hooks.example.com/",
    "a-name-in-the-query": "https://evil.org?hooks.example.com/",
    "localhost": "https://localhost/",
    "loopback": "https://127.0.0.1/",
    "loopback-shortened": "https://127.1/",
    "loopback-in-decimal": "https://2130706433/",
    "loopback-in-octal": "https://0177.0.0.1/",
    "loopback-in-hexadecimal": "https://0x7f000001/",
    "loopback-of-ipv6": "https://[::1]/",
    "loopback-mapped": "https://[::ffff:127.0.0.1]/",
    "a-listed-address-mapped": "https://[::ffff:8.8.8.8]/",
    "a-listed-address-in-decimal": "https://134744072/",
    "metadata-of-a-cloud": "https://169.254.169.254/latest/meta-data/",
    "every-address": "https://0.0.0.0/",
    "a-private-address-on-the-list": "https://10.1.2.3/",
    "without-tls": "http://hooks.example.com/done",
    "another-scheme": "ftp://hooks.example.com/",
    "no-scheme": "//hooks.example.com/",
    "no-host": "https:///done",
    "port-zero": "https://hooks.example.com:0/",
    "a-port-too-high": "https://hooks.example.com:65979/",
    "a-port-that-is-none": "https://hooks.example.com:https/",
    "an-open-bracket": "https://[::1/",
}  # fmt: skip


@pytest.mark.parametrize("url", LISTED.values(), ids=LISTED)
def test_a_listed_host_is_allowed(url: str) -> None:
    PUBLIC_ONLY.check_host(url)


@pytest.mark.parametrize("url", NOT_LISTED.values(), ids=NOT_LISTED)
def test_everything_else_is_refused_by_the_name_of_its_field(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        PUBLIC_ONLY.check_host(url)
    [problem] = refusal.value.problems
    assert problem.field == "callback_url"
    assert str(refusal.value) == f"callback_url: {problem.message}"


def test_with_no_host_listed_everything_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        CallbackPolicy(frozenset(), (ip_network("0.0.0.0/0"),)).check_host("https://hooks.example.com/")


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "http://10.1.2.3/", "https://10.1.2.3/"])
def test_a_listed_network_lets_its_addresses_and_plain_http_in(url: str) -> None:
    WITH_NETWORK.check_host(url)


def test_plain_http_to_a_public_address_stays_refused_beside_a_listed_network() -> None:
    with pytest.raises(InvalidRequest, match=r"8\.8\.8\.8 is in no network that may be called back with http"):
        WITH_NETWORK.check_host("http://8.8.8.8/")


def test_the_policy_is_what_the_settings_say() -> None:
    settings = Settings.model_construct(
        callback_hosts=" Hooks.example.com, jobs.example.com:8443,,[2600::1] ",
        callback_networks="10.1.0.0/16, fd00::/8",
    )
    assert CallbackPolicy.from_settings(settings) == CallbackPolicy(
        frozenset({"hooks.example.com", "jobs.example.com:8443", "[2600::1]"}),
        (ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
    )
    assert CallbackPolicy.from_settings(Settings.model_construct()) == CallbackPolicy(frozenset(), ())


PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "172.32.0.1", "192.0.1.1", "2600::1", "2a00:1450::1"]
NEVER = [
    "0.0.0.0", "0.1.2.3",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "100.64.0.1", "100.127.255.255",  # carriers' own
    "127.0.0.1", "127.255.255.255", "169.254.169.254", "169.254.0.1",
    "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.88.99.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::8.8.8.8",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1",  # NAT64
    "2002:7f00:1::", "2002:a00:1::1", "2002:808:808::",  # 6to4
    "2001::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo
    "2001:db8::1", "2001:10::1", "2001:20::1", "3fff::1", "5f00::1", "100::1",
    "fc00::1", "fd00::1", "fdff::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called_with_tls_alone(address: str) -> None:
    assert PUBLIC_ONLY.permits(address, encrypted=True)
    assert not PUBLIC_ONLY.permits(address, encrypted=False)


@pytest.mark.parametrize("address", NEVER)
def test_an_address_that_is_not_public_may_not_be_called(address: str) -> None:
    assert not PUBLIC_ONLY.permits(address, encrypted=True)
    assert not PUBLIC_ONLY.permits(address, encrypted=False)


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("10.1.255.255", True), ("10.2.0.0", False), ("fd00:1::5", True), ("fd00:2::5", False), ("127.0.0.1", False),
        ("::ffff:10.1.0.1", False), ("64:ff9b::a01:1", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encrypted", [True, False], ids=["https", "http"])
def test_an_address_in_a_listed_network_may_be_called_either_way(
    address: str, permitted: bool, encrypted: bool
) -> None:
    assert WITH_NETWORK.permits(address, encrypted=encrypted) is permitted


@pytest.mark.parametrize("address", ["127.1", "2130706433", "0177.0.0.1", "0x7f000001", "localhost", "", "8.8.8.8:80"])
def test_what_is_no_ip_address_is_not_taken_for_one(address: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        WITH_NETWORK.permits(address, encrypted=True)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://Hooks.example.com./a/b?c=d#e", CallbackTarget("https", "hooks.example.com", 443, "/a/b?c=d")),
        ("http://10.1.2.3", CallbackTarget("http", "10.1.2.3", 80, "/")),
        ("https://[2600::1]:8443?x", CallbackTarget("https", "2600::1", 8443, "/?x")),
    ],
)
def test_an_address_is_taken_apart_as_it_is_called(url: str, target: CallbackTarget) -> None:
    assert CallbackTarget.parse(url) == target


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://hooks.example.com/done", "https://hooks.example.com/done"),
        ("https://HOOKS.example.com.:0443/done?a=b#c", "https://hooks.example.com/done?a=b"),
        ("http://hooks.example.com:80", "http://hooks.example.com/"),
        ("http://hooks.example.com:443/", "http://hooks.example.com:443/"),
        ("https://[2600::1]:8443?x", "https://[2600::1]:8443/?x"),
    ],
)
def test_addresses_that_mean_the_same_are_written_the_same(url: str, written: str) -> None:
    """So that a receiver is known as one, however its address is spelt."""
    assert CallbackTarget.parse(url).url == written
    assert CallbackTarget.parse(written) == CallbackTarget.parse(url)
