"""Host names of the service, and the origins of pages that may send requests."""

import socket

import pytest
from starlette.datastructures import Headers

from clusterm.access.hosts import AllowedHosts, check_origin
from clusterm.errors import CrossOrigin, Misdirected
from clusterm.settings import ManagerSettings

MANAGER = ManagerSettings(
    addr="node.example.net:9007",
    public_url="https://Public.example.org/clusterm",
    allowed_hosts=["clusterm.lan", "*.wild.example.org"],
)


@pytest.fixture(scope="module")
def hosts() -> AllowedHosts:
    return AllowedHosts(MANAGER, lambda: {"certified.example.org"})


@pytest.mark.parametrize(
    "host",
    [
        *("", "localhost", "localhost:9007", "LOCALHOST.", "a.localhost:1"),
        *("127.0.0.1:9007", "10.9.8.7", "[::1]", "[2001:db8::1]:9007"),
        *("clusterm.lan", "Clusterm.LAN:80", "clusterm.lan.:80", "x.wild.example.org", "a.b.wild.example.org:1"),
        *("public.example.org", "node.example.net", "certified.example.org", socket.gethostname()),
    ],
)
def test_its_own_names(hosts: AllowedHosts, host: str) -> None:
    hosts.check(host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9007", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost"),
        *("wild.example.org", "xwild.example.org", "clusterm.lan.evil.example", "evil@localhost", "localhost@evil"),
        *("localhost/", "localhost, evil.example", "localhost:port", "[localhost]", "[::1", "::1", "2130706433x", " "),
        *("x" * 300, "\u0130", "localhost\n"),
    ],
    ids=ascii,
)
def test_foreign_names(hosts: AllowedHosts, host: str) -> None:
    with pytest.raises(Misdirected, match=r"is not a name of this service: add it to manager\.allowed_hosts"):
        hosts.check(host)


def test_any_name_can_be_allowed() -> None:
    AllowedHosts(ManagerSettings(allowed_hosts=["*"])).check("evil.example")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://manager.lan", "Host": "127.0.0.1:9007"},  # by a proxy
        {"Origin": "http://10.0.0.1:9007", "Host": "10.0.0.1:9007"},
        {"Origin": "https://manager.lan", "Host": "manager.lan:443"},
        {"Origin": "https://PUBLIC.example.org", "Host": "127.0.0.1"},
        {"Origin": "https://public.example.org:443", "Sec-Fetch-Site": "same-site", "Host": "127.0.0.1"},
    ],
)
def test_requests_that_may_change_something(headers: dict[str, str]) -> None:
    check_origin(Headers(headers), MANAGER.public_url)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://10.0.0.1:9007", "Host": "10.0.0.1:9007"},
        {"Origin": "null"},
        {"Origin": "null", "Host": "null"},
        {"Origin": ""},
        {"Origin": "http://evil.example", "Host": "10.0.0.1:9007"},
        {"Origin": "http://10.0.0.1:8080", "Host": "10.0.0.1:9007"},
        {"Origin": "http://public.example.org", "Host": "127.0.0.1"},
        {"Origin": "http://[", "Host": "["},
    ],
)
def test_requests_of_other_pages(headers: dict[str, str]) -> None:
    with pytest.raises(CrossOrigin, match="may not change anything here"):
        check_origin(Headers(headers), MANAGER.public_url)
