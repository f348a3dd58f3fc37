"""The probe of ssh ports: sockets that open and close, and the states of nodes that follow."""

import asyncio
import contextlib
import errno
import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.service import wait_for

from clusterm.enums import State, Status
from clusterm.monitoring import probe as probe_module
from clusterm.monitoring.probe import Probe
from clusterm.monitoring.reports import report
from clusterm.schemas import MonitoredNode, MonitorEvent
from clusterm.settings import Settings
from clusterm.store import events, nodes, runtime_values, tables
from clusterm.store.engine import Store

NETWORK = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
"""Loopback addresses of this process's own, so that tests run side by side."""


BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"


class Port:
    """A port at some addresses at which a server answers."""

    def __init__(self) -> None:
        self._listening: dict[str, socket.socket] = {}
        self.number = 0
        self.received: list[bytes] = []

    def open(self, address: str, *answer: bytes) -> None:
        """Listen at an address, and answer each connection in these parts, by default as an ssh server."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = self._listening[address] = socket.create_server((address, self.number), family=family)
        self.number = listening.getsockname()[1]
        threading.Thread(target=self._answer, args=(listening, answer or (BANNER,)), daemon=True).start()

    def close(self, *addresses: str) -> None:
        for address in addresses or list(self._listening):
            listening = self._listening.pop(address)
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread
            listening.close()

    def _answer(self, listening: socket.socket, answer: Sequence[bytes]) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = listening.accept()
                with connected, contextlib.suppress(OSError):
                    received = connected.recv(1000)
                    for part in answer:
                        connected.sendall(part)
                        time.sleep(0.01 if len(answer) > 1 else 0)
                    connected.shutdown(socket.SHUT_WR)
                    while data := connected.recv(1000):
                        received += data
                    self.received.append(received)


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    port.open(f"{NETWORK}.1")
    yield port
    port.close()


def settings(port: Port, **monitor: Any) -> Settings:
    given: dict[str, Any] = {
        "ansible": {"extra_variables": json.dumps({"ansible_port": port.number})},
        "monitor": {"interval": 0.001, "misses": 2, **monitor},
    }
    return Settings(**given)


def announce(store: Store, *addresses: str, name: str = "discovered") -> None:
    """Announce nodes that are called by the end of their address."""
    serials = [re.split("[.:]", address)[-1] for address in addresses]
    announced = [
        MonitoredNode(label="n", serial=serial, addr=addr) for serial, addr in zip(serials, addresses, strict=True)
    ]
    report(store, Settings(), MonitorEvent(name=name, nodes=announced))


def look(probe: Probe, times: int = 1) -> None:
    async def look_again() -> None:
        for _ in range(times):
            await probe.look_at_all()

    asyncio.run(look_again())


def states(store: Store) -> dict[str, State]:
    with store.read() as session:
        return {node.name: node.state for node in nodes.list_all(session)}


def told(store: Store, node: str) -> list[str]:
    with store.read() as session:
        return [f"{event.event}: {event.detail}" for event in events.of_node(session, node, 100, limit=100)]


def test_a_node_is_gone_after_some_misses_in_a_row_and_back_after_one_answer(store: Store, port: Port) -> None:
    here = f"{NETWORK}.1"
    announce(store, here)
    probe = Probe(store, lambda: settings(port, misses=3))
    look(probe)
    for _ in range(2):
        port.close(here)
        look(probe, 2)
        assert states(store) == {"n-1": State.DISCOVERED}, "not often enough"
        port.open(here)
        look(probe)
    port.close(here)
    look(probe, 5)
    assert states(store) == {"n-1": State.DISAPPEARED}
    port.open(here)
    look(probe, 2)
    assert states(store) == {"n-1": State.DISCOVERED}
    assert told(store, "n-1") == [
        f"discovered: at {here}",
        f"disappeared: no answer at {here} port {port.number}: Connection refused, 3 times in a row",
        f"discovered: at {here}",
    ]


def test_a_node_that_another_monitor_reports_gone_and_back_is_given_all_its_misses_again(
    store: Store, port: Port
) -> None:
    here = f"{NETWORK}.1"
    announce(store, here)
    probe = Probe(store, lambda: settings(port, misses=3))
    port.close(here)
    look(probe, 2)
    announce(store, here, name="disappeared")
    look(probe)
    announce(store, here)
    look(probe, 2)
    assert states(store) == {"n-1": State.DISCOVERED}
    port.open(here)
    look(probe)
    assert told(store, "n-1") == [f"discovered: at {here}", f"disappeared: was at {here}", f"discovered: at {here}"]


def test_it_identifies_itself_and_disconnects_as_the_protocol_asks_for(store: Store, port: Port) -> None:
    announce(store, f"{NETWORK}.1")
    look(Probe(store, lambda: settings(port)))
    wait_for(lambda: bool(port.received), "the end of the connection")
    identification, packet = port.received[0].split(b"\r\n", 1)
    assert re.fullmatch(rb"SSH-2\.0-clusterm_[!-,.-~]+", identification)
    length, padding, message, reason = struct.unpack_from(">IBBI", packet)
    assert (message, reason) == (1, 11), "SSH_MSG_DISCONNECT, SSH_DISCONNECT_BY_APPLICATION"
    assert (len(packet), len(packet) % 8) == (4 + length, 0)
    assert padding >= 4


@pytest.mark.parametrize(
    ("answer", "missed"),
    [
        ((BANNER,), None),
        ((b"SSH-1.99-Cisco-1.25\n",), None),
        ((b"Welcome.\r\n", b"All is logged.\r\nSSH", b"-2.0-dropbear_2022.83\r\n"), None),
        (
            (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",),
            'not an ssh server: the answer was "HTTP/1.1 400 Bad Request"',
        ),
        ((b"220 mail.example.org ESMTP\r\n",), 'not an ssh server: the answer was "220 mail.example.org ESMTP"'),
        ((b"Exceeded MaxStartups\r\n",), 'not an ssh server: the answer was "Exceeded MaxStartups"'),
        ((b"SSH-3.0-x\r\n",), 'not an ssh server: the answer was "SSH-3.0-x"'),
        ((b"x SSH-2.0-x\r\n",), 'not an ssh server: the answer was "x SSH-2.0-x"'),
        ((b"\xff\x1b[2J\0",), 'not an ssh server: the answer was "\\\\xff\\u001b[2J\\u0000"'),
        ((b"y" * 100_000,), f'not an ssh server: the answer was "{"y" * 60}"'),
        ((b"",), "the connection was closed before an ssh server identified itself"),
    ],
    ids=repr,
)
def test_only_an_ssh_server_is_an_answer(
    store: Store, port: Port, answer: tuple[bytes, ...], missed: str | None
) -> None:
    here = f"{NETWORK}.2"
    port.open(here, *answer)
    announce(store, here)
    look(Probe(store, lambda: settings(port, misses=1)))
    assert states(store) == {"n-2": State.DISCOVERED if missed is None else State.DISAPPEARED}
    if missed is not None:
        assert told(store, "n-2")[1] == f"disappeared: no answer at {here} port {port.number}: {missed}"


def test_an_open_port_that_says_nothing_is_no_answer(store: Store, port: Port) -> None:
    here = f"{NETWORK}.2"
    with socket.create_server((here, port.number)):
        announce(store, here)
        look(Probe(store, lambda: settings(port, misses=1, timeout=0.2)))
    assert told(store, "n-2")[1].endswith("the port is open, but no ssh server answered within 0.2 seconds")


def test_each_node_of_an_address_is_probed_at_its_own_port(store: Store, port: Port) -> None:
    here, other = f"{NETWORK}.1", Port()
    other.open(here)
    try:
        numbers = (port.number, other.number)
        announced = [MonitoredNode(label="n", serial=str(number), addr=here, port=number) for number in numbers]
        report(store, Settings(), MonitorEvent(name="discovered", nodes=announced))
        probe = Probe(store, lambda: Settings.model_validate({"monitor": {"interval": 0.001, "misses": 1}}))
        look(probe)
        assert set(states(store).values()) == {State.DISCOVERED}
    finally:
        other.close()
    look(probe)
    gone = f"n-{other.number}"
    assert states(store) == {f"n-{port.number}": State.DISCOVERED, gone: State.DISAPPEARED}
    assert told(store, gone)[0] == f"discovered: at {here}:{other.number}"
    assert told(store, gone)[1] == f"disappeared: no answer at {here} port {other.number}: Connection refused"


def test_nodes_that_share_a_place_are_all_probed(store: Store, port: Port) -> None:
    """A migration leaves such nodes where two spellings of one address were two nodes."""
    here = f"{NETWORK}.2"
    announce(store, here, f"{NETWORK}.3")
    with store.write() as session:
        nodes.get(session, "n-3").address = here
    look(Probe(store, lambda: settings(port, misses=1)))
    assert states(store) == {"n-2": State.DISAPPEARED, "n-3": State.DISAPPEARED}


@pytest.mark.parametrize("address", ["fe80::7", "fe80::7%nosuch0"])
def test_a_link_local_address_that_this_machine_cannot_use_is_of_one_node_only(
    store: Store, port: Port, address: str
) -> None:
    announce(store, address, f"{NETWORK}.1")
    probe = Probe(store, lambda: settings(port, misses=1))
    look(probe)
    assert probe.problem is None
    assert sorted(states(store).values()) == [State.DISAPPEARED, State.DISCOVERED]


def test_names_and_ipv6_are_addresses_too(store: Store, port: Port) -> None:
    for address in ("::1", "127.0.0.1"):
        port.open(address)
    announce(store, "::1", "localhost", f"{NETWORK}.9")
    look(Probe(store, lambda: settings(port)), 2)
    assert states(store) == {"n-1": State.DISCOVERED, "n-localhost": State.DISCOVERED, "n-9": State.DISAPPEARED}


def test_a_node_that_nobody_has_heard_of_waits_for_its_first_answer(store: Store, port: Port) -> None:
    with store.write() as session:
        for number in (1, 2):
            status, state = Status.UNALLOCATED, State.UNKNOWN
            session.add(
                tables.Node(
                    name=f"n-{number}",
                    label="n",
                    serial=str(number),
                    address=f"{NETWORK}.{number}",
                    status=status,
                    prev_status=status,
                    state=state,
                    prev_state=state,
                    host_group="service-master",
                )
            )
    look(Probe(store, lambda: settings(port)), 4)
    assert states(store) == {"n-1": State.DISCOVERED, "n-2": State.UNKNOWN}
    assert told(store, "n-2") == []


def test_it_looks_where_ansible_would_connect_to(store: Store, port: Port) -> None:
    variables: dict[str, dict[str, Any]] = {
        "n-2": {"ansible_host": f"{NETWORK}.1"},
        "n-3": {"ansible_connection": "local"},
        "n-4": {"ansible_port": "{{ port }}"},
        "n-5": {"ansible_port": port.number, "ansible_host": f"{NETWORK}.1"},
        "n-6": {"ansible_port": port.number},
        "n-7": {"ansible_connection": ["ssh"]},
        "n-8": {"ansible_host": {"a": 1}, "ansible_port": [port.number]},
    }
    announce(store, *(f"{NETWORK}.{name[2:]}" for name in variables))
    with store.write() as session:
        for node in nodes.list_all(session):
            node.inventory_vars = variables[node.name]
        runtime_values.put(session, runtime_values.GLOBALS, {})
    only_port = Settings.model_validate({"monitor": {"interval": 0.001, "misses": 1}})
    look(Probe(store, lambda: only_port))
    there = {name for name, state in states(store).items() if state is State.DISCOVERED}
    assert there == {"n-3", "n-4", "n-5", "n-7", "n-8"}, "what cannot be known is left alone, and 22 is closed"

    with store.write() as session:
        runtime_values.put(session, runtime_values.GLOBALS, {"ansible_port": port.number})
    look(Probe(store, lambda: only_port))
    assert states(store)["n-2"] is State.DISCOVERED, "extra vars win over those of a node"


def test_an_announcement_counts_until_the_next_look_says_something_else(store: Store, port: Port) -> None:
    here = f"{NETWORK}.1"
    announce(store, here)
    probe = Probe(store, lambda: settings(port))
    announce(store, here, name="disappeared")
    look(probe)
    assert states(store) == {"n-1": State.DISCOVERED}

    announce(store, here, name="disappeared")
    report(
        store,
        Settings(),
        MonitorEvent(name="discovered", nodes=[MonitoredNode(label="new", serial="n", addr=here)]),
    )
    look(probe)
    assert states(store) == {"n-1": State.DISAPPEARED, "new-n": State.DISCOVERED}, "another one has its address"


def test_what_is_wrong_with_this_machine_says_nothing_of_nodes(
    store: Store, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    announce(store, f"{NETWORK}.2")
    probe = Probe(store, lambda: settings(port))
    with monkeypatch.context() as patch:
        patch.setattr(probe_module, "_connect", fail)
        look(probe, 5)
    assert probe.problem == "n-2 cannot be looked at: Too many open files"
    assert states(store) == {"n-2": State.DISCOVERED}
    look(probe, 2)
    assert probe.problem is None
    assert states(store) == {"n-2": State.DISAPPEARED}
