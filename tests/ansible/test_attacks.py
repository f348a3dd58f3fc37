"""Attempts of a client to execute something on the manager with the real ansible, by variables, names and addresses."""

import json
from pathlib import Path
from typing import Any

from support.requirements import requires
from support.service import Clusterm

SITE = """
- hosts: all
  gather_facts: false
  tasks:
    - raw: touch {{ marks }}/local
    - ping:
"""
"""Where this is executed on the manager, a file appears there."""

CLOSED_PORT = json.dumps({"ansible_port": 1})


def variables(marks: Path) -> dict[str, dict[str, Any]]:
    """Return variables of a node, by the name of the file that they would create on the manager."""

    def script(name: str) -> str:
        file = marks.parent / f"program-{name}"
        file.write_text(f"#!/bin/sh\ntouch {marks / name}\nexit 1\n")
        file.chmod(0o755)
        return str(file)

    return {
        **{
            name: {name: f"-o ProxyCommand='touch {marks / name}'"}
            for name in ("ansible_ssh_common_args", "ansible_ssh_args", "ansible_ssh_extra_args")
        },
        "ansible_ssh_executable": {"ansible_ssh_executable": script("ansible_ssh_executable")},
        "local": {"ansible_connection": "local"},
        "shell": {"ansible_connection": "local", "ansible_shell_executable": script("shell")},
        "become": {
            "ansible_connection": "local",
            "ansible_become": True,
            "ansible_become_user": "nobody",
            "ansible_become_exe": script("become"),
        },
    }


def values(marks: Path) -> dict[str, dict[str, Any]]:
    """Return accepted variables with hostile values. No setting allows these."""
    option = f"-oProxyCommand=touch {marks}/value"
    shell = f"$(touch {marks}/value)"
    return {
        "ansible_host": {"ansible_host": option},
        "ansible_ssh_host": {"ansible_ssh_host": shell},
        "ansible_port": {"ansible_port": f"22 {option}"},
        "ansible_user": {"ansible_user": f"{option} x"},
        "ansible_become_user": {"ansible_become_user": shell},
        "ansible_become_method": {"ansible_become_method": f"../../{marks}/value"},
        "ansible_python_interpreter": {"ansible_python_interpreter": f"/bin/touch {marks}/value;"},
        "ansible_remote_tmp": {"ansible_remote_tmp": f"/tmp/{shell}"},
        "ansible_shell_type": {"ansible_shell_type": f"sh; touch {marks}/value"},
    }


def places(marks: Path) -> list[str]:
    """Return hostile names and addresses."""
    command = f"touch {marks}/name"
    return [
        f"-oProxyCommand={command}",
        f"x;{command}",
        f"$({command})",
        f"`{command}`",
        f"x|{command}",
        f"x\n{command}",
        "{{ lookup('pipe', '" + command + "') }}",
        "localhost,",
        "../../etc/passwd",
        "-v",
    ]


def prepare(clusterm: Clusterm, **settings: Any) -> Path:
    """Start a service whose nodes cannot be reached, and return the directory in which files would appear."""
    clusterm.config["ansible"] |= {"extra_variables": CLOSED_PORT, **settings}
    clusterm.write_playbook("site.yml", SITE)
    clusterm.write_playbook("cleanup.yml", SITE)
    clusterm.start()
    marks = clusterm.root / "marks"
    marks.mkdir()
    return marks


@requires("ssh")
def test_no_client_executes_anything_on_the_manager(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    marks = prepare(clusterm)
    clusterm.add_nodes("a-1")
    before = clusterm.dump()
    attacks = {**variables(marks), **values(marks)}
    for name, hostile in attacks.items():
        of_job = {"nodes": ["a-1"], "host_group": "service-master", "extra_vars": hostile}
        for path, body in {
            "/commission/nodes": of_job,
            "/decommission/nodes": of_job,
            "/update/nodes": of_job,
            "/plan/commission/nodes": of_job,
            "/discover/nodes": {"addrs": ["127.0.9.1"], "extra_vars": hostile},
            "/globals": {"extra_vars": hostile},
            "/node/a-1/set": {"vars": hostile},
        }.items():
            response = clusterm.post(path, body)
            assert response.status_code == 422, (name, path, response.text)
    for place in places(marks):
        assert clusterm.post("/discover/nodes", {"addrs": [place]}).is_client_error, place
        assert clusterm.post("/commission/nodes", {"nodes": [place], "host_group": place}).is_client_error, place
    assert clusterm.dump() == before

    imported = [
        {"label": "imported", "serial": str(number), "addr": f"127.0.8.{number}", "vars": hostile}
        for number, hostile in enumerate(attacks.values(), start=1)
    ]
    for number, place in enumerate(places(marks), start=1):
        imported.append({"label": place, "serial": "i", "addr": f"127.0.7.{number}"})
        imported.append({"label": "address", "serial": str(number), "addr": place})
        for node in ({"label": place, "serial": "m", "addr": f"127.0.6.{number}"}, {"label": "m", "addr": place}):
            clusterm.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": [node]}})
    assert clusterm.post("/import/nodes", {"nodes": imported}).is_success
    names = list(clusterm.get("/info/nodes"))
    assert len(names) > len(attacks), "names are made fit"
    job = clusterm.run("commission", names, extra_vars={"marks": str(marks)})
    assert job["status"] == "Errored"
    assert {recap["unreachable"] for recap in job["recap"].values()} == {2}, "site.yml and cleanup.yml have tried"
    assert list(marks.iterdir()) == []


@requires("ssh")
def test_a_site_that_allows_every_variable_lets_operators_execute_anything(new_clusterm: Clusterm) -> None:
    """The counterpart, which shows that these attacks are real."""
    clusterm = new_clusterm
    marks = prepare(clusterm, request_vars_allowed=["ansible_*"])
    hostile = variables(marks)
    clusterm.add_nodes(*(f"a-{number}" for number in range(len(hostile))))
    for number, of_node in enumerate(hostile.values()):
        assert clusterm.post(f"/node/a-{number}/set", {"vars": of_node}).is_success
    clusterm.run("commission", [f"a-{number}" for number in range(len(hostile))], extra_vars={"marks": str(marks)})
    assert sorted(file.name for file in marks.iterdir()) == sorted(hostile)
    for name, refused in values(marks).items():
        assert clusterm.post("/globals", {"extra_vars": refused}).status_code == 422, name
