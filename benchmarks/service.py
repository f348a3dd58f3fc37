"""A clusterm to measure: its directory, its process, its ten nodes, and jobs on them."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from clusterm.enums import ENDED, JobStatus

NODES: Final = [f"node{number}-bench" for number in range(1, 11)]
LONGEST_HISTORY: Final = 1000
"""The most jobs that a clusterm here has; more would be pruned."""

_PRINTER: Final = Path(__file__).with_name("printer.py")
_LISTENS: Final = "clusterm listens on "
_PATIENCE: Final = 60.0  # seconds
_LOOK: Final = 0.05  # seconds between looks at a running job


class Broken(Exception):
    """Something did not do what is measured, so that its figure would mean nothing."""


class Clusterm:
    """A clusterm with a directory and a process of its own.

    Args:
        root: its directory, empty.
        program: what Python is to run as `clusterm`.
    """

    def __init__(self, root: Path, program: Sequence[str]) -> None:
        self.root = root
        self.state_dir = root / "state"
        self.ansible = {
            "extra_variables": json.dumps({"ansible_python_interpreter": sys.executable}),
            "cleanup_playbook": "site.yml",  # so every action is one step, and the same
        }
        self.sections: dict[str, Any] = {"monitor": {"probe": False}}
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=_PATIENCE)
        self._actions = cycle(("commission", "decommission"))

    def use_printer(self, **playbook: int | str) -> list[str]:
        """Run `printer.py` in the place of ansible-playbook, and return the command that runs it alone.

        Args:
            playbook: tells it what to print.
        """
        executable, site = self.root / "printer", self.root / "site.yml"
        executable.write_text(f"#!{sys.executable}\n{_PRINTER.read_text()}")
        executable.chmod(0o755)
        site.write_text(json.dumps(playbook))
        self.ansible |= {"executable": str(executable), "playbook_location": str(self.root)}
        return [str(executable), str(site)]

    def start(self) -> None:
        """Start the service, and announce the nodes."""
        unlimited = {"requests_per_minute": 0, "max_streams": 1000}
        manager = {"addr": "127.0.0.1:0", "state_dir": str(self.state_dir), **unlimited}
        config, log = self.root / "clusterm.json", self.root / "service.log"
        retention = {"jobs": LONGEST_HISTORY}
        sections = {"manager": manager, "ansible": self.ansible, "retention": retention, **self.sections}
        config.write_text(json.dumps(sections))
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, *self._program, "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=clean_environment(),
                start_new_session=True,  # Ctrl-C is for the benchmark, which ends this one in time
            )
        deadline = time.monotonic() + _PATIENCE
        while _LISTENS not in (said := log.read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"the service did not start: {said}")
            time.sleep(_LOOK)
        self._http.base_url = said.partition(_LISTENS)[2].split()[0]
        self._http.headers["Authorization"] = self.authorization
        announced = [
            {"label": name.partition("-")[0], "serial": name.partition("-")[2], "addr": f"127.0.1.{number}"}
            for number, name in enumerate(NODES, start=1)
        ]
        self.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": announced}})

    @property
    def url(self) -> httpx.URL:
        """Where it listens."""
        return self._http.base_url

    @property
    def authorization(self) -> str:
        """What a request says to be let in."""
        return f"Bearer {(self.state_dir / 'token').read_text().strip()}"

    @property
    def pid(self) -> int:
        """The service's process."""
        assert self._process is not None
        return self._process.pid

    def read(self, path: str) -> bytes:
        """GET the bytes of what must be there."""
        return self._ask("GET", path)

    def size(self, path: str) -> int:
        """GET what must be there, without keeping it, and return how many bytes it has."""
        with self._http.stream("GET", path, headers={"Accept-Encoding": "identity"}) as response:
            if response.is_error:
                raise Broken(f"GET {path}: {response.status_code}")
            return sum(map(len, response.iter_raw()))

    def get(self, path: str) -> Any:
        """GET what must be there."""
        return json.loads(self.read(path))

    def post(self, path: str, body: Any) -> Any:
        """POST what must be accepted."""
        return json.loads(self._ask("POST", path, json=body))

    def put(self, path: str, body: bytes) -> None:
        """PUT what must be accepted."""
        self._ask("PUT", path, content=body)

    def begin(self) -> Any:
        """Begin a job on all nodes, and return it. They are commissioned and decommissioned in turn."""
        return self.post(f"/{next(self._actions)}/nodes", {"nodes": NODES, "host_group": "service-master"})

    def until_ended(self, job: Any) -> Iterator[None]:
        """Wait until a job has ended, going round each time that it has not yet."""
        while (now := self.get(f"/info/job/{job['id']}?logs=false"))["status"] not in ENDED:
            yield
            time.sleep(_LOOK)
        if now["status"] != JobStatus.COMPLETE:
            raise Broken(f"{now['desc']}: {now['error']}")

    def run(self) -> None:
        """Run a job to its end."""
        for _ in self.until_ended(self.begin()):
            pass

    def check_lines(self, expected: int) -> None:
        """Make sure that the last job has all of its lines in the store."""
        lines = self.get("/info/job/last?logs=false")["lines"]
        if lines != expected:
            raise Broken(f"the job wrote {expected} lines, and {lines} are in the store")

    def executors(self) -> list[psutil.Process]:
        """Return the executors at work."""
        return [process for process in self._children() if "clusterm.executor" in process.info["cmdline"]]

    def destroy(self) -> None:
        """End everything."""
        self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        while living := self._children():
            for process in living:
                try:
                    process.kill()
                    process.wait(_PATIENCE)
                except psutil.NoSuchProcess:
                    continue

    def _ask(self, method: str, path: str, **body: Any) -> bytes:
        response = self._http.request(method, path, **body)  # the client that clusterctl has, too
        if response.is_error:
            raise Broken(f"{method} {path}: {response.status_code} {response.text}")
        return response.content

    def _children(self) -> list[psutil.Process]:
        """Return the service and all that came of it: this directory is on their command lines."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.root) in argument for argument in process.info["cmdline"] or ())
        ]


@contextmanager
def clusterm(program: Sequence[str] = ("-m", "clusterm")) -> Iterator[Clusterm]:
    """Make a clusterm that is not started yet, and leave nothing of it.

    Args:
        program: what Python is to run as `clusterm`.
    """
    with tempfile.TemporaryDirectory(prefix="clusterm-bench-", ignore_cleanup_errors=True) as root:
        made = Clusterm(Path(root), program)
        try:
            yield made
        finally:
            made.destroy()


def clean_environment() -> dict[str, str]:
    """Return the environment without what is meant for another clusterm, or changes how Python runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CLUSTERM_", "PYTHON"))}
