"""Whether ansible can be run, found out by running it now and then."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterm.ansible.command import clean_environment, find_executable

_SUCCESS_CACHE_S: Final = 300.0  # seconds that a program counts as one that runs
_FAILURE_CACHE_S: Final = 10.0  # seconds that it counts as one that does not
_VERSION_TIMEOUT_S: Final = 20.0  # seconds that it has to say its version
_FIRST_WAIT_S: Final = 2.0  # seconds that the first one who asks waits for that


@dataclass(frozen=True)
class _Result:
    program: tuple[str, int]
    """Its path, and when it was changed."""
    problem: str | None
    at: float

    def is_stale(self) -> bool:
        return time.monotonic() - self.at > (_SUCCESS_CACHE_S if self.problem is None else _FAILURE_CACHE_S)


class AnsibleCheck:
    """Tries the program in the background, so that who asks often is answered at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: _Result | None = None
        self._running: threading.Thread | None = None

    def problem(self, executable: str) -> str | None:
        """Return why a program cannot be run; None if it can, or if that is not known yet.

        Args:
            executable: what is run as ansible-playbook, as configured.
        """
        path = find_executable(executable)
        if path is None:
            return f"{executable} was not found"
        program = (path, Path(path).stat().st_mtime_ns)
        with self._lock:
            known = self._last is not None and self._last.program == program
            if self._running is None and not (known and self._last and not self._last.is_stale()):
                self._running = threading.Thread(target=self._try, args=(program,), name="trial", daemon=True)
                self._running.start()
            running = self._running
        if running is not None and not known:
            running.join(_FIRST_WAIT_S)
        last = self._last
        return last.problem if last is not None and last.program == program else None

    def _try(self, program: tuple[str, int]) -> None:
        problem = _run(program[0])
        with self._lock:
            self._last, self._running = _Result(program, problem, time.monotonic()), None


def _run(path: str) -> str | None:
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        return f"{path} cannot be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"{path} did not say its version within {_VERSION_TIMEOUT_S:g} seconds"
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{path} cannot say its version: {said[-1] if said else f'exit status {done.returncode}'}"
