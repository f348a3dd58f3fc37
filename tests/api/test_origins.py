"""Requests to foreign hosts and from foreign pages are rejected; all methods are answered."""

import socket

import pytest
from support.service import WAIT_TIMEOUT_S, Clusterm


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.config["manager"] |= {
        "allowed_hosts": ["clusterm.lan"],
        "public_url": "https://public.example.org",
    }
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a")
    return module_clusterm


@pytest.fixture(scope="module")
def routes(service: Clusterm) -> list[tuple[str, str]]:
    """All routes, as method and path."""
    paths = service.get("/openapi.json")["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


# Hosts


def test_a_foreign_host_is_misdirected_on_every_route(service: Clusterm, routes: list[tuple[str, str]]) -> None:
    before = service.dump()
    for method, path in [*routes, ("GET", "/docs"), ("GET", "/nowhere"), ("OPTIONS", "/")]:
        answer = service.http.request(method, path, headers={"Host": "rebound.evil.example:9007"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (421, "application/problem+json"), path
        assert answer.json()["detail"] == (
            '"rebound.evil.example:9007" is not a name of this service: '
            "add it to manager.allowed_hosts, or use an IP address"
        )
        assert "evil" not in str(answer.headers)
    assert service.dump() == before


@pytest.mark.parametrize("host", ["localhost", "clusterm.lan:9007", "public.example.org", "192.0.2.1", "[::1]:9007"])
def test_its_own_names_are_served(service: Clusterm, host: str) -> None:
    assert service.http.get("/info/nodes", headers={"Host": host}).status_code == 200


# Pages


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_changes_nothing(
    service: Clusterm, routes: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    before = service.dump()
    for method, path in [*routes, ("PUT", "/config"), ("DELETE", "/config")]:
        if method != "GET":
            answer = service.http.request(method, path, headers=headers)
            assert answer.status_code == 403, path
            assert "may not change anything here" in answer.json()["detail"]
            assert "\n" not in answer.json()["detail"]
    assert service.dump() == before
    assert service.http.get("/info/nodes", headers=headers).status_code == 200


def test_its_own_pages_and_other_programs_may_change_something(service: Clusterm) -> None:
    home = str(service.http.base_url).rstrip("/")
    for headers in ({}, {"Origin": home}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "https://public.example.org"}):
        assert service.post("/globals", {"extra_vars": {}}, headers=headers).status_code == 200


# Methods


def test_head_is_get_without_the_body(service: Clusterm, routes: list[tuple[str, str]]) -> None:
    changing = {"date", "content-length"}
    for method, path in routes:
        if method == "GET":
            url = path.replace("{name}", "node1-a").replace("{job}", "1").replace("{later}", "2")
            got, headed = service.http.get(url), service.http.head(url)
            assert (headed.status_code, headed.content) == (got.status_code, b""), path
            assert [name for name in headed.headers if name not in changing] == [
                name for name in got.headers if name not in changing
            ]


def test_head_of_a_stream_does_not_wait_for_its_end(service: Clusterm) -> None:
    gate = service.root / "gate"
    service.write_playbook("cleanup.yml", f"- hosts: all\n  tasks: [{{wait_for: {{path: {gate}}}}}]\n")
    job = service.begin("decommission", ["node1-a"])
    try:
        headed = service.http.head("/info/logs/active", headers={"Accept": "text/event-stream"})
        assert (headed.status_code, headed.content) == (200, b"")
        assert headed.headers["Content-Type"].startswith("text/event-stream")
    finally:
        service.post(f"/job/{job['id']}/cancel", {"cleanup": False})
        gate.touch()
        service.ended(job)
    assert "clusterm_followers 0.0" in service.http.get("/metrics").text


def test_options(service: Clusterm) -> None:
    def allowed(path: str) -> tuple[int, str | None]:
        answer = service.http.options(path)
        return answer.status_code, answer.headers.get("Allow")

    assert allowed("/") == (204, "GET, HEAD, OPTIONS, POST")
    assert allowed("/config") == (204, "GET, POST, HEAD, OPTIONS")
    assert allowed("/readyz") == (204, "GET, HEAD, OPTIONS")
    assert allowed("/commission/nodes") == (204, "POST, OPTIONS")
    assert allowed("/nowhere") == (404, None)
    refused = service.http.delete("/config")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")


@pytest.mark.parametrize("request_", [b"OPTIONS / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_health_checks_of_load_balancers(service: Clusterm, request_: bytes) -> None:
    url = service.http.base_url
    with socket.create_connection((url.host, url.port or 0), WAIT_TIMEOUT_S) as connection:
        connection.sendall(request_)
        assert connection.recv(100).startswith(b"HTTP/1.1 204 ")


# Redirects


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/info/nodes/", "../nodes"),
        ("/info/nodes/?limit=3&name=a%20b", "../nodes?limit=3&name=a%20b"),
        ("/docs/", "../docs"),
    ],
)
def test_a_slash_too_many_is_taken_off_without_naming_a_host(service: Clusterm, path: str, location: str) -> None:
    answer = service.http.get(path, headers={"Host": "public.example.org"})
    assert (answer.status_code, answer.headers["Location"]) == (307, location)


def test_what_has_no_route_is_not_redirected(service: Clusterm) -> None:
    for path in ("/nowhere/", "//evil.example/", "/"):
        assert service.http.get(path).status_code == 404
