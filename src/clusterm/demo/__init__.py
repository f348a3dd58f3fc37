"""Run the demo: a real service and real playbooks on three nodes that are directories on this machine."""

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
        ClustermError: the service did not start, or a command ended unexpectedly.
    """
    if shutil.which("clusterctl", path=_path()) is None:
        raise StartupError("clusterctl was not found beside clusterm: install the whole distribution")
    root = Path(tempfile.mkdtemp(prefix="clusterm-demo-"))
    service = None
    done = False
    try:
        service = _start_service(root)
        url = _await_url(root, service)
        _print(f"A clusterm is running at {url}. Its nodes are directories in {root / 'nodes'}.")
        _run_scenario(url, root)
        done = True
    finally:
        if not (keep and done):
            if service is not None:
                _stop(service, root)
            shutil.rmtree(root)
    if keep and service is not None:
        service.returncode = 0  # the service keeps running after this process
        _print(
            "The service keeps running. Connect to it with:\n\n"
            f"    export CLUSTERM_URL={url} CLUSTERM_TOKEN={_token(root)}\n"
            "    clusterctl timeline\n"
            "    clusterctl ui\n\n"
            f"The dashboard is at {url}/ui/, where the token signs you in, and the API at {url}/docs. To stop the "
            "service and remove its files:\n\n"
            f"    kill {service.pid} && rm -r {root}"
        )


def _run_scenario(url: str, root: Path) -> None:
    """Run the demo's commands on three nodes; the second node fails at first."""
    for name, address in _NODES.items():
        machine = root / "nodes" / name / "dev"
        machine.mkdir(parents=True)
        if name != "node2-b":
            (machine / "sdb").touch()
        label, serial = name.split("-")
        _run(url, root, f"clusterctl node add {label} --serial {serial} --addr {address}")
    _print("The first node becomes the master.")
    _run(url, root, "clusterctl node commission node1-a --host-group service-master --wait")
    _print("The second node is to become a worker, but its data disk is missing.")
    _run(url, root, "clusterctl node commission node2-b --host-group service-worker --wait", fails=True)
    _print("The error names the missing disk. Decommission the node, attach a disk, and retry.")
    _run(url, root, "clusterctl node decommission node2-b --wait")
    (root / "nodes" / "node2-b" / "dev" / "sdb").touch()
    _run(url, root, "clusterctl node commission node2-b --host-group service-worker --wait")
    _run(url, root, "clusterctl node commission node3-c --host-group service-worker --wait")
    _print("Show the last job.")
    _run(url, root, "clusterctl job get last")
    _print("Show the timeline of the cluster.")
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
        "monitor": {"probe": False},  # nothing listens at the nodes' addresses
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
    """Return the URL that the service prints when it listens."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        output = _service_log(root).read_text()
        if _LISTENS in output:
            return output.partition(_LISTENS)[2].split()[0]
        if service.poll() is not None:
            break
        time.sleep(0.05)
    raise StartupError(f"the service of the demo did not start: {output.strip() or 'it printed nothing'}")


def _run(url: str, root: Path, command: str, *, fails: bool = False) -> None:
    """Print and run a command, and check that it succeeds or fails as expected."""
    print(f"\n$ {command}", flush=True)  # noqa: T201
    environment = {**clean_environment(), "CLUSTERM_URL": url, "CLUSTERM_TOKEN": _token(root), "PATH": _path()}
    status = subprocess.run(shlex.split(command), env=environment, check=False).returncode
    if (status != 0) is not fails:
        raise ClustermError(f"the demo failed: {command!r} ended with exit status {status}")


def _stop(service: subprocess.Popen[bytes], root: Path) -> None:
    """Stop the service and, if the demo was interrupted, its job processes."""
    service.send_signal(signal.SIGTERM)
    service.wait()
    for process in psutil.process_iter(["cmdline"]):
        if any(str(root / "state") in argument for argument in process.info["cmdline"] or ()):
            process.kill()


def _token(root: Path) -> str:
    """Return the token that the service has created for local clients."""
    return (root / "state" / TOKEN_FILE).read_text().strip()


def _service_log(root: Path) -> Path:
    return root / "service.log"


def _path() -> str:
    """Return PATH with the directory of this Python's programs prepended."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _print(text: str) -> None:
    print(f"\n{text}", flush=True)  # noqa: T201
