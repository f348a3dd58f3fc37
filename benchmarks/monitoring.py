"""Measurements of monitors with very many nodes: storms of reports, and probing all nodes."""

import asyncio
import json
import os
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgpack
from measurements import Finding, Findings
from service import Broken, Clusterm, clusterm

from clusterm.enums import State
from clusterm.monitoring.probe import Probe
from clusterm.monitoring.reports import report
from clusterm.schemas import MonitoredNode, MonitorEvent
from clusterm.settings import Settings
from clusterm.store import nodes
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

_NODES: Final = 10_000
_DEAD: Final = 100
_BATCH: Final = 1000
_WAIT_TIMEOUT_S: Final = 60.0  # seconds


def measure_storm() -> Findings:
    """Measure the time to store a storm of reports, and the time of reads meanwhile."""
    for way, storm in (
        (f"POSTs of {_BATCH:,} nodes", _storm_of_posts),
        ("members of Serf, one by one", _storm_of_members),
    ):
        with clusterm() as service, ExitStack() as stack:
            service.sections["retention"] = {"timeline": 2 * _NODES}
            begin = stack.enter_context(storm(service))
            with _reading(service) as reads:
                began = time.perf_counter()
                begin()
                while (count := _events(service, "count(*)")[0]) < _NODES:
                    if time.perf_counter() - began > _WAIT_TIMEOUT_S:
                        raise Broken(f"of {_NODES:,} nodes only {count:,} are in the store")
                    time.sleep(0.05)
                seconds = time.perf_counter() - began
            if _events(service, "node") != [f"node{number}-storm" for number in range(_NODES)]:
                raise Broken("the events are not in their order")
        yield Finding(f"storm of {_NODES:,} {way}", f"{seconds:.2f} s", "", "< 10 s", seconds < 10)
        p99 = statistics.quantiles(reads, n=100)[98]
        measured = f"p50 {1000 * statistics.median(reads):.3g} ms, p99 {1000 * p99:.3g} ms"
        yield Finding("GET /info/jobs/timeline meanwhile", measured, "", "p99 < 100 ms", p99 < 0.1)


def measure_probe() -> Findings:
    """Measure one round of the probe on one core, with local listeners and some nodes that do not answer."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory(prefix="clusterm-bench-") as root, _listeners() as (addresses, port):
            store = Store(f"sqlite:///{Path(root) / 'clusterm.db'}")
            try:
                seconds = _round(store, addresses, port)
            finally:
                store.close()
    finally:
        os.sched_setaffinity(0, cores)
    yield Finding(
        f"probe of {_NODES:,} nodes, {_DEAD} of them dead", f"{seconds:.2f} s on one core", "", "< 60 s", seconds < 60
    )


def _round(store: Store, addresses: Sequence[str], port: int) -> float:
    migrate(store)
    announced = [
        MonitoredNode(label=f"node{number}", serial="bench", addr=addr) for number, addr in enumerate(addresses)
    ]
    report(store, Settings(), MonitorEvent(name="discovered", nodes=announced))
    sections: dict[str, Any] = {
        "ansible": {"extra_variables": json.dumps({"ansible_port": port})},
        "monitor": {"interval": 0.001, "misses": 1},
    }
    settings = Settings(**sections)
    began = time.perf_counter()
    asyncio.run(Probe(store, lambda: settings).look_at_all())
    seconds = time.perf_counter() - began
    with store.read() as session:
        gone = sum(node.state is State.DISAPPEARED for node in nodes.whereabouts(session))
    if gone != _DEAD:
        raise Broken(f"{_DEAD} nodes are dead, and {gone} were found to be")
    return seconds


@contextmanager
def _listeners() -> Iterator[tuple[list[str], int]]:
    """Listen at all loopback addresses; at addresses of dead nodes the queue is full, so that no probe is answered."""
    with ExitStack() as stack:

        def listen(address: str, port: int, backlog: int) -> socket.socket:
            listening = stack.enter_context(socket.socket())
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((address, port))
            listening.listen(backlog)
            return listening

        everywhere = listen("0.0.0.0", 0, 4096)
        port: int = everywhere.getsockname()[1]
        threading.Thread(target=_accept, args=(everywhere,), daemon=True).start()
        addresses = [f"127.50.{number // 250}.{number % 250 + 1}" for number in range(_NODES)]
        for address in addresses[:: _NODES // _DEAD]:
            listen(address, port, 0)
            stack.enter_context(socket.create_connection((address, port)))
        yield addresses, port
        everywhere.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket) -> None:
    try:
        while True:
            connected, _ = listening.accept()
            with connected, suppress(ConnectionError):
                connected.sendall(b"SSH-2.0-benchmark\r\n")
    except OSError:
        return  # the socket is closed


@contextmanager
def _storm_of_posts(service: Clusterm) -> Iterator[Callable[[], None]]:
    service.start()

    def begin() -> None:
        for start in range(0, _NODES, _BATCH):
            batch = [
                {"label": f"node{number}", "serial": "storm", "addr": _address(number)}
                for number in range(start, start + _BATCH)
            ]
            service.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": batch}})

    yield begin


@contextmanager
def _storm_of_members(service: Clusterm) -> Iterator[Callable[[], None]]:
    """Act as a Serf agent whose members all join at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        service.sections["serf"] = {"addr": f"{host}:{port}"}
        service.start()
        connection, _ = listening.accept()
        with connection:
            for answer in ({"Seq": 0}, {"Seq": 2}, {"Seq": 3}):
                connection.sendall(msgpack.packb({**answer, "Error": ""}))
            connection.sendall(msgpack.packb({"Members": []}))
            yield lambda: connection.sendall(b"".join(_join(number) for number in range(_NODES)))


def _join(number: int) -> bytes:
    tags = {"NodeLabel": f"node{number}", "NodeSerial": "storm", "NodeAddr": _address(number)}
    member = {"Name": f"member{number}", "Status": "alive", "Tags": tags}
    header: bytes = msgpack.packb({"Seq": 2, "Error": ""})
    return header + bytes(msgpack.packb({"Event": "member-join", "Members": [member]}))


def _address(number: int) -> str:
    return f"10.1.{number // 250}.{number % 250 + 1}"


def _events(service: Clusterm, what: str) -> list[Any]:
    """Return a column or aggregate of the storm's events, in order."""
    with closing(sqlite3.connect(service.state_dir / "clusterm.db")) as connection:
        rows = connection.execute(f"SELECT {what} FROM events WHERE node LIKE '%-storm' ORDER BY id")
        return [value for (value,) in rows]


@contextmanager
def _reading(service: Clusterm) -> Iterator[list[float]]:
    """Read the timeline repeatedly for the duration of the context, and yield the list of durations, in seconds."""
    taken: list[float] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            service.read("/info/jobs/timeline")
            taken.append(time.perf_counter() - began)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield taken
    finally:
        ended.set()
        reader.join()
