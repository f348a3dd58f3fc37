"""Hostile and broken requests: each is answered with a reason and changes nothing."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import WAIT_TIMEOUT_S, Clusterm

from clusterm.live_settings import LiveSettings
from clusterm.schemas import Problem
from clusterm.server.app import create_app
from clusterm.settings import Settings
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

POSTS = [
    "/commission/nodes",
    "/decommission/nodes",
    "/update/nodes",
    "/discover/nodes",
    "/globals",
    "/config",
    "/monitor/event",
]
JOBS = POSTS[:4]
LIMIT = 10 * 1024 * 1024
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A cluster of a master, a worker and a spare node, with globals and a past."""
    module_clusterm.use_program(SCRIPTED)
    service = module_clusterm.start()
    service.add_nodes("master-m", "worker-w", "spare-s", "lost-l")
    service.post("/globals", {"extra_vars": {"kept": 1}})
    service.run("commission", ["master-m"])
    service.run("commission", ["worker-w"], host_group="service-worker")
    gone = {"name": "disappeared", "nodes": [{"label": "lost", "serial": "l", "addr": "127.0.1.4"}]}
    assert service.post("/monitor/event", {"monitor_event": gone}).is_success
    return service


@pytest.fixture
def untouched(service: Clusterm) -> Iterator[Clusterm]:
    """The service, which must be after the test what it was before."""
    before, logged = service.dump(), service.log.stat().st_size
    yield service
    assert service.dump() == before
    log = service.log.read_bytes()[logged:].decode()
    assert "Traceback" not in log, log


def refused(response: httpx.Response, *statuses: int) -> str:
    """Check that an answer is a refusal with a reason, and return the reason."""
    assert 400 <= response.status_code < 500, response.text
    assert response.status_code in (statuses or range(400, 500)), response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate(response.json())
    assert problem.status == response.status_code
    assert problem.title
    assert problem.detail
    assert "\n" not in problem.detail
    assert len(problem.detail) < 2000, "a reason is a line, not the request over again"
    return problem.detail


# Bodies of every route


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b" \n", 400),
        (b"{", 400),
        (b"}", 400),
        (b"nodes", 400),
        (b"{'nodes': []}", 400),
        (b'{"nodes": []', 400),
        (b'{"nodes": [],}', 400),
        (b'{} {"nodes": []}', 400),
        (b'{"nodes": NaN}', 400),
        (b'{"extra_vars": {"a": Infinity}}', 400),
        (b'{"nodes": ["\xff"]}', 400),
        (b'{"\xc3": 1}', 400),
        (b'{"nodes": ["\\ud800"]}', 400),
        (b'{"extra_vars": {"\\udfff": 1}}', 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b"\x00", 400),
        (b"\x1f\x8b\x08\x00", 400),
        (b"[" * 100_000, 400),
        (b'{"extra_vars": ' * 100_000, 400),
        (b'{"extra_vars": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"[{}]", 422),
        (b'"{}"', 422),
        (b"1", 422),
        (b"true", 422),
        (b'{"no_such_member": 1}', 422),
        (b'{"hostgroup": "service-master", "nodes": ["spare-s"]}', 422),
        (b'{"Nodes": ["spare-s"], "host_group": "service-master"}', 422),
        (b'{"__class__": 1}', 422),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_a_body_that_is_no_request(untouched: Clusterm, path: str, body: bytes, status: int) -> None:
    refused(untouched.http.post(path, content=body, headers=JSON), status)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "?",
    ],
)
def test_a_body_that_is_not_announced_as_json(untouched: Clusterm, path: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = b'{"nodes": ["spare-s"], "host_group": "service-master", "extra_vars": {"new": 1}}'
    refused(untouched.http.post(path, content=body, headers=headers), 415)


def announced(service: Clusterm, path: str, body: bytes) -> httpx.Response:
    return service.http.post(path, content=body, headers=JSON)


def chunked(service: Clusterm, path: str, body: bytes) -> httpx.Response:
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    return service.http.post(path, content=pieces, headers=JSON)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("send", [announced, chunked])
def test_a_body_that_is_too_large(untouched: Clusterm, path: str, send: Any) -> None:
    body = json.dumps({"nodes": ["spare-s"], "host_group": "service-master", "extra_vars": {"a": "x" * LIMIT}})
    assert "10 MiB" in refused(send(untouched, path, body.encode()), 413)


def test_a_body_that_says_it_will_be_too_large(untouched: Clusterm) -> None:
    """The answer does not wait for bytes that are not wanted."""
    address = urlsplit(str(untouched.http.base_url))
    with closing(http.client.HTTPConnection(str(address.hostname), address.port, timeout=WAIT_TIMEOUT_S)) as connection:
        connection.putrequest("POST", "/globals")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(10**15))
        connection.endheaders(b"{")
        response = connection.getresponse()
        assert response.status == 413
        assert response.getheader("content-type") == "application/problem+json"


def test_a_body_of_just_the_limit_is_read(untouched: Clusterm) -> None:
    body = b'{"nodes": ["nobody"]}'
    refused(announced(untouched, "/update/nodes", body + b" " * (LIMIT - len(body))), 404)


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /globals HTTP/1.1\r\nHost: localhost\r\nContent-Length: nine\r\n\r\n",
        b"POST /globals HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /globals HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /info/nodes HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /info/node/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_what_is_no_http(untouched: Clusterm, raw: bytes) -> None:
    address = urlsplit(str(untouched.http.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_TIMEOUT_S) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline()
    assert not answer or answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/info/nodes", {"X-Long": "x" * 65_000}, 200),
        ("/info/nodes", {"X-Long": "x" * 66_000}, 431),
        ("/info/nodes", {f"X-{number}": "x" * 1_000 for number in range(80)}, 431),
        ("/info/node/" + "x" * 65_000, {"X-Long": "x" * 1_000}, 431),
        ("/info/jobs?node=" + "x" * 65_000, {"X-Long": "x" * 1_000}, 431),
    ],
    ids=["almost", "one header", "all headers", "path", "query"],
)
def test_a_head_that_is_too_large_is_refused_however_it_arrives(
    tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    """The server itself refuses only one that arrives in pieces, with a 400."""
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path, "auth": "none"}})
    store = Store(settings.store_url)
    migrate(store)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(store, LiveSettings(store, None, settings)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)

    with closing(store):
        assert asyncio.run(ask()).status_code == status


# Members of one route


@pytest.mark.parametrize("path", JOBS)
@pytest.mark.parametrize(
    "extra_vars",
    [
        *([], [1], 1, 1.5, True, "[1]", "1", "null", '"a"', "{", "{'a': 1}", "a=1", " "),
        *('{"a": NaN}', '{"a": -Infinity}', '{"a": 1e400}', '{"a": "\\ud800"}', '{"\\udc00": 1}'),
        *('{"a": ' + "9" * 5000 + "}", '{"a": ' + "[" * 100_000, '{"a": ' * 100_000 + "1" + "}" * 100_000),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_extra_vars_that_are_no_object(untouched: Clusterm, path: str, extra_vars: object) -> None:
    body = {"nodes": ["spare-s"], "addrs": ["127.0.9.9"], "host_group": "service-master", "extra_vars": extra_vars}
    reason = refused(untouched.post(path, body), 422)
    assert reason.startswith("extra_vars: not a JSON object: ")


@pytest.mark.parametrize("depth", [100, 300, 450, 600, 900, 990, 1010, 5000])
@pytest.mark.parametrize("as_string", [True, False])
def test_deeply_nested_extra_vars_are_taken_whole_or_not_at_all(service: Clusterm, depth: int, as_string: bool) -> None:
    text = '{"a":' * depth + "1" + "}" * depth
    body = json.dumps({"extra_vars": text}) if as_string else f'{{"extra_vars":{text}}}'
    try:
        response = service.http.post("/globals", content=body, headers=JSON)
        if response.status_code == 200:
            assert service.http.get("/info/globals").text == response.text
            assert text in response.text.replace(" ", "")
        else:
            refused(response, 400, 422)
            assert service.get("/info/globals") == {"extra_vars": {"kept": 1}}
    finally:
        service.post("/globals", {"extra_vars": {"kept": 1}})


@pytest.mark.parametrize("path", JOBS[:3])
@pytest.mark.parametrize(
    "nodes",
    ["spare-s", 1, True, {}, {"spare-s": 1}, [1], [None], [[]], [["spare-s"]], [{"name": "spare-s"}], ["spare-s", 1]],
    ids=repr,
)
def test_nodes_that_are_no_list_of_names(untouched: Clusterm, path: str, nodes: object) -> None:
    assert "nodes" in refused(untouched.post(path, {"nodes": nodes, "host_group": "service-master"}), 422)


@pytest.mark.parametrize("path", JOBS[:3])
@pytest.mark.parametrize(
    "name",
    [
        *("nobody", "", " ", "SPARE-S", "spare-s ", "spare", "all", "service-master", "127.0.1.99", "spare-s\n"),
        *("../../etc/passwd", "spare-s/../master-m", "spare-s\0", "' OR 1=1 --", "%", "_", "\u202e"),
        *("$(id)", "😀", "x" * 100_000),
        *("{{ 7 * 7 }}", "*.*", "[", "[!a-z]", "\x1b[2J\x07", "?" * 250, "*" * 250 + "x"),  # globs
    ],
    ids=lambda name: repr(name[:24]),
)
def test_nodes_that_are_not_there(untouched: Clusterm, path: str, name: str) -> None:
    for nodes in ([name], ["spare-s", name], [name] * 100):
        reason = refused(untouched.post(path, {"nodes": nodes, "host_group": "service-master"}), 404)
        is_glob = any(character in name for character in "*?[")
        assert reason.startswith("no node matches " if is_glob else "no node has the name or address ")


@pytest.mark.parametrize("path", ["/commission/nodes", "/update/nodes"])
@pytest.mark.parametrize(
    ("group", "status"),
    [
        *(("master", 400), ("SERVICE-MASTER", 400), (" service-master", 400), ("cluster-node", 400), ("\0", 400)),
        *(("x" * 100_000, 400), (1, 422), (True, 422), ([], 422), (["service-master"], 422), ({}, 422)),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_host_groups_that_are_none(untouched: Clusterm, path: str, group: object, status: int) -> None:
    reason = refused(untouched.post(path, {"nodes": ["spare-s"], "host_group": group}), status)
    assert ("is no host group" if status == 400 else "host_group: ") in reason


ADDRESSES = [
    *("", " ", "no such host", "1.2.3", "256.1.1.1", "1.2.3.4.5", "010.0.0.1", "0x7f.1", "[127.0.0.1]", "-oProxy=x"),
    *(
        "../x",
        "/etc/passwd",
        "a\0b",
        "\x1b[2J",
        "127.0.0.1\n",
        "{{ 7 }}",
        "fe80::1%{{ 7 }}",
        "fe80::1%eth0\nx",
        "::1%lo",
        "ß.de",
    ),
    *("user@host", "a b=c", "x" * 100_000, "a" * 26 + "!"),
]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: repr(address[:24]))
def test_addresses_that_are_none(untouched: Clusterm, address: str) -> None:
    for addrs in ([address], ["127.0.9.9", address]):
        reason = refused(untouched.post("/discover/nodes", {"addrs": addrs}), 422)
        assert "is neither an IP address nor a host name" in reason
    nodes = [{"label": "new", "serial": "n", "addr": address}]
    refused(untouched.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": nodes}}), 422)


@pytest.mark.parametrize("addrs", ["127.0.9.9", 1, {}, [1], [None], [["127.0.9.9"]], [{}]], ids=repr)
def test_addresses_that_are_no_list(untouched: Clusterm, addrs: object) -> None:
    assert "addrs" in refused(untouched.post("/discover/nodes", {"addrs": addrs}), 422)


@pytest.mark.parametrize("member", ["label", "serial"])
@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "..", "/", "\0", "\n", "\x1b[", "{{ }}", "é", "😀", "-" * 100_000, 1, None, [], {}, True),
    ],
    ids=lambda name: repr(name)[:24],
)
def test_names_that_a_node_cannot_have(untouched: Clusterm, member: str, name: object) -> None:
    node = {"label": "new", "serial": "n", "addr": "127.0.6.1", member: name}
    for nodes in ([node], [node, node]):
        event = {"name": "discovered", "nodes": nodes}
        assert member in refused(untouched.post("/monitor/event", {"monitor_event": event}), 422)


NEW = {"label": "new", "serial": "n", "addr": "127.0.6.1"}
PORTS: list[Any] = [0, -1, 65536, 2**70, "ssh", 1.5, []]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        *((None, 422), ([], 422), ("discovered", 422), (1, 422)),
        *(({}, 400), ({"name": "discovered"}, 400), ({"name": "discovered", "nodes": []}, 400)),
        ({"name": "", "nodes": [{"label": "new", "serial": "n", "addr": "127.0.6.1"}]}, 400),
        ({"name": "commissioned", "nodes": [{"label": "spare", "serial": "s", "addr": "127.0.1.3"}]}, 400),
        ({"name": "x" * 100_000, "nodes": []}, 400),
        ({"name": ["discovered"], "nodes": []}, 422),
        ({"name": "discovered", "nodes": {}}, 422),
        ({"name": "discovered", "nodes": ["spare-s"]}, 422),
        ({"name": "discovered", "nodes": [{}]}, 422),
        ({"name": "discovered", "nodes": [{"label": "new", "serial": "n"}]}, 422),
        *(({"name": "discovered", "nodes": [NEW | {"port": port}]}, 422) for port in PORTS),
        ({"name": "discovered", "nodes": [{"label": "new", "serial": "n", "addr": "127.0.6.1:0"}]}, 422),
        ({"name": "discovered", "nodes": [{"label": "new", "serial": "n", "addr": "127.0.6.1", "status": 1}]}, 422),
        ({"name": "discovered", "nodes": [{"label": "service", "serial": "master", "addr": "127.0.6.1"}]}, 400),
        ({"name": "discovered", "nodes": [{"label": "new", "serial": "n", "addr": "127.0.1.3"}]}, 409),
        ({"name": "disappeared", "nodes": [{"label": "nobody", "serial": "n", "addr": "127.0.1.3"}]}, 404),
    ],
    ids=lambda value: repr(value)[:48],
)
def test_news_that_are_none(untouched: Clusterm, event: object, status: int) -> None:
    refused(untouched.post("/monitor/event", {"monitor_event": event}), status)


@pytest.mark.parametrize(
    ("config", "status"),
    [
        *(([], 422), ("ansible", 422), (1, 422), (None, 400)),
        *(({"ansible": "x"}, 400), ({"ansible": [1]}, 400), ({"ansible": 1}, 400), ({"ansible": 0}, 400)),
        ({"ansible": {"usr": "ann"}}, 400),
        ({"ansible": {"user": 1}}, 400),
        ({"ansible": {"user": None}}, 400),
        ({"ansible": {"user": ["ann"]}}, 400),
        ({"ansible": {"user": "a\0b"}}, 400),
        ({"ansible": {"configure_playbook": "a\0b"}}, 400),
        ({"ansible": {"playbook_location": "/a\0b"}}, 400),
        ({"ansible": {"executable": "/bin/true\0"}}, 400),
        ({"ansible": {"playbook_location": 1}}, 400),
        ({"ansible": {"extra_variables": "[1]"}}, 400),
        ({"ansible": {"extra_variables": "{"}}, 400),
        ({"ansible": {"extra_variables": 1}}, 400),
        ({"ansible": {"extra_variables": '{"a": "\\ud800"}'}}, 400),
        ({"ansible": {"extra_variables": "[" * 100_000}}, 400),
        ({"ansible": {"ssh_args": "{{ lookup('pipe', 'id') }}"}}, 400),
        ({"nope": {"a": 1}}, 400),
        ({"manager": {"addr": "0.0.0.0:1"}}, 400),
        ({"manager": {"addr": ["0.0.0.0:1"]}}, 400),
        ({"manager": [1]}, 400),
        ({"manager": "x"}, 400),
        ({"store": {"url": "sqlite:////tmp/other.db"}}, 400),
        ({"ansible": {"user": "ann"}, "retention": {"timeline": 1}}, 400),
    ],
    ids=lambda value: repr(value)[:56],
)
def test_configurations_that_cannot_be(untouched: Clusterm, config: object, status: int) -> None:
    refused(untouched.post("/config", {"config": config}), status)


# Paths and queries


@pytest.mark.parametrize("path", ["/info/jobs", "/info/node/master-m/events", "/info/jobs/timeline"])
@pytest.mark.parametrize(
    "limit", ["0", "-1", "1.5", "1e3", "", " ", "abc", "NaN", "0x10", "10000001", "9" * 30, "9" * 5000]
)
def test_limits_that_are_none(untouched: Clusterm, path: str, limit: str) -> None:
    assert "limit: " in refused(untouched.http.get(path, params={"limit": limit}), 422)


@pytest.mark.parametrize("path", ["/info/jobs", "/info/node/master-m/events"])
@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "1 ", "٣", "9" * 19, "9" * 5000, "\0", "' OR 1=1 --"])
def test_cursors_that_are_none(untouched: Clusterm, path: str, cursor: str) -> None:
    assert "is no cursor" in refused(untouched.http.get(path, params={"cursor": cursor}), 400)


@pytest.mark.parametrize("member", ["since", "until"])
@pytest.mark.parametrize(
    "time",
    [
        *(
            "",
            "now",
            "2026-11-2",
            "2026-13-22",
            "2026-11-22 07:31",
            "2026-11-22T07:31:02",
            "2026-13-01T00:00:00Z",
            "2026-11-22T25:00:00Z",
            "9" * 30,
        ),
        *(
            "9" * 5000,
            "-1e30",
            "NaN",
            "99999-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
        ),
    ],
    ids=lambda time: time[:32],
)
def test_times_that_are_none(untouched: Clusterm, member: str, time: str) -> None:
    refused(untouched.http.get("/info/jobs", params={member: time}), 422)
    if member == "since":
        refused(untouched.http.get("/info/jobs/timeline", params={member: time}), 422)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/info/jobs", {"status": "complete"}),
        ("/info/jobs", {"status": ""}),
        ("/info/jobs", {"action": "Re boot"}),
        ("/info/job/1", {"logs": "maybe"}),
        ("/info/logs/1", {"follow": "maybe"}),
        ("/info/logs/1", {"from": "0"}),
        ("/info/logs/1", {"from": "-5"}),
        ("/info/logs/1", {"from": "9" * 30}),
        ("/info/logs/1", {"from": "x"}),
        ("/info/logs/1", {"tail": "-1"}),
        ("/info/logs/1", {"tail": "9" * 30}),
        ("/info/logs/1", {"tail": ""}),
    ],
    ids=str,
)
def test_other_parameters_that_are_not_valid(untouched: Clusterm, path: str, parameters: dict[str, str]) -> None:
    assert f"{next(iter(parameters))}: " in refused(untouched.http.get(path, params=parameters), 422)


@pytest.mark.parametrize("of", ["job", "logs"])
@pytest.mark.parametrize(
    ("label", "status"),
    [
        *(("first", 400), ("ACTIVE", 400), ("-1", 400), ("1.0", 400), ("1e3", 400), ("9" * 19, 400), ("%00", 400)),
        *(("%D9%A3", 400), ("%F0%9F%98%80", 400), ("%FF", 400), ("%1B%5B2J", 400), ("x" * 10_000, 400), ("%20", 400)),
        *(("0", 404), ("999999", 404), ("9" * 18, 404), ("..%2F..%2Fetc%2Fpasswd", 404), ("", 404)),
    ],
)
def test_jobs_that_are_not_there(untouched: Clusterm, of: str, label: str, status: int) -> None:
    reason = refused(untouched.http.get(f"/info/{of}/{label}"), status)
    assert status != 400 or reason.endswith('" is no job: give active, last, good or the id of a job')


@pytest.mark.parametrize("suffix", ["", "/events"])
@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "%00",
        "%FF",
        "%ED%A0%80",
        "%1B%5B2J",
        "%F0%9F%98%80",
        "..%2F..%2Fetc",
        "%27%20OR%201%3D1",
        "x" * 10_000,
    ],
)
def test_node_names_that_are_not_there(untouched: Clusterm, name: str, suffix: str) -> None:
    refused(untouched.http.get(f"/info/node/{name}{suffix}"), 404)


def test_unknown_parameters_are_named_with_the_known_ones(untouched: Clusterm) -> None:
    reason = refused(untouched.http.get("/info/jobs?statsu=Running&Limit=1&limit=1"), 422)
    assert reason == (
        'this route has no query parameter "Limit" and 1 more: its parameters are '
        "action, brief, cursor, limit, node, since, status, total, until"
    )
    reason = refused(untouched.http.get(f"/info/version?{'x' * 10_000}=%0A&y"), 422)
    assert reason.endswith('…" and 1 more: it has no parameters')
    assert refused(untouched.post("/update/nodes?check=true", {"nodes": ["spare-s"]}), 422).endswith("no parameters")
    names = "name=spare-s&status=Unallocated&state=Discovered&host_group=service-master"
    assert untouched.http.get(f"/nodes?{names}&limit=1&cursor=a").status_code == 200


def test_a_probe_may_have_any_parameter(untouched: Clusterm) -> None:
    assert [untouched.http.get(f"{path}?t=1").status_code for path in ("/healthz", "/readyz")] == [200, 200]


@pytest.mark.parametrize("name", ["%00", "%FF", "%ED%A0%80", "x" * 10_000, "%27%20OR%201%3D1", ""])
def test_filters_that_fit_nothing_are_answered_with_nothing(untouched: Clusterm, name: str) -> None:
    for path in ("/info/jobs", "/info/jobs/timeline"):
        assert untouched.http.get(f"{path}?node={name}").json() == {"items": [], "next": None}


def test_repeated_names_are_one(untouched: Clusterm) -> None:
    """They are no mistake, so the next one is reported."""
    nodes = ["spare-s", "127.0.1.3", "spare-s", "lost-l", "127.0.1.4"]
    reason = refused(untouched.post("/commission/nodes", {"nodes": nodes, "host_group": "service-worker"}), 409)
    assert reason.startswith("not all nodes are in the state Discovered: lost-l. ")
