"""Run a clusterm to measure, with its own directory, process and ten nodes."""

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
"""Maximum number of jobs of a clusterm in the benchmarks; more would be pruned."""

_PRINTER: Final = Path(__file__).with_name("printer.py")
_LISTENS: Final = "clusterm listens on "
_WAIT_TIMEOUT_S: Final = 60.0  # seconds
_POLL_INTERVAL_S: Final = 0.05  # seconds between polls of a running job


class Broken(Exception):
    """A measurement is invalid because the measured work was not done."""


class Clusterm:
    """A clusterm with its own directory and process.

    Args:
        root: the directory, empty.
        program: arguments of Python that run `clusterm`.
    """

    def __init__(self, root: Path, program: Sequence[str]) -> None:
        self.root = root
        self.state_dir = root / "state"
        self.ansible = {
            "extra_variables": json.dumps({"ansible_python_interpreter": sys.executable}),
            "cleanup_playbook": "site.yml",  # so that every action is the same single step
        }
        self.sections: dict[str, Any] = {"monitor": {"probe": False}}
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=_WAIT_TIMEOUT_S)
        self._actions = cycle(("commission", "decommission"))

    def use_printer(self, **playbook: int | str) -> list[str]:
        """Use `printer.py` instead of ansible-playbook, and return the command that runs it without clusterm.

        Args:
            playbook: members of the printer's playbook.
        """
        executable, site = self.root / "printer", self.root / "site.yml"
        executable.write_text(f"#!{sys.executable}\n{_PRINTER.read_text()}")
        executable.chmod(0o755)
        site.write_text(json.dumps(playbook))
        self.ansible |= {"executable": str(executable), "playbook_location": str(self.root)}
        return [str(executable), str(site)]

    def start(self) -> None:
        """Start the service, and report the nodes as discovered."""
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
                start_new_session=True,  # Ctrl-C must reach only the benchmark, which stops the service itself
            )
        deadline = time.monotonic() + _WAIT_TIMEOUT_S
        while _LISTENS not in (output := log.read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"the service did not start: {output}")
            time.sleep(_POLL_INTERVAL_S)
        self._http.base_url = output.partition(_LISTENS)[2].split()[0]
        self._http.headers["Authorization"] = self.authorization
        announced = [
            {"label": name.partition("-")[0], "serial": name.partition("-")[2], "addr": f"127.0.1.{number}"}
            for number, name in enumerate(NODES, start=1)
        ]
        self.post("/monitor/event", {"monitor_event": {"name": "discovered", "nodes": announced}})

    @property
    def url(self) -> httpx.URL:
        """The service's URL."""
        return self._http.base_url

    @property
    def authorization(self) -> str:
        """The `Authorization` header of a request."""
        return f"Bearer {(self.state_dir / 'token').read_text().strip()}"

    @property
    def pid(self) -> int:
        """The pid of the service."""
        assert self._process is not None
        return self._process.pid

    def read(self, path: str) -> bytes:
        """Return the bytes of a successful GET response."""
        return self._ask("GET", path)

    def size(self, path: str) -> int:
        """Return the number of bytes of a successful GET response, without storing it."""
        with self._http.stream("GET", path, headers={"Accept-Encoding": "identity"}) as response:
            if response.is_error:
                raise Broken(f"GET {path}: {response.status_code}")
            return sum(map(len, response.iter_raw()))

    def get(self, path: str) -> Any:
        """Return the JSON of a successful GET response."""
        return json.loads(self.read(path))

    def post(self, path: str, body: Any) -> Any:
        """POST JSON, and return the JSON of the successful response."""
        return json.loads(self._ask("POST", path, json=body))

    def put(self, path: str, body: bytes) -> None:
        """PUT bytes successfully."""
        self._ask("PUT", path, content=body)

    def begin(self) -> Any:
        """Start a job on all nodes, and return it. Jobs alternate between commission and decommission."""
        return self.post(f"/{next(self._actions)}/nodes", {"nodes": NODES, "host_group": "service-master"})

    def until_ended(self, job: Any) -> Iterator[None]:
        """Wait until a job has ended, and yield at each poll before that."""
        while (now := self.get(f"/info/job/{job['id']}?logs=false"))["status"] not in ENDED:
            yield
            time.sleep(_POLL_INTERVAL_S)
        if now["status"] != JobStatus.COMPLETE:
            raise Broken(f"{now['desc']}: {now['error']}")

    def run(self) -> None:
        """Run a job to its end."""
        for _ in self.until_ended(self.begin()):
            pass

    def check_lines(self, expected: int) -> None:
        """Check that all lines of the last job are stored."""
        lines = self.get("/info/job/last?logs=false")["lines"]
        if lines != expected:
            raise Broken(f"the job wrote {expected} lines, and {lines} are in the store")

    def executors(self) -> list[psutil.Process]:
        """Return the running executors."""
        return [process for process in self._children() if "clusterm.executor" in process.info["cmdline"]]

    def destroy(self) -> None:
        """Kill all processes of the service and its jobs."""
        self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        while living := self._children():
            for process in living:
                try:
                    process.kill()
                    process.wait(_WAIT_TIMEOUT_S)
                except psutil.NoSuchProcess:
                    continue

    def _ask(self, method: str, path: str, **body: Any) -> bytes:
        response = self._http.request(method, path, **body)  # the same client library as clusterctl's
        if response.is_error:
            raise Broken(f"{method} {path}: {response.status_code} {response.text}")
        return response.content

    def _children(self) -> list[psutil.Process]:
        """Return the service and its descendants, recognised by this directory on their command lines."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.root) in argument for argument in process.info["cmdline"] or ())
        ]


@contextmanager
def clusterm(program: Sequence[str] = ("-m", "clusterm")) -> Iterator[Clusterm]:
    """Yield a clusterm that is not started yet, and remove it afterwards.

    Args:
        program: arguments of Python that run `clusterm`.
    """
    with tempfile.TemporaryDirectory(prefix="clusterm-bench-", ignore_cleanup_errors=True) as root:
        made = Clusterm(Path(root), program)
        try:
            yield made
        finally:
            made.destroy()


def clean_environment() -> dict[str, str]:
    """Return the environment without variables of another clusterm or of Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CLUSTERM_", "PYTHON"))}
