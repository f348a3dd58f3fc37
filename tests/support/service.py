"""Runs the service as a process on a socket, with playbooks and a configuration of the test."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from clusterm.executor import wrapper
from support.databases import empty_database
from support.programs import PASSING

BIN = Path(sys.executable).parent
WAIT_TIMEOUT_S = 60.0
"""Seconds after which a wait fails."""

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """Call `look` until it returns a true value, and return that value.

    Args:
        look: called every 20 ms.
        what: what is waited for, for the message of a failure.

    Raises:
        AssertionError: `look` returned no true value within `WAIT_TIMEOUT_S`.
    """
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.02)
    return found


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that is dead may stay a zombie until its parent or init reaps it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, and wait until they are dead."""
    killed = list(processes)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for(lambda: not any(map(is_alive, killed)), "the end of the killed processes")


class Clusterm:
    """A service: its directory, its process, and its clients.

    Args:
        root: the directory of the service, which does not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.playbooks = root / "playbooks"
        self.state_dir = root / "state"
        self.database = self.state_dir / "clusterm.db"
        self.log = root / "service.log"
        self.config: dict[str, dict[str, Any]] = {
            "manager": {"addr": "127.0.0.1:0", "state_dir": str(self.state_dir), "auth": "none"},
            "ansible": {
                "playbook_location": str(self.playbooks),
                "syntax_check": False,  # which would take a second of each job
                "extra_variables": json.dumps({"ansible_python_interpreter": sys.executable}),
            },
            "monitor": {"probe": False},  # nothing listens where most nodes here are said to be
        }
        self.options: list[str] = []
        """Command line options of `clusterm serve`."""
        self.finds_database = True
        """Whether the first start finds an empty database; else the service makes it, which takes longer."""
        self.launcher: list[str] = []
        """Program and arguments that run `clusterm serve` in another environment."""
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client()
        self._reader: sqlite3.Connection | None = None
        self._dumped_version: object = None
        self._dumped: list[str] = []
        self.playbooks.mkdir(parents=True)
        self.write_playbook("site.yml", PASSING)
        self.write_playbook("cleanup.yml", PASSING)

    # Playbooks and programs

    def write_playbook(self, name: str, text: str) -> Path:
        """Write a playbook, or any other file beside the playbooks."""
        file = self.playbooks / name
        file.write_text(textwrap.dedent(text))
        return file

    def use_program(self, text: str) -> None:
        """Write a Python program that runs in place of ansible-playbook, and configure it.

        The path of the playbook is the last argument of the program. A service that runs already uses the new program
        for its next job if it was started with a program.
        """
        program = self.root / "program"
        # The readiness check and the syntax check run it, too.
        version = "import sys\nif {'--version', '--syntax-check'}.intersection(sys.argv): sys.exit()\n"
        program.write_text(f"#!{sys.executable}\n{version}{textwrap.dedent(text)}")
        program.chmod(0o755)
        self.config["ansible"]["executable"] = str(program)

    # The process

    def start(self, *, fails: bool = False) -> "Clusterm":
        """Start the service, and wait until it listens.

        Args:
            fails: whether the service is expected to exit; then wait for its exit instead.
        """
        if self.finds_database and not (fails or self.launcher or self.state_dir.exists()):
            self.state_dir.mkdir(mode=0o700, parents=True)
            shutil.copy(empty_database(), self.database)
        config = self._write_config()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERM_")}
        self.log.write_bytes(b"")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.launcher, BIN / "clusterm", "serve", "--config", config, *self.options],
                stdout=log,
                stderr=log,
                env=environment,
            )
        if fails:
            self.process.wait(WAIT_TIMEOUT_S)
            return self
        self.http.base_url = wait_for(self._url, "the service to listen")
        return self

    def kill(self) -> None:
        """Kill the service."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close_reader()

    def stop(self) -> int:
        """Send SIGTERM to the service, and return its exit status."""
        assert self.process is not None
        self._close_reader()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_TIMEOUT_S)

    def reload(self) -> "Clusterm":
        """Let the running service read its configuration again."""
        assert self.process is not None
        mark = "the configuration was read again"
        before = self.log.read_text().count(mark)
        self._write_config()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log.read_text().count(mark) > before, "the service to read its configuration")
        return self

    def restart(self) -> None:
        """Kill the service and start it again."""
        self.kill()
        self.start()

    def processes(self) -> list[psutil.Process]:
        """Return all processes of jobs: executors, wrappers, and ansible or the program in place of it."""
        return [process for process, _ in self._commands()]

    def executors(self) -> list[psutil.Process]:
        """Return the running executors."""
        return [process for process, command in self._commands() if "clusterm.executor" in command]

    def wrappers(self) -> list[psutil.Process]:
        """Return the running wrappers."""
        return [process for process, command in self._commands() if wrapper.__file__ in command]

    def programs(self) -> list[psutil.Process]:
        """Return the running processes of ansible, or of the program in place of it."""
        others = {wrapper.__file__, "clusterm.executor"}
        return [process for process, command in self._commands() if others.isdisjoint(command)]

    def destroy(self) -> None:
        """Kill the service and all processes of its jobs, and wait until they are dead.

        It does not matter whether they are reaped: the init process of a container may take seconds for that.
        """
        if self.process is not None and self.process.poll() is None:
            self.kill()
        while living := self._commands():
            living.sort(key=lambda each: "clusterm.executor" not in each[1])  # first those that start others
            kill_all(process for process, _ in living)
        self._close_reader()
        self.http.close()

    # Requests

    def get(self, path: str, **parameters: Any) -> Any:
        """GET a path that must be answered with 200, and return the body."""
        response = self.http.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST JSON."""
        return self.http.post(path, json=body, **options)

    def add_nodes(self, *names: str) -> None:
        """Announce nodes, named label-serial, at the next free addresses from 127.0.1.1 on."""
        known = len(self.get("/info/nodes"))
        nodes = [
            {"label": name.rpartition("-")[0], "serial": name.rpartition("-")[2], "addr": f"127.0.1.{known + number}"}
            for number, name in enumerate(names, start=1)
        ]
        response = self.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": nodes}})
        assert response.status_code == 200, response.text

    def begin(self, action: str, nodes: Sequence[str], **members: Any) -> dict[str, Any]:
        """Start a job that must be accepted, and return the job."""
        body = {"addrs" if action == "discover" else "nodes": list(nodes), **members}
        if action == "commission":
            body.setdefault("host_group", "service-master")
        response = self.post(f"/{action}/nodes", body)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def job(self, label: int | str = "last", **parameters: Any) -> dict[str, Any]:
        """Return a job."""
        return dict(self.get(f"/info/job/{label}", **parameters))

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """Wait until a job has ended, and return the job with its log.

        To follow its log costs the service less than to be asked again and again.
        """
        with contextlib.suppress(httpx.TransportError):  # the service may be killed meanwhile
            path, selection = f"/info/logs/{job['id']}", {"follow": True, "tail": 0}
            self.http.get(path, params=selection, timeout=WAIT_TIMEOUT_S)

        def look() -> bool:
            status = self.job(job["id"], logs=False)["status"]
            return status in {"Complete", "Errored", "Cancelled"}

        wait_for(look, f"the end of job {job['id']}")
        return self.job(job["id"])

    def run(self, action: str, nodes: Sequence[str], **members: Any) -> dict[str, Any]:
        """Run a job to its end, and return the job with its log."""
        return self.ended(self.begin(action, nodes, **members))

    def program_input(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return what a job passed to the program `SCRIPTED`, including secrets."""
        return dict(json.loads((self.playbooks / f"given-{job['id']}.json").read_bytes()))

    def status_of(self, name: str) -> str:
        """Return the lifecycle status of a node."""
        return str(self.get(f"/info/node/{name}")["inventory_state"]["status"])

    def timeline(self) -> list[str]:
        """Return the events of jobs in the timeline, as text."""
        events = self.get("/info/jobs/timeline", limit=1000)["items"]
        return [f"{event['node']} {event['event']} {event['result']}" for event in events if event["result"]]

    def dump(self) -> list[str]:
        """Return the whole database as SQL, except the log lines: a rejected request must not change it.

        The last dump is returned again unless another connection has committed a change since.
        """
        if self._reader is None:
            self._reader = sqlite3.connect(self.database, check_same_thread=False)
        version = self._reader.execute("PRAGMA data_version").fetchone()
        if version != self._dumped_version:
            lines = self._reader.iterdump()
            self._dumped = [line for line in lines if not line.startswith('INSERT INTO "log_lines"')]
            self._dumped_version = version
        return self._dumped

    def _write_config(self) -> Path:
        file = self.root / "clusterm.json"
        file.write_text(json.dumps(self.config))
        return file

    def _close_reader(self) -> None:
        """Close the connection of `dump`, so that the last process that closes the database finds no other."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._dumped_version = None, None

    def clusterctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run clusterctl."""
        environment = {**os.environ, "CLUSTERM_URL": str(self.http.base_url)}
        return subprocess.run(
            [BIN / "clusterctl", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=WAIT_TIMEOUT_S,
            check=False,
            **options,
        )

    def _commands(self) -> list[tuple[psutil.Process, list[str]]]:
        """Return the processes of jobs, with their command lines."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):  # it has just ended
                command = process.cmdline()
                if any(str(self.state_dir / "jobs") in argument for argument in command):
                    found.append((process, command))
        return found

    def _url(self) -> str | None:
        said = self.log.read_text()
        assert self.process is not None
        assert self.process.poll() is None, said
        mark = "clusterm listens on "
        return said.partition(mark)[2].split()[0] if mark in said else None
