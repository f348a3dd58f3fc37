"""Limits of open connections, and how long idle ones stay open."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.config["manager"] |= {
        "max_connections": 25,
        "max_connections_per_address": 10,
        "keep_alive": 0.5,
        "trusted_proxies": ["127.0.0.7"],
    }
    return module_clusterm.start()


def connect(service: Clusterm, source: str) -> socket.socket:
    url = service.http.base_url
    return socket.create_connection((url.host, url.port or 0), WAIT_TIMEOUT_S, source_address=(source, 0))


def ask(connection: socket.socket) -> bytes:
    """Return the response."""
    connection.sendall(GET)
    answer = b""
    while not answer.endswith(b"}") and (data := connection.recv(10_000)):
        answer += data
    return answer


@contextmanager
def opened(service: Clusterm, source: str, number: int) -> Iterator[list[socket.socket]]:
    """Open connections, and close them at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(service, source)) for _ in range(number)]


@pytest.fixture(autouse=True)
def _none_is_open(service: Clusterm) -> None:
    assert service.process is not None
    process = psutil.Process(service.process.pid)
    waiting_or_open = {psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT}
    wait_for(
        lambda: all(each.status not in waiting_or_open for each in process.net_connections("tcp")),
        "the service to close all connections",
    )


def test_one_address_does_not_take_all_connections(service: Clusterm) -> None:
    with opened(service, "127.0.0.2", 10) as connections:
        with connect(service, "127.0.0.2") as refused:
            answer = refused.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nRetry-After: 5\r\n" in answer
            assert b"127.0.0.2 has 10 connections open (manager.max_connections_per_address)" in answer
        with connect(service, "127.0.0.3") as other:
            assert ask(other).startswith(b"HTTP/1.1 200 ")
        connections[0].close()

        def is_accepted() -> bool:
            with connect(service, "127.0.0.2") as again:
                return ask(again).startswith(b"HTTP/1.1 200 ")

        wait_for(is_accepted, "the closed connection to be counted as closed")


def test_all_connections_have_a_limit_and_refusals_hardly_fill_the_log(service: Clusterm) -> None:
    with opened(service, "127.0.0.2", 10), opened(service, "127.0.0.3", 10), opened(service, "127.0.0.4", 5):
        before = service.log.stat().st_size
        for _ in range(100):
            with connect(service, "127.0.0.5") as refused:
                assert b"the service has 25 connections open" in refused.makefile("rb").read()
        assert 0 < service.log.stat().st_size - before < 3000


def test_a_trusted_proxy_may_have_more(service: Clusterm) -> None:
    with opened(service, "127.0.0.7", 15) as connections:
        assert ask(connections[-1]).startswith(b"HTTP/1.1 200 ")


def test_an_idle_connection_is_closed_after_the_time(service: Clusterm) -> None:
    with connect(service, "127.0.0.6") as connection:
        for _ in range(3):
            assert ask(connection).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert connection.recv(100) == b"", "closed without an answer"
        assert time.monotonic() - began > 0.4


def test_the_limit_of_descriptors_is_raised(service: Clusterm) -> None:
    assert service.process is not None
    soft, hard = psutil.Process(service.process.pid).rlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
