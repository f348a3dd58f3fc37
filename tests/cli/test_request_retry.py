"""Retries of requests whose connection breaks."""

import itertools
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for

from clusterctl.api import following, retry
from clusterctl.api.rest import RestClient
from clusterctl.errors import ConnectionLost
from clusterm.enums import Action

# Sending a request again


class Breaking:
    """A service on a real socket that breaks connections: the first so many, each after it has read the request."""

    def __init__(self, breaks: int, *, port: int = 0) -> None:
        self.keys: list[str | None] = []
        keys = self.keys

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                keys.append(self.headers["Idempotency-Key"])
                if len(keys) > breaks:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(b"{}")

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def client(self, notes: list[str]) -> RestClient:
        return RestClient(f"http://127.0.0.1:{self.port}", notes.append)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._on_sleep = on_sleep

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._on_sleep()


@pytest.mark.parametrize(
    "begin",
    [
        lambda client: client.start(Action.UPDATE, ["node1-a"], queue=True),
        lambda client: client.discover(["10.0.0.1"]),
        lambda client: client.retry("last", failed_only=False, queue=False),
    ],
)
def test_a_request_for_a_job_is_repeated_with_its_key(
    begin: Callable[[RestClient], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "time", Clock())
    service = Breaking(3)
    notes: list[str] = []
    client = service.client(notes)

    assert begin(client) == {}
    assert begin(client) == {}

    client.close()
    service.close()
    first, other = service.keys[0], service.keys[4]
    assert service.keys == [first, first, first, first, other]
    assert first
    assert other not in {None, first}
    assert notes == ["clusterm does not answer; trying again"]


@pytest.mark.parametrize(
    "post",
    [
        lambda client: client.set_globals({}),
        lambda client: client.set_config({}),
        lambda client: client.announce("node1", "a", "10.0.0.1"),
        lambda client: client.cancel(7, cleanup=True),
    ],
)
def test_a_request_that_does_no_more_when_repeated_is_repeated(
    post: Callable[[RestClient], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "time", Clock())
    service = Breaking(1)
    client = service.client([])

    assert post(client) == {}

    client.close()
    service.close()
    assert len(set(service.keys)) == 1


def test_a_service_that_restarts_gets_the_request_again(monkeypatch: pytest.MonkeyPatch) -> None:
    services = [Breaking(1)]
    pauses = itertools.count(1)

    def restart() -> None:
        pause = next(pauses)
        if pause == 1:
            services[0].close()
        elif pause == 4:
            services.append(Breaking(0, port=services[0].port))

    monkeypatch.setattr(retry, "time", Clock(restart))
    notes: list[str] = []
    client = services[0].client(notes)

    assert client.discover(["10.0.0.1"]) == {}

    client.close()
    services[1].close()
    assert next(pauses) == 5
    assert services[0].keys == services[1].keys != [None]
    assert notes == ["clusterm does not answer; trying again"]


def test_a_request_whose_connection_keeps_breaking_may_have_been_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    service = Breaking(1000)
    client = service.client([])

    with pytest.raises(ConnectionLost, match="may have been executed, see: clusterctl job list"):
        client.discover(["10.0.0.1"])

    client.close()
    service.close()
    assert len(set(service.keys)) == 1
    assert 10 < clock.now < 12


# Following


def test_a_service_that_stands_still_is_reported_and_a_silent_job_is_not(
    new_clusterm: Clusterm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_SILENCE_S", 0.3)
    monkeypatch.setattr(following, "_ALIVE_TIMEOUT_S", 1.0)
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    clusterm.start()
    clusterm.add_nodes("node1-a")
    gate = clusterm.root / "gate"
    job = clusterm.begin("commission", ["node1-a"], extra_vars={"lines": 3, "until": str(gate)})
    notes: list[str] = []
    client = RestClient(str(clusterm.http.base_url).rstrip("/"), notes.append)
    found: list[str] = []

    def follow() -> None:
        found.extend(line["text"] for line in following.log_lines(client, job["id"], notes.append))

    thread = threading.Thread(target=follow)
    thread.start()
    wait_for(lambda: 'route="/healthz"' in clusterm.http.get("/metrics").text, "the question whether it is alive")
    assert notes == []
    assert clusterm.process is not None
    clusterm.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: notes, "the note")
    clusterm.process.send_signal(signal.SIGCONT)
    gate.touch()
    thread.join()
    client.close()
    assert [line for line in found if line.startswith("line ")] == ["line 1", "line 2", "line 3"]
    assert set(notes) == {"clusterm does not answer; trying again"}
