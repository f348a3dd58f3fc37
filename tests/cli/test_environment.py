"""Environments that lack something: closed standard streams, and a user without a name and a home directory."""

import os
import subprocess
from pathlib import Path

import pytest
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm

from clusterm.server.home import ensure_home

CLOSED = "clusterctl: cannot print the result: Bad file descriptor\n"

NAMELESS = ["unshare", "--user", "--map-user=54321", "--map-group=0"]
"""Run a program as a user without an entry in /etc/passwd; in the file system it stays the same user."""


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    return subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, timeout=WAIT_TIMEOUT_S, check=False, env=variables
    )


def nameless(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NAMELESS, *command],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
    )


without_users = pytest.mark.skipif(
    "CI" not in os.environ and subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode != 0,
    reason="the kernel allows no user namespaces",
)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("clusterctl --version >&-", 1, CLOSED),
        ("clusterctl --help >&-", 1, CLOSED),
        ("clusterctl node get >&-", 2, "Missing argument 'NAME'; see: clusterctl node get --help\n"),
        ("clusterctl --version 2>&- >/dev/null", 0, ""),
        ("clusterctl --url http://127.0.0.1:1 nodes get <&- >&- 2>&-", 3, ""),
        ("clusterm --version >&-", 1, "clusterm: cannot print the result: Bad file descriptor\n"),
        ("clusterm --version >/dev/full", 1, "clusterm: cannot print the result: No space left on device\n"),
    ],
)
def test_closed_streams(command: str, code: int, said: str) -> None:
    done = shell(command, HOME="/")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.endswith(said)
    assert done.stderr.count("\n") == bool(said)


def test_a_result_that_cannot_be_printed(clusterm: Clusterm) -> None:
    token = {"CLUSTERM_URL": str(clusterm.http.base_url), "HOME": "/"}
    done = shell("clusterctl status >&-", **token)
    assert (done.returncode, done.stderr) == (1, CLOSED)
    done = shell("clusterctl status | true", **token)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_takes_the_place_of_a_closed_stream(new_clusterm: Clusterm) -> None:
    """Output would be written into the database."""
    clusterm = new_clusterm
    config = clusterm.root / "closed.toml"
    config.write_text(f'[manager]\nstate_dir = "{clusterm.root / "state"}"\naddr = "unix:{clusterm.root / "socket"}"\n')
    script = f"""
    clusterm serve --config {config} <&- >&- 2>&- &
    until clusterm healthcheck --config {config} >/dev/null 2>&1; do sleep 0.1; done
    for stream in 0 1 2; do readlink /proc/$!/fd/$stream; done
    kill $!
    wait $!
    """
    done = shell(script, HOME=str(clusterm.root))
    assert (done.returncode, done.stdout) == (0, "/dev/null\n" * 3), done.stderr


@without_users
def test_clusterctl_without_a_home_directory(clusterm: Clusterm, tmp_path: Path) -> None:
    service = {"CLUSTERM_URL": str(clusterm.http.base_url)}
    done = nameless(BIN / "clusterctl", "status", **service)
    assert (done.returncode, done.stderr) == (0, "")
    done = nameless(BIN / "clusterm", "check")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("clusterm: this user has no home directory for the state: set manager.state_dir")
    assert done.stderr.count("\n") == 1


@without_users
def test_jobs_without_a_home_directory(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.write_playbook(
        "site.yml", "- hosts: all\n  connection: local\n  tasks:\n    - ansible.builtin.raw: id -u\n"
    )
    clusterm.launcher = [*NAMELESS, "env", "--unset=HOME"]
    clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.run("commission", ["node1-a"])
    assert job["status"] == "Complete", job
    assert sorted(file.name for file in clusterm.playbooks.iterdir()) == ["cleanup.yml", "site.yml"], "no folder ~"
    assert (clusterm.state_dir / ".ansible").is_dir()
    assert f"HOME is {clusterm.state_dir}, because" in clusterm.log.read_text()


def test_a_home_directory_that_can_be_written_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_home(tmp_path / "state")
    assert os.environ["HOME"] == str(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "absent"))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path))
    ensure_home(tmp_path / "state")
    assert os.environ["HOME"] == str(tmp_path / "absent")
    monkeypatch.delenv("ANSIBLE_HOME")
    ensure_home(tmp_path / "state")
    assert os.environ["HOME"] == str(tmp_path / "state")
