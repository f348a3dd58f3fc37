"""`clusterm init`: a configuration that is read, and playbooks that run on real machines."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.requirements import requires
from support.service import BIN, Clusterm
from support.ssh import PORT, SshNodes

from clusterm.settings import Settings, load

NETWORK = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"


def init(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "clusterm"), "init", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[SshNodes]:
    running = SshNodes(tmp_path / "nodes", {"a-1": f"{NETWORK}.11", "b-2": f"{NETWORK}.12"})
    yield running
    running.stop()


def test_the_configuration_has_every_setting(tmp_path: Path) -> None:
    done = init(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        f"wrote {tmp_path}/{name}" for name in ("clusterm.toml", "playbooks/site.yml", "playbooks/cleanup.yml")
    ]
    file = tmp_path / "clusterm.toml"
    written = load(str(file))
    assert written.ansible.playbook_dir == tmp_path / "playbooks"
    assert written == load().model_copy(update={"ansible": written.ansible})

    uncommented = re.sub(r"^# (\w+ = .+)$", r"\1", file.read_text(), flags=re.MULTILINE)
    defaults = Settings(**tomllib.loads(uncommented))
    assert defaults == written, "what the comments say is not what the defaults are"
    mentioned = {section: set(values) for section, values in tomllib.loads(uncommented).items()}
    left = [f"# {key} =" for name, field in Settings.model_fields.items() for key in keys(field) - mentioned[name]]
    assert all(line in file.read_text().splitlines() for line in left)


def keys(section: object) -> set[str]:
    """Return the keys of a section; none of one that has named parts instead."""
    return set(getattr(section.annotation, "model_fields", ()))  # type: ignore[attr-defined]


def test_nothing_is_overwritten_or_written_in_part(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "cleanup.yml").write_text("mine")
    refused = init(tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"clusterm: there is already {tmp_path}/playbooks/cleanup.yml; nothing was written\n"
    assert [file.name for file in tmp_path.rglob("*")] == ["playbooks", "cleanup.yml"]
    (tmp_path / "file").touch()
    refused = init(tmp_path / "file" / "below")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("clusterm: cannot write ")
    assert "nothing was written" in refused.stderr


def test_the_files_of_systemd(tmp_path: Path) -> None:
    done = init("--systemd", tmp_path)
    assert done.returncode == 0, done.stderr
    etc = tmp_path / "etc"
    written = {str(file.relative_to(etc)) for file in etc.rglob("*") if file.is_file()}
    assert written == {
        "clusterm/clusterm.toml",
        "clusterm/playbooks/site.yml",
        "clusterm/playbooks/cleanup.yml",
        "systemd/system/clusterm.service",
        "sysusers.d/clusterm.conf",
        "tmpfiles.d/clusterm.conf",
    }
    settings = load(str(etc / "clusterm" / "clusterm.toml"))
    assert (str(settings.manager.state_dir), settings.ansible.playbook_location) == (
        "/var/lib/clusterm",
        "/etc/clusterm/playbooks",
    )
    unit = (etc / "systemd" / "system" / "clusterm.service").read_text()
    assert "ExecStart=/usr/local/bin/clusterm serve --config /etc/clusterm/clusterm.toml\n" in unit


@requires("sshd", "ssh", "ssh-keygen")
@pytest.mark.timeout(300)
def test_the_playbooks_run_as_they_are(new_clusterm: Clusterm, nodes: SshNodes, tmp_path: Path) -> None:
    assert init(tmp_path / "site").returncode == 0
    nodes.configure(new_clusterm)  # writes an ansible.cfg for these machines
    (new_clusterm.playbooks / "ansible.cfg").rename(tmp_path / "site" / "playbooks" / "ansible.cfg")
    variables = {"ansible_python_interpreter": sys.executable, "ansible_port": PORT}
    new_clusterm.config["ansible"] |= {
        "playbook_location": str(tmp_path / "site" / "playbooks"),
        "extra_variables": json.dumps(variables),
        "syntax_check": True,
    }
    clusterm = new_clusterm.start()
    for name, address in nodes.addresses.items():
        label, _, serial = name.partition("-")
        node = {"label": label, "serial": serial, "addr": address}
        assert clusterm.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": [node]}}).is_success
    records = [home / ".cluster-node" for home in nodes.homes.values()]
    for _ in range(2):
        job = clusterm.run("commission", list(nodes.addresses))
        assert job["status"] == "Complete", job["logs"]
        assert [record.read_text() for record in records] == [f"{name} is a service-master\n" for name in nodes.homes]
        job = clusterm.run("update", list(nodes.addresses))
        assert job["status"] == "Complete", job["logs"]
        job = clusterm.run("decommission", list(nodes.addresses))
        assert job["status"] == "Complete", job["logs"]
        assert not any(record.exists() for record in records)
