"""Connections to the service: unix sockets, limits of size, and clients that are too slow."""

import os
import pwd
import socket
import stat
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.schemas import Problem

# Unix sockets


@pytest.fixture
def on_socket(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm, not started, that is to listen on a unix socket."""
    path = new_clusterm.root / "clusterm.sock"
    new_clusterm.config["manager"]["addr"] = f"unix:{path}"
    new_clusterm.http = httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost")
    new_clusterm.use_program(SCRIPTED)
    return new_clusterm


def start(clusterm: Clusterm) -> str:
    """Start it and return its address."""
    http, clusterm.http = clusterm.http, httpx.Client()
    clusterm.start()
    address = str(clusterm.http.base_url)
    clusterm.http.close()
    clusterm.http = http
    return address


def test_a_unix_socket(on_socket: Clusterm, monkeypatch: pytest.MonkeyPatch) -> None:
    clusterm, path = on_socket, on_socket.root / "clusterm.sock"
    url = start(clusterm).rstrip("/")
    assert url == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    clusterm.add_nodes("node1-a")
    followed = clusterm.clusterctl("--url", url, "node", "decommission", "node1-a", "--follow", "-e", '{"lines": 2000}')
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.splitlines()[-1] == "line 2000"
    assert clusterm.job()["requested_by"] == f"unix:{pwd.getpwuid(os.geteuid()).pw_name}"
    bundle = clusterm.root / "bundle.tar.gz"
    assert clusterm.clusterctl("--url", f"unix://{path}", "support-bundle", str(bundle)).returncode == 0
    monkeypatch.setenv("_CLUSTERCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"clusterctl --url {url} node get ")
    monkeypatch.setenv("COMP_CWORD", "5")
    assert clusterm.clusterctl().stdout.strip() == "node1-a"
    monkeypatch.delenv("_CLUSTERCTL_COMPLETE")
    healthy: list[str | Path] = [BIN / "clusterm", "healthcheck", "--config", clusterm.root / "clusterm.json"]
    assert subprocess.run(healthy, capture_output=True, check=True).stdout == b"ok\n"
    assert clusterm.stop() == 0
    assert not path.exists()
    done = clusterm.clusterctl("--url", url, "nodes", "get")
    assert done.returncode == 3
    assert "No such file" in done.stderr


def test_a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not(on_socket: Clusterm) -> None:
    path = on_socket.root / "clusterm.sock"
    on_socket.config["manager"]["socket_mode"] = "0600"
    start(on_socket)
    on_socket.kill()
    assert path.is_socket()
    start(on_socket)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    second = Clusterm(on_socket.root / "second")
    second.config["manager"]["addr"] = f"unix:{path}"
    second.start(fails=True)
    said = second.log.read_text()
    second.destroy()
    assert (
        said == f"clusterm: cannot listen on unix:{path}: Address already in use; set manager.addr to a free address\n"
    )
    assert on_socket.get("/healthz")["status"] == "ok"

    path.unlink()
    path.write_text("mine")  # what is not the service's own socket stays
    assert on_socket.stop() == 0
    assert path.read_text() == "mine"
    on_socket.start(fails=True)
    assert "Address already in use" in on_socket.log.read_text()


# Limits


@pytest.fixture(scope="module")
def impatient(module_clusterm: Clusterm) -> Clusterm:
    """A clusterm with small limits."""
    limits = {"max_body_bytes": 20 * 1024, "max_header_bytes": 2048, "client_timeout": 1}
    module_clusterm.config["manager"] |= limits
    module_clusterm.use_program(SCRIPTED)
    return module_clusterm.start()


def ask(clusterm: Clusterm, *pieces: bytes) -> bytes:
    """Send pieces of a request, and return all that comes until the service hangs up."""
    with socket.create_connection(
        (clusterm.http.base_url.host, clusterm.http.base_url.port or 0), WAIT_TIMEOUT_S
    ) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return connection.makefile("rb").read()


def problem(answer: bytes) -> Problem:
    """Return the refusal that an answer is."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    found = Problem.model_validate_json(body)
    assert head.startswith(f"HTTP/1.1 {found.status} ".encode())
    return found


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /globals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_limits_are_configurable(impatient: Clusterm) -> None:
    fits = {"extra_vars": {"a": "x" * 20_000}}
    assert impatient.post("/globals", fits).status_code == 200
    refused = impatient.post("/globals", {"extra_vars": {"a": "x" * 21_000}})
    assert (refused.status_code, refused.json()["detail"]) == (413, "the body is larger than 20 KiB")
    refused = impatient.http.get("/healthz", headers={"X-Long": "x" * 2048})
    assert (refused.status_code, refused.json()["detail"]) == (431, "the address and the headers are larger than 2 KiB")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, 408),
        (GET[:1], 408),
        (GET + b"\r\n" + GET, 408),
        (POST + b'Content-Length: 100\r\n\r\n{"extra_vars"', 408),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", 408),
        (GET + b"X-Long: " + b"x" * 4096, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
    ids=repr,
)
def test_what_does_not_become_a_request_is_refused_as_all_else(
    impatient: Clusterm, request_: bytes, status: int
) -> None:
    answer = ask(impatient, request_)
    answers = answer.split(b"HTTP/1.1 ")[1:]
    assert problem(b"HTTP/1.1 " + answers[-1]).status == status
    assert "Traceback" not in impatient.log.read_text()


def test_a_client_that_says_nothing_is_let_go_of(impatient: Clusterm) -> None:
    assert ask(impatient) == b""


@pytest.mark.parametrize("head", [b"", POST + b"Content-Length: 10000\r\n\r\n"])
def test_a_client_that_sends_by_drips_is_let_go_of(impatient: Clusterm, head: bytes) -> None:
    """Each drip comes long before the time is over, so that only a limit for the whole request helps."""
    url = impatient.http.base_url
    ended = threading.Event()
    with socket.create_connection((url.host, url.port or 0), WAIT_TIMEOUT_S) as connection:

        def drip() -> None:
            try:
                connection.sendall(head)
                while not ended.wait(0.05):
                    connection.sendall(b" " if head else b"GET"[:1])
            except OSError:
                pass  # as it must come to

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert problem(connection.makefile("rb").read()).status == 408
        finally:
            ended.set()
            dripping.join()


def test_a_client_that_does_not_read_is_let_go_of(impatient: Clusterm) -> None:
    """The service is rid of it, though neither the stream nor the job has ended."""
    impatient.add_nodes("deaf-1")
    go = impatient.root / "go"
    job = impatient.begin("decommission", ["deaf-1"], extra_vars={"lines": 500_000, "until": str(go)})
    url = impatient.http.base_url
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((url.host, url.port or 0))
        deaf.sendall(f"GET /info/logs/{job['id']}?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(lambda: followers(impatient) == 1, "the follower")
        wait_for(lambda: followers(impatient) == 0, "the service to let go of it")
    go.touch()
    assert impatient.ended(job)["status"] == "Complete"


def followers(clusterm: Clusterm) -> float:
    """Return how many followers the service has."""
    lines = clusterm.http.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("clusterm_followers "))


def test_whoever_names_another_sender_is_not_believed(impatient: Clusterm) -> None:
    impatient.add_nodes("sent-1")
    body = {"nodes": ["sent-1"]}
    job = impatient.post("/decommission/nodes", body, headers={"X-Forwarded-For": "10.9.8.7"}).json()
    assert impatient.ended(job)["requested_by"] == "127.0.0.1"
