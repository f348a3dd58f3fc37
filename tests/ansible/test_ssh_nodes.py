"""Jobs on machines that are reached over real ssh: with their facts, failing under them, and rebooting."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.requirements import requires
from support.service import Clusterm, wait_for
from support.ssh import PORT, SshNodes

NETWORK = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
"""Loopback addresses of this process's own, so that tests run side by side."""

SITE = """
- hosts: all
  gather_facts: true
  gather_subset: ["!all", min]
  tasks:
    - name: Write down which node this is
      ansible.builtin.copy:
        dest: "{{ ansible_facts.env.HOME }}/facts"
        content: "{{ node_name }} {{ ansible_facts.env.CLUSTERM_NODE }} {{ ansible_facts.system }}"
        mode: "0644"

    - name: Wait until it may go on
      ansible.builtin.shell: touch ~/waits; until test -e {{ gate }}; do sleep 0.1; done
      ignore_unreachable: "{{ reboots }}"

    - name: Wait until it is back
      ansible.builtin.wait_for_connection:
        sleep: 1
      when: reboots

    - name: Go on
      ansible.builtin.shell: rm ~/waits; touch ~/done
"""
CLEANUP = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Leave nothing
      ansible.builtin.shell: rm -f ~/waits ~/done
"""


def state_of(clusterm: Clusterm, name: str) -> str:
    return str(clusterm.get(f"/info/node/{name}")["inventory_state"]["state"])


def write_playbooks(clusterm: Clusterm) -> None:
    clusterm.write_playbook("site.yml", SITE)
    clusterm.write_playbook("cleanup.yml", CLEANUP)
    variables = {"ansible_python_interpreter": sys.executable, "ansible_port": PORT, "reboots": False}
    clusterm.config["ansible"]["extra_variables"] = json.dumps(variables)


def all_wait(nodes: SshNodes) -> bool:
    return all((home / "waits").exists() for home in nodes.homes.values())


@requires("sshd", "ssh", "ssh-keygen")
@pytest.mark.timeout(300)
def test_nodes_reboot_and_fail_in_a_job_and_between_jobs(new_clusterm: Clusterm, tmp_path: Path) -> None:
    names = ("node1-a", "node2-b", "node3-c")
    nodes = SshNodes(tmp_path / "nodes", {name: f"{NETWORK}.{n}" for n, name in enumerate(names, start=11)})
    try:
        nodes.configure(new_clusterm)
        write_playbooks(new_clusterm)
        new_clusterm.config["monitor"] = {"interval": 0.5, "misses": 2}
        _tell_the_story(new_clusterm.start(), nodes, tmp_path)
        assert "Traceback" not in new_clusterm.log.read_text()
    finally:
        nodes.stop()


def _tell_the_story(clusterm: Clusterm, nodes: SshNodes, tmp_path: Path) -> None:
    names = list(nodes.addresses)
    announced = [{"label": name[:-2], "serial": name[-1], "addr": address} for name, address in nodes.addresses.items()]
    assert clusterm.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": announced}}).is_success

    # One reboots in its job, which waits for it.
    gate = tmp_path / "gate1"
    job = clusterm.begin("commission", names, extra_vars={"gate": str(gate), "reboots": True})
    wait_for(lambda: all_wait(nodes), "all nodes to wait")
    nodes.kill("node2-b")
    wait_for(lambda: state_of(clusterm, "node2-b") == "Disappeared", "the probe to miss the node")
    nodes.start("node2-b")
    wait_for(lambda: state_of(clusterm, "node2-b") == "Discovered", "the probe to find the node")
    gate.touch()
    ended = clusterm.ended(job)
    assert ended["status"] == "Complete", ended["error"]
    assert {clusterm.status_of(name) for name in names} == {"Allocated"}
    for name, home in nodes.homes.items():
        assert (home / "facts").read_text() == f"{name} {name} Linux"
        assert (home / "done").exists()
    kinds = [event["event"] for event in clusterm.get("/info/node/node2-b/events")["items"]]
    assert kinds == ["discovered", "commissioning", "key_trusted", "disappeared", "discovered", "commissioned"]

    # One is switched off in its job, and stays so.
    gate = tmp_path / "gate2"
    job = clusterm.begin("update", names, extra_vars={"gate": str(gate)})
    wait_for(lambda: all_wait(nodes), "all nodes to wait")
    nodes.kill("node2-b")
    gate.touch()
    ended = clusterm.ended(job)
    assert ended["status"] == "Errored"
    assert {failure["node"] for failure in ended["failures"]} == {"node2-b"}
    assert {name: ended["recap"][name]["unreachable"] > 0 for name in names} == {
        "node1-a": False,
        "node2-b": True,
        "node3-c": False,
    }

    # It is not there for the next one until it is switched on again.
    wait_for(lambda: state_of(clusterm, "node2-b") == "Disappeared", "the probe to miss the node")
    refusal = clusterm.post("/commission/nodes", {"nodes": ["node2-b"], "host_group": "service-master"})
    assert refusal.json()["code"] == "nodes_not_discovered"
    nodes.start("node2-b")
    wait_for(lambda: state_of(clusterm, "node2-b") == "Discovered", "the probe to find the node")
    assert clusterm.run("commission", ["node2-b"], extra_vars={"gate": str(gate)})["status"] == "Complete"


# A link that is cut

CUT = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Wait until it may go on
      ansible.builtin.shell: touch ~/waits; until test -e {{ gate }}; do sleep 0.1; done; touch ~/done
"""


@contextmanager
def linked(*names: str) -> Iterator[dict[str, str]]:
    """Make a network namespace for each name, at the other end of a link, and yield their addresses."""
    number = os.getpid() % 10_000
    subnet = f"10.{200 + number // 256}.{number % 256}"
    try:
        addresses = {}
        for position, name in enumerate(names):
            here, there = (f"{subnet}.{4 * position + side}" for side in (1, 2))
            space = _space(name)
            _ip("netns", "add", space)
            _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("address", "add", f"{here}/30", "dev", space)
            _ip("link", "set", space, "up")
            _ip("-netns", space, "address", "add", f"{there}/30", "dev", "eth0")
            _ip("-netns", space, "link", "set", "eth0", "up")
            addresses[name] = there
        yield addresses
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", _space(name)], check=False, capture_output=True)


def cut(name: str) -> None:
    """Take the link away: nobody is told, packets are just no longer answered."""
    _ip("-netns", _space(name), "link", "set", "eth0", "down")


def _space(name: str) -> str:
    return f"{name}-{os.getpid() % 10_000}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@requires("sshd", "ssh", "ssh-keygen", "ip")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces")
def test_a_node_whose_link_is_cut_in_a_job_ends_as_unreachable(new_clusterm: Clusterm, tmp_path: Path) -> None:
    """As ssh is configured by default. Without keepalives this would take until the kernel gives the connection up."""
    gate = tmp_path / "gate"
    with linked("near", "far") as addresses:
        inside = {name: ("ip", "netns", "exec", _space(name)) for name in addresses}
        nodes = SshNodes(tmp_path / "nodes", addresses, inside)
        try:
            nodes.configure(new_clusterm)
            write_playbooks(new_clusterm)
            new_clusterm.write_playbook("site.yml", CUT)
            clusterm = new_clusterm.start()
            job = clusterm.begin("discover", list(addresses.values()), extra_vars={"gate": str(gate)})
            wait_for(lambda: all_wait(nodes), "both nodes to wait")
            cut("far")
            far, near = addresses["far"], addresses["near"]
            wait_for(lambda: f"fatal: [{far}]: UNREACHABLE!" in clusterm.job(job["id"])["logs"][-1], "the end of it")
            gate.touch()
            ended = clusterm.ended(job)
        finally:
            nodes.stop()
    assert ended["status"] == "Errored"
    assert [failure["node"] for failure in ended["failures"]] == [far]
    assert (ended["recap"][near]["ok"], ended["recap"][near]["unreachable"]) == (1, 0)
    assert (nodes.homes["near"] / "done").exists()
