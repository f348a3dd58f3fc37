"""The demo: a real service and real playbooks on three nodes that are directories on this machine."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from clusterm.ansible.command import clean_environment
from clusterm.common.paths import TOKEN_FILE
from clusterm.errors import ClustermError, StartupError

_PLAYBOOKS: Final = Path(__file__).parent / "playbooks"
_NODES: Final = {"node1-a": "127.0.0.11", "node2-b": "127.0.0.12", "node3-c": "127.0.0.13"}
_LISTENS: Final = "clusterm listens on "
_START_TIMEOUT_S: Final = 60.0  # seconds


def demo(*, keep: bool) -> None:
    """Run the demo, and clean up after it.

    Args:
        keep: leave the service running and its directory in place.

    Raises:
        ClustermError: something did not go as it should.
    """
    if shutil.which("clusterctl", path=_path()) is None:
        raise StartupError("clusterctl was not found beside clusterm: install the whole distribution")
    root = Path(tempfile.mkdtemp(prefix="clusterm-demo-"))
    service = None
    done = False
    try:
        service = _start_service(root)
        url = _await_url(root, service)
        _say(f"A clusterm is running at {url}. Its nodes are directories in {root / 'nodes'}.")
        _tell(url, root)
        done = True
    finally:
        if not (keep and done):
            if service is not None:
                _stop(service, root)
            shutil.rmtree(root)
    if keep and service is not None:
        service.returncode = 0  # it outlives us on purpose
        _say(
            f"The service goes on. Reach it with:\n\n    export CLUSTERM_URL={url} CLUSTERM_TOKEN={_token(root)}\n"
            "    clusterctl timeline\n\n"
            f"and read its API at {url}/docs. To end it and remove its files:\n\n"
            f"    kill {service.pid} && rm -r {root}"
        )


def _tell(url: str, root: Path) -> None:
    """Run the story: three nodes, of which the second fails at first."""
    for name, address in _NODES.items():
        machine = root / "nodes" / name / "dev"
        machine.mkdir(parents=True)
        if name != "node2-b":
            (machine / "sdb").touch()
        label, serial = name.split("-")
        _run(url, root, f"clusterctl node add {label} --serial {serial} --addr {address}")
    _say("The first node becomes the master.")
    _run(url, root, "clusterctl node commission node1-a --host-group service-master --wait")
    _say("The second one is to be a worker, but somebody forgot its data disk.")
    _run(url, root, "clusterctl node commission node2-b --host-group service-worker --wait", fails=True)
    _say("It says what is missing. Take the node out, attach a disk, and try again.")
    _run(url, root, "clusterctl node decommission node2-b --wait")
    (root / "nodes" / "node2-b" / "dev" / "sdb").touch()
    _run(url, root, "clusterctl node commission node2-b --host-group service-worker --wait")
    _run(url, root, "clusterctl node commission node3-c --host-group service-worker --wait")
    _say("What did the last job do?")
    _run(url, root, "clusterctl job get last")
    _say("And what happened in this cluster, in which order?")
    _run(url, root, "clusterctl timeline")


def _start_service(root: Path) -> subprocess.Popen[bytes]:
    config = {
        "manager": {"addr": "127.0.0.1:0", "state_dir": str(root / "state")},
        "ansible": {
            "playbook_location": str(_PLAYBOOKS),
            "extra_variables": json.dumps(
                {"demo_root": str(root / "nodes"), "ansible_python_interpreter": sys.executable}
            ),
        },
        "monitor": {"probe": False},  # nothing listens where they are said to be
    }
    (root / "clusterm.json").write_text(json.dumps(config))
    with _service_log(root).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "clusterm", "serve", "--config", str(root / "clusterm.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_environment(),
            start_new_session=True,
        )


def _await_url(root: Path, service: subprocess.Popen[bytes]) -> str:
    """Return the address that the service says it listens on."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        said = _service_log(root).read_text()
        if _LISTENS in said:
            return said.partition(_LISTENS)[2].split()[0]
        if service.poll() is not None:
            break
        time.sleep(0.05)
    raise StartupError(f"the service of the demo did not start: {said.strip() or 'it said nothing'}")


def _run(url: str, root: Path, command: str, *, fails: bool = False) -> None:
    """Run a command as a person would type it, and check that it ends as the story goes."""
    print(f"\n$ {command}", flush=True)  # noqa: T201
    environment = {**clean_environment(), "CLUSTERM_URL": url, "CLUSTERM_TOKEN": _token(root), "PATH": _path()}
    status = subprocess.run(shlex.split(command), env=environment, check=False).returncode
    if (status != 0) is not fails:
        raise ClustermError(f"the demo went wrong: {command!r} ended with exit status {status}")


def _stop(service: subprocess.Popen[bytes], root: Path) -> None:
    """Stop the service and, where the demo was broken off, what runs for it."""
    service.send_signal(signal.SIGTERM)
    service.wait()
    for process in psutil.process_iter(["cmdline"]):
        if any(str(root / "state") in argument for argument in process.info["cmdline"] or ()):
            process.kill()


def _token(root: Path) -> str:
    """Return the token that the service has made for this host."""
    return (root / "state" / TOKEN_FILE).read_text().strip()


def _service_log(root: Path) -> Path:
    return root / "service.log"


def _path() -> str:
    """Return PATH with the directory of this Python's programs in front."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)  # noqa: T201
