"""Nodes found through Serf: real agents on loopback addresses that are killed, cut off, moved and started again."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.requirements import path_of, requires
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

NETWORK = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
"""Loopback addresses of this process's own, so that tests run side by side."""


class Agents:
    """A Serf cluster. Each agent has an address, where it has the ports that Serf has by default."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._addresses: dict[str, str] = {}

    def start(self, name: str, *, auth_key: str = "", join: str = "hub", **tags: str) -> None:
        """Start an agent that joins the cluster of another one."""
        if name in self._running:
            self._running.pop(name).wait(WAIT_TIMEOUT_S)  # it has left
        address = self._addresses.setdefault(name, f"{NETWORK}.{len(self._addresses) + 1}")
        options = [f"-node={name}", f"-bind={address}", f"-rpc-addr={address}:7373", "-profile=local"]
        options += [f"-tag={key}={value}" for key, value in tags.items()]
        if auth_key:
            file = self._directory / f"{name}.json"
            file.write_text(f'{{"rpc_auth": "{auth_key}"}}')
            options.append(f"-config-file={file}")
        if join != name:
            options.append(f"-join={self._addresses[join]}")
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            self._running[name] = subprocess.Popen([path_of("serf"), "agent", *options], stdout=output, stderr=output)
        said = "agent running!" if join == name else "agent: joined"
        wait_for(lambda: said in log.read_text(), f"the agent {name}")

    def address(self, name: str) -> str:
        return self._addresses[name]

    def rpc(self, name: str) -> str:
        return f"{self.address(name)}:7373"

    def tell(self, name: str, *command: str) -> None:
        """Run one of Serf's commands on an agent."""
        verb, *arguments = command
        subprocess.run(
            [path_of("serf"), verb, f"-rpc-addr={self.rpc(name)}", *arguments], check=True, timeout=WAIT_TIMEOUT_S
        )

    def signal(self, name: str, what: signal.Signals) -> None:
        self._running[name].send_signal(what)

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running.pop(name).wait(WAIT_TIMEOUT_S)

    def stop(self) -> None:
        for name in list(self._running):
            self.kill(name)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    agents = Agents(tmp_path)
    yield agents
    agents.stop()


def node(label: str, addr: str) -> dict[str, str]:
    """The tags of a node's agent."""
    return {"NodeLabel": label, "NodeSerial": "s", "NodeAddr": addr}


def states(clusterm: Clusterm) -> dict[str, str]:
    """Each node's state and address."""
    found = clusterm.get("/info/nodes")
    return {
        name: f"{node['inventory_state']['state']} {node['monitoring_state']['management_address']}"
        for name, node in found.items()
    }


def become(clusterm: Clusterm, **wanted: str) -> None:
    """Wait until nodes are in a state and at an address."""
    expected = {name.replace("_", "-"): state for name, state in wanted.items()}
    wait_for(lambda: expected.items() <= states(clusterm).items(), str(expected))


def follow(clusterm: Clusterm, agents: Agents, **serf: Any) -> Clusterm:
    """Start a clusterm that follows the first agent."""
    clusterm.config["serf"] = {"addr": agents.rpc("hub"), **serf}
    return clusterm.start()


@requires("serf")
def test_nodes_are_what_their_agents_are(agents: Agents, new_clusterm: Clusterm) -> None:
    agents.start("hub", join="hub")
    agents.start("m1", **node("node1", "10.0.0.1"))
    agents.start("m2", **node("node2", "10.0.0.2"))
    agents.start("m3", **node("node3", "10.0.0.3"))
    agents.start("m4", **node("node4", "10.0.0.4"))
    agents.start("hostile", **node("\x1b[]", "10.0.0.5"))
    clusterm = follow(new_clusterm, agents)
    become(
        clusterm,
        node1_s="Discovered 10.0.0.1",
        node2_s="Discovered 10.0.0.2",
        node3_s="Discovered 10.0.0.3",
        node4_s="Discovered 10.0.0.4",
    )
    agents.start("thief", **node("thief", "10.0.0.3"))
    wait_for(lambda: '"thief-s" is refused' in clusterm.log.read_text(), "the address to be refused")

    agents.kill("m1")
    agents.tell("m2", "leave")
    agents.tell("m3", "tags", "-set=NodeAddr=10.0.0.33")
    agents.signal("m4", signal.SIGSTOP)  # cut off
    become(
        clusterm,
        node1_s="Disappeared 10.0.0.1",
        node2_s="Disappeared 10.0.0.2",
        node3_s="Discovered 10.0.0.33",
        node4_s="Disappeared 10.0.0.4",
    )

    agents.start("m1", **node("node1", "10.0.0.11"))
    agents.start("m2", **node("node2", "10.0.0.2"))
    agents.signal("m4", signal.SIGCONT)
    agents.tell("m4", "join", agents.address("hub"))
    become(
        clusterm,
        node1_s="Discovered 10.0.0.11",
        node2_s="Discovered 10.0.0.2",
        node3_s="Discovered 10.0.0.33",
        node4_s="Discovered 10.0.0.4",
    )
    kinds = [event["event"] for event in clusterm.get("/info/node/node1-s/events")["items"]]
    assert kinds == ["discovered", "disappeared", "discovered"]

    log = clusterm.log.read_text()
    assert log.count('"hub" is no node: it has no tag NodeLabel, NodeSerial, NodeAddr') == 1
    assert log.count('"hostile" is no node: NodeLabel') == 1
    assert log.count('thief-s" is refused: other nodes have these addresses') == 1
    assert "\x1b" not in log
    assert "Traceback" not in log
    assert clusterm.get("/readyz")["degraded"] == []
    assert clusterm.stop() == 0


@requires("serf")
def test_what_happened_while_the_agent_or_the_service_was_away_is_not_missed(
    agents: Agents, new_clusterm: Clusterm
) -> None:
    agents.start("hub", join="hub", auth_key="canary")
    agents.start("m1", **node("node1", "10.0.0.1"))
    agents.start("m2", **node("node2", "10.0.0.2"))
    clusterm = follow(new_clusterm, agents, auth_key="wrong")
    wait_for(lambda: clusterm.get("/readyz")["degraded"], "the key to be refused")
    assert "check serf.auth_key" in clusterm.get("/readyz")["degraded"][0]
    assert states(clusterm) == {}
    clusterm.stop()

    follow(clusterm, agents, auth_key="canary")
    clusterm.add_nodes("announced-s")
    become(clusterm, node1_s="Discovered 10.0.0.1", node2_s="Discovered 10.0.0.2")
    assert clusterm.get("/config")["serf"]["auth_key"] == "********"
    shown = clusterm.get("/config")
    assert clusterm.post("/config", {"config": shown}).json() == shown
    assert clusterm.post("/config", {"config": {"serf": {"AuthKey": "other"}}}).status_code == 400

    agents.kill("hub")
    wait_for(lambda: clusterm.get("/readyz")["degraded"], "the agent to be missed")
    agents.kill("m1")
    agents.start("hub", join="m2", auth_key="canary")  # has never heard of m1
    agents.start("m3", **node("node3", "10.0.0.3"))
    become(clusterm, node1_s="Disappeared 10.0.0.1", node2_s="Discovered 10.0.0.2", node3_s="Discovered 10.0.0.3")
    wait_for(lambda: clusterm.get("/readyz")["degraded"] == [], "all to be well")

    clusterm.kill()
    agents.kill("hub")
    agents.kill("m2")
    agents.start("hub", join="m3", auth_key="canary")
    clusterm.start()
    become(clusterm, node2_s="Disappeared 10.0.0.2", node3_s="Discovered 10.0.0.3")
    assert states(clusterm)["announced-s"].startswith("Discovered "), "Serf has never told of it"
    said = clusterm.log.read_text()
    assert "canary" not in said
    assert "Traceback" not in said


def test_an_agent_that_is_not_there_keeps_nothing_from_working(new_clusterm: Clusterm) -> None:
    new_clusterm.config["serf"] = {"addr": f"{NETWORK}.250:7373"}
    clusterm = new_clusterm.start()
    wait_for(lambda: clusterm.get("/readyz")["degraded"], "the agent to be missed")
    clusterm.add_nodes("node1-a")
    assert clusterm.stop() == 0
    assert clusterm.log.read_text().count("cannot be used") == 1
