"""What a reverse proxy reports is used only if the proxy is trusted."""

import pytest
from starlette.datastructures import Headers

from clusterm.access.proxies import Forwarded, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/24", "2001:db8::1", "unix:www-data"])
REPORT = Headers(
    {
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "manager.example.org:8443",
        "X-Forwarded-Prefix": "/clusterm/",
    }
)


@pytest.mark.parametrize("peer", ["10.0.0.9", "2001:db8:0::1", "unix:www-data"])
def test_a_trusted_proxy(peer: str) -> None:
    assert PROXIES.read(peer, REPORT) == Forwarded("192.0.2.7", "https", "manager.example.org:8443", "/clusterm")


@pytest.mark.parametrize("peer", ["10.0.1.9", "127.0.0.1", "2001:db8::2", "unix:ann", "", "local"])
def test_any_other_peer(peer: str) -> None:
    assert PROXIES.read(peer, REPORT) == Forwarded()


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("192.0.2.7, 10.0.0.5", "192.0.2.7"),
        ("203.0.113.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:DB8::7]:4711", "2001:db8::7"),
        ("10.0.0.6, 10.0.0.5", "10.0.0.6"),
        ("192.0.2.7, unknown", None),
        ("", None),
    ],
)
def test_the_client_is_the_last_address_that_is_not_a_proxy(forwarded_for: str, client: str | None) -> None:
    assert PROXIES.read("10.0.0.5", Headers({"X-Forwarded-For": forwarded_for})).client == client


@pytest.mark.parametrize(
    "report",
    [
        {"X-Forwarded-Proto": "gopher"},
        {"X-Forwarded-Host": "evil.example/\r"},
        {"X-Forwarded-Host": "a b"},
        {"X-Forwarded-Prefix": "//evil.example"},
        {"X-Forwarded-Prefix": "clusterm"},
        {"X-Forwarded-Prefix": "/a?b"},
        {"X-Forwarded-Prefix": "/"},
    ],
)
def test_values_that_are_not_valid(report: dict[str, str]) -> None:
    assert PROXIES.read("10.0.0.5", Headers(report)) == Forwarded()


def test_the_last_value_is_the_proxy_s_own() -> None:
    report = Headers({"X-Forwarded-Host": "evil.example, manager.example.org", "X-Forwarded-Proto": "http, https"})
    assert PROXIES.read("10.0.0.5", report) == Forwarded(host="manager.example.org", scheme="https")
