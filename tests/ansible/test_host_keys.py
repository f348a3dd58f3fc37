"""Host keys: trusted at first use, refused when they change, forgotten, named; and who logs in, and as whom."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.host_keys import KEY, OTHER
from support.programs import SCRIPTED
from support.requirements import path_of, requires
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for
from support.ssh import PORT, SshNodes

from clusterm.ansible import ssh
from clusterm.common import ssh_keys
from clusterm.settings import AnsibleSettings

NETWORK = f"127.{192 + os.getpid() % 60}.{os.getpid() // 60 % 256}"
"""Loopback addresses of this process's own, so that tests run side by side."""

SITE = "- hosts: all\n  gather_facts: false\n  tasks: [{raw: echo >> ~/visits}]\n"

UNSAFE = """
[defaults]
host_key_checking = false

[ssh_connection]
ssh_args = -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlMaster=auto -o ControlPersist=60s
"""
"""What stands in many an ansible.cfg. A connection that is kept open must not take the check away, either."""


@pytest.fixture
def machines(tmp_path: Path, new_clusterm: Clusterm) -> Iterator[SshNodes]:
    """Two machines, and a clusterm that is not started and can log in to them."""
    found = SshNodes(tmp_path / "nodes", {name: f"{NETWORK}.{n}" for n, name in enumerate(("Node1-a", "node2-b"), 1)})
    try:
        found.configure(new_clusterm)
        new_clusterm.write_playbook("site.yml", SITE)
        new_clusterm.write_playbook("cleanup.yml", SITE)
        variables = {"ansible_python_interpreter": sys.executable, "ansible_port": PORT}
        new_clusterm.config["ansible"]["extra_variables"] = json.dumps(variables)
        yield found
    finally:
        found.stop()


def announce(clusterm: Clusterm, machines: SshNodes) -> None:
    told = [{"label": name[:-2], "serial": name[-1], "addr": addr} for name, addr in machines.addresses.items()]
    assert clusterm.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": told}}).is_success


def described(machines: SshNodes, name: str) -> dict[str, str]:
    return {"type": "ED25519", "fingerprint": ssh_keys.fingerprint(ssh_keys.parse(machines.host_key(name)))}


def key_events(clusterm: Clusterm, name: str) -> list[tuple[Any, ...]]:
    found = clusterm.get(f"/info/node/{name}/events")["items"]
    return [(e["event"], e["cause"], e["job"], e["changes"]) for e in found if e["event"].startswith("key_")]


@requires("sshd", "ssh", "ssh-keygen")
def test_a_key_is_trusted_once_and_a_changed_one_refused_until_it_is_forgotten(
    new_clusterm: Clusterm, machines: SshNodes
) -> None:
    settings = (new_clusterm.playbooks / "ansible.cfg").read_text().removeprefix("[ssh_connection]\n")
    new_clusterm.write_playbook("ansible.cfg", UNSAFE + settings)
    clusterm = new_clusterm.start()
    announce(clusterm, machines)
    both = list(machines.addresses)

    first = clusterm.run("commission", both)
    assert first["status"] == "Complete", first["error"]
    old = described(machines, "node2-b")
    text = f"ED25519 {old['fingerprint']}"
    for name in both:
        assert clusterm.get(f"/info/node/{name}")["configuration_state"]["host_keys"] == [old]
        assert clusterm.get("/info/nodes")[name]["configuration_state"]["host_keys"] == [old]
        assert key_events(clusterm, name) == [("key_trusted", "job", first["id"], {"host_keys": [None, text]})]
    assert text in clusterm.clusterctl("node", "get", "node2-b").stdout

    machines.reinstall("node2-b")
    refused = clusterm.run("update", both)
    new = described(machines, "node2-b")
    changed = (
        f"the host key of node2-b has changed: it was {text} and is ED25519 {new['fingerprint']}. If the machine was "
        "reinstalled, run: clusterctl node forget-key node2-b. If not, another machine answers in its place"
    )
    assert refused["status"] == "Errored"
    assert {failure["node"]: failure["message"] for failure in refused["failures"]} == {"node2-b": changed}
    assert changed in refused["error"]
    assert changed in clusterm.clusterctl("timeline").stdout
    visits = {name: len((machines.homes[name] / "visits").read_text()) for name in both}
    assert visits == {"Node1-a": 3, "node2-b": 1}

    forgotten = clusterm.clusterctl("node", "forget-key", "node2-b")
    assert (forgotten.returncode, text in forgotten.stdout) == (0, True)
    assert clusterm.ended(clusterm.post("/job/last/retry").json())["status"] == "Complete"
    assert [event[0] for event in key_events(clusterm, "node2-b")] == ["key_trusted", "key_forgotten", "key_trusted"]
    assert clusterm.get("/info/node/node2-b")["configuration_state"]["host_keys"] == [new]
    assert "no host key of node2-b" not in clusterm.clusterctl("node", "forget-key", "node2-b").stderr
    assert "no host key of node2-b was known" in clusterm.clusterctl("node", "forget-key", "node2-b").stderr

    # A strict clusterm wants to be told the key; one that does not check takes any.
    assert clusterm.post("/config", {"config": {"ansible": {"host_key_checking": "strict"}}}).is_success
    strange = clusterm.run("update", ["node2-b"])
    assert "the host key of node2-b is not known, and ansible.host_key_checking is strict" in strange["error"]
    scanned = f"# {NETWORK}.2 SSH-2.0\n[{NETWORK}.2]:{PORT} {machines.host_key('node2-b')}"
    trusted = clusterm.clusterctl("node", "trust", "node2-b", "@-", "--json", input=scanned)
    assert json.loads(trusted.stdout) == {"name": "node2-b", "host_keys": [new], "forgotten": []}
    assert clusterm.run("commission", ["node2-b"])["status"] == "Complete"
    assert clusterm.post("/config", {"config": {"ansible": {"host_key_checking": False}}}).is_success
    machines.reinstall("node2-b")
    assert clusterm.run("update", ["node2-b"])["status"] == "Complete"
    assert clusterm.get("/info/node/node2-b")["configuration_state"]["host_keys"] == [new]


@requires("sshd", "ssh", "ssh-keygen")
def test_a_key_is_trusted_when_the_job_connects_first(new_clusterm: Clusterm, machines: SshNodes) -> None:
    new_clusterm.write_playbook(
        "site.yml", f"{SITE}- hosts: all\n  gather_facts: false\n  tasks: [{{raw: sleep 300}}]\n"
    )
    clusterm = new_clusterm.start()
    announce(clusterm, machines)
    job = clusterm.post("/commission/nodes", {"nodes": ["node2-b"], "host_group": "service-master"}).json()
    wait_for(lambda: key_events(clusterm, "node2-b"), "the key")
    assert clusterm.get(f"/info/job/{job['id']}")["status"] == "Running"
    assert clusterm.post("/job/active/cancel").is_success
    assert clusterm.ended(job)["status"] == "Cancelled"
    assert [event[0] for event in key_events(clusterm, "node2-b")] == ["key_trusted"]


@requires("sshd", "ssh", "ssh-keygen", "ssh-agent", "ssh-add")
def test_a_discovered_machine_is_known_again_and_the_key_may_be_in_an_agent(
    new_clusterm: Clusterm, machines: SshNodes, tmp_path: Path
) -> None:
    socket = Path(f"/tmp/clusterm-agent-{os.getpid()}")
    agent = subprocess.Popen([path_of("ssh-agent"), "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        wait_for(socket.exists, "the agent")
        key = machines.user_key.rename(tmp_path / "key")
        environment = os.environ | {"SSH_AUTH_SOCK": str(socket)}
        subprocess.run([path_of("ssh-add"), "-q", key], env=environment, check=True, timeout=WAIT_TIMEOUT_S)
        key.unlink()
        ansible = new_clusterm.config["ansible"]
        ansible |= {"priv_key_file": "", "ssh_agent": str(socket), "ssh_args": "-o ConnectTimeout=10"}
        clusterm = new_clusterm.start()
        address = machines.addresses["node2-b"]
        discovered = clusterm.run("discover", [address])
    finally:
        agent.terminate()
        agent.wait(WAIT_TIMEOUT_S)
        socket.unlink(missing_ok=True)
    assert discovered["status"] == "Complete", discovered["error"]
    node = clusterm.get(f"/info/node/{address}")
    name = node["inventory_state"]["name"]
    assert node["configuration_state"]["host_keys"] == [described(machines, "node2-b")]
    assert [event["event"] for event in node["events"]] == ["key_trusted", "discovered"]
    assert key_events(clusterm, name)[0][1:3] == ("job", discovered["id"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user without a password")
@requires("su")
def test_tasks_become_another_user(new_clusterm: Clusterm) -> None:
    password = new_clusterm.root / "password"
    password.write_text("canary\n")
    become = {"become": True, "become_user": "nobody", "become_method": "su", "become_password_file": str(password)}
    new_clusterm.config["ansible"] |= become
    new_clusterm.write_playbook("ansible.cfg", "[su_become_plugin]\nflags = -s /bin/sh\n")
    new_clusterm.write_playbook(
        "site.yml", "- {hosts: all, connection: local, gather_facts: false, tasks: [{raw: test $(id -un) = nobody}]}"
    )
    clusterm = new_clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.run("commission", ["node1-a"])
    assert job["status"] == "Complete", job["error"]
    clusterm.use_program(SCRIPTED)
    program = {"executable": new_clusterm.config["ansible"]["executable"]}
    assert clusterm.post("/config", {"config": {"ansible": program}}).is_success
    given = json.loads(clusterm.run("update", ["node1-a"])["logs"][0])["arguments"]
    wanted = ["--become", "--become-user=nobody", "--become-method=su", f"--become-password-file={password}"]
    assert set(wanted) <= set(given)
    assert "canary" not in str(given)


# What ssh is told


@requires("ssh")
def test_each_host_has_options_of_its_own_in_front_of_all_others(tmp_path: Path) -> None:
    hosts: dict[str, Any] = {
        "Web-1": {"ansible_host": "a"},
        "web-2": {"ansible_host": "b", "ansible_ssh_args": "-o StrictHostKeyChecking=no"},
    }
    inventory = {"all": {"vars": {}, "children": {"any": {"hosts": hosts}}}}
    directory = tmp_path / "a b%h"
    ssh.connect(inventory, AnsibleSettings(), {"Web-1": [KEY]}, directory, "-C", None)
    first, second = hosts["Web-1"]["ansible_ssh_args"], hosts["web-2"]["ansible_ssh_args"]
    assert first.startswith("-o HostKeyAlias=+web-1 -o StrictHostKeyChecking=yes ")
    assert first.endswith(" -C")
    assert second.startswith("-o HostKeyAlias=web-2 -o StrictHostKeyChecking=accept-new ")
    assert second.endswith(" -o StrictHostKeyChecking=no")
    directory.mkdir()
    (directory / "known_hosts").write_text(ssh.known_hosts({"Web-1": [KEY]}))
    command = [path_of("ssh"), "-G", *shlex.split(first), "localhost"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"userknownhostsfile {directory}/learned_hosts {directory}/known_hosts" in shown
    assert len({host["ansible_control_path"] for host in hosts.values()}) == len(hosts)
    assert ssh.learned(directory, ["Web-1"]) == {}
    (directory / "learned_hosts").write_text(f"+web-1 {OTHER}\nweb-1 {KEY}\n+web-1 ssh-ed25519 AAAA")
    assert ssh.learned(directory, ["Web-1"]) == {"Web-1": [OTHER]}
