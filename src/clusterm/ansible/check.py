"""Check in the background whether ansible can be run."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clusterm.ansible.command import clean_environment, find_executable
from clusterm.common.ansible_output import final_error

_SUCCESS_CACHE_S: Final = 300.0  # seconds that a success is cached
_FAILURE_CACHE_S: Final = 10.0  # seconds that a failure is cached
_VERSION_TIMEOUT_S: Final = 20.0  # seconds that the program may take to print its version
_FIRST_WAIT_S: Final = 2.0  # seconds that the first caller waits for the result


@dataclass(frozen=True)
class _Result:
    program: tuple[str, int]
    """Path and modification time, in nanoseconds since the epoch."""
    problem: str | None
    at: float

    def is_stale(self) -> bool:
        return time.monotonic() - self.at > (_SUCCESS_CACHE_S if self.problem is None else _FAILURE_CACHE_S)


class AnsibleCheck:
    """Runs the program in the background and caches the result, so that frequent callers do not wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: _Result | None = None
        self._running: threading.Thread | None = None

    def problem(self, executable: str) -> str | None:
        """Return the reason for which a program cannot be run; None if it can, or while the check is running.

        Args:
            executable: the configured ansible-playbook.
        """
        path = find_executable(executable)
        if path is None:
            return f"{executable} was not found"
        try:
            program = (path, Path(path).stat().st_mtime_ns)
        except OSError as error:  # it has just been removed
            return f"{path} cannot be run: {error.strerror}"
        with self._lock:
            cached = self._last is not None and self._last.program == program
            if self._running is None and not (cached and self._last and not self._last.is_stale()):
                thread = threading.Thread(target=self._try, args=(program,), name="trial", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # too many threads or too little memory; the next call tries again
                    return f"{path} cannot be checked: no thread can be started"
                self._running = thread
            running = self._running
        if running is not None and not cached:
            running.join(_FIRST_WAIT_S)
        last = self._last
        return last.problem if last is not None and last.program == program else None

    def _try(self, program: tuple[str, int]) -> None:
        problem: str | None = f"{program[0]} could not be checked"
        try:
            problem = _run(program[0])
        finally:
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
        return f"{path} did not print its version within {_VERSION_TIMEOUT_S:g} seconds"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    found = final_error(lines)
    reason = found.message if found else lines[-1] if lines else f"exit status {done.returncode}"
    return f"{path} cannot print its version: {reason}"
