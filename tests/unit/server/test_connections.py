"""Connection limits and TLS handshakes, without a service."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest
import trustme

from clusterm.common.log_limits import RepetitionFilter
from clusterm.server.connections import ConnectionLimits
from clusterm.server.tls import ServerLoop, Tls
from clusterm.settings import ManagerSettings


def test_descriptors_limit_the_connections(caplog: pytest.LogCaptureFixture) -> None:
    limits = ConnectionLimits(ManagerSettings(), 300)
    assert "at most 100 connections are accepted" in caplog.text
    assert [limits.admit(f"10.0.0.{number}") for number in range(100)] == [None] * 100
    assert limits.admit("10.0.1.1") == "the service has 100 connections open, which is as many as it accepts"
    limits.release("10.0.0.1")
    assert limits.admit("10.0.1.1") is None


def test_a_client_that_does_not_finish_its_handshake_is_disconnected(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    trustme.CA().issue_cert("clusterm.lan", "*.lan", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    tls = Tls(ManagerSettings(tls_cert=file))
    assert tls.names == {"clusterm.lan", "*.lan"}

    async def is_disconnected() -> bool:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=tls.context)
        async with server:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.setblocking(False)
                async with asyncio.timeout(30):
                    return await loop.sock_recv(client, 1) == b""

    with asyncio.Runner(loop_factory=lambda: ServerLoop(0.1)) as runner:
        assert runner.run(is_disconnected())


def test_repeated_messages_are_counted_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def passes(message: str) -> logging.LogRecord | None:
        record = logging.LogRecord("x", logging.INFO, "", 1, message, ("a",), None)
        return record if limit.filter(record) else None

    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limit = RepetitionFilter(2)
    assert [passes("%s is refused") is not None for _ in range(5)] == [True, True, False, False, False]
    assert passes("another %s") is not None
    now = 161.0
    record = passes("%s is refused")
    assert record is not None
    assert record.getMessage() == "a is refused (and 3 more such messages before)"
    assert [passes("%s is refused") is not None for _ in range(2)] == [True, False]
