"""Nodes behind one address, whose names differ in case only: real sshd, ansible and host keys."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.requirements import requires
from support.service import Clusterm, wait_for
from support.ssh import PORT, SshNodes

from clusterm.common import ssh_keys

ADDRESS = f"127.{192 + os.getpid() % 60}.{os.getpid() // 60 % 256}.20"
PORTS = {"Web-a": PORT, "web-a": PORT + 1, "found": PORT + 2}

SITE = """
- hosts: all
  gather_facts: false
  tasks: [{raw: "echo $CLUSTERM_NODE > ~/visited_as && test {{ inventory_hostname }} = ${CLUSTERM_NODE#found}"}]
"""


@pytest.fixture
def machines(tmp_path: Path, new_clusterm: Clusterm) -> Iterator[SshNodes]:
    """Three machines behind one address, each with a host key of its own."""
    machines = SshNodes(tmp_path / "nodes", dict.fromkeys(PORTS, ADDRESS), ports=PORTS)
    try:
        for name in PORTS:
            machines.reinstall(name)
        machines.configure(new_clusterm)
        new_clusterm.write_playbook("site.yml", SITE)
        new_clusterm.write_playbook("cleanup.yml", SITE)
        new_clusterm.config["ansible"]["extra_variables"] = json.dumps({"ansible_python_interpreter": sys.executable})
        new_clusterm.config["monitor"] = {"probe": True, "interval": 0.3, "misses": 5}  # a reinstalled machine restarts
        yield machines
    finally:
        machines.stop()


@requires("sshd", "ssh", "ssh-keygen")
def test_machines_behind_one_address_are_nodes_with_keys_of_their_own(
    new_clusterm: Clusterm, machines: SshNodes
) -> None:
    clusterm = new_clusterm.start()
    nodes = [{"label": name[:-2], "serial": "a", "addr": f"{ADDRESS}:{PORTS[name]}"} for name in ("Web-a", "web-a")]
    assert clusterm.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": nodes}}).is_success

    def key(name: str) -> list[str]:
        keys = clusterm.get(f"/info/node/{name}")["configuration_state"]["host_keys"]
        return [each["fingerprint"] for each in keys]

    def state(name: str) -> str:
        return str(clusterm.get(f"/info/node/{name}")["inventory_state"]["state"])

    for action in ("commission", "update"):
        job = clusterm.run(action, ["Web-a", "web-a"])
        assert job["status"] == "Complete", job["error"]
        for name in ("Web-a", "web-a"):
            assert key(name) == [ssh_keys.fingerprint(ssh_keys.parse(machines.host_key(name)))]
            assert (machines.homes[name] / "visited_as").read_text().strip() == name

    machines.reinstall("web-a")
    changed = clusterm.run("update", ["Web-a", "web-a"])
    assert [failure["node"] for failure in changed["failures"]] == ["web-a"]
    assert "the host key of web-a has changed" in changed["failures"][0]["message"]
    assert "clusterctl node forget-key web-a" in changed["failures"][0]["message"]
    machines.reinstall("Web-a")
    assert "the host key of Web-a has changed" in clusterm.run("update", ["Web-a"])["error"]

    # The probe asks each at its own port, and sshd reports no attack.
    machines.kill("web-a")
    wait_for(lambda: (state("Web-a"), state("web-a")) == ("Discovered", "Disappeared"), "one of them to be missed")
    said = machines.log("Web-a").read_text()
    assert re.search(r"Received disconnect from \S+ port \d+:11: reachability check by clusterm", said)
    assert not re.search(r"(?i)kex_exchange|banner|bad protocol|did not receive|invalid|error|connection reset", said)


@requires("sshd", "ssh", "ssh-keygen")
def test_a_machine_is_discovered_at_a_port(new_clusterm: Clusterm, machines: SshNodes) -> None:
    new_clusterm.write_playbook("site.yml", SITE.split("&&", maxsplit=1)[0].rstrip() + '"}]\n')
    clusterm = new_clusterm.start()
    job = clusterm.run("discover", [ADDRESS], extra_vars={"ansible_port": PORTS["found"]})
    assert job["status"] == "Complete", job["error"]
    node = clusterm.get(f"/info/node/{ADDRESS}:{PORTS['found']}")
    assert node["configuration_state"]["inventory_vars"]["ansible_port"] == PORTS["found"]
    (key,) = node["configuration_state"]["host_keys"]
    assert key["fingerprint"] == ssh_keys.fingerprint(ssh_keys.parse(machines.host_key("found")))
    assert clusterm.run("commission", [node["inventory_state"]["name"]])["status"] == "Complete"
    assert (
        clusterm.post(
            "/discover/nodes", {"addrs": [ADDRESS], "extra_vars": {"ansible_port": PORTS["found"]}}
        ).status_code
        == 409
    )
