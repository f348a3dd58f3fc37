"""The probe of ssh ports: sockets that open and close, and the states of nodes that follow."""

import asyncio
import errno
import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

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


class Port:
    """A port that is open at some addresses."""

    def __init__(self) -> None:
        self._listening: dict[str, socket.socket] = {}
        self.number = 0

    def open(self, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listening = self._listening[address] = socket.create_server((address, self.number), family=family)
        self.number = listening.getsockname()[1]

    def close(self, *addresses: str) -> None:
        for address in addresses or list(self._listening):
            self._listening.pop(address).close()


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
    }
    announce(store, *(f"{NETWORK}.{name[2:]}" for name in variables))
    with store.write() as session:
        for node in nodes.list_all(session):
            node.inventory_vars = variables[node.name]
        runtime_values.put(session, runtime_values.GLOBALS, {})
    only_port = Settings.model_validate({"monitor": {"interval": 0.001, "misses": 1}})
    look(Probe(store, lambda: only_port))
    there = {name for name, state in states(store).items() if state is State.DISCOVERED}
    assert there == {"n-3", "n-4", "n-5"}, "what cannot be known is left alone, and 22 is closed"

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
