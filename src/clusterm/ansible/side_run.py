"""Run a program of ansible for a job beside its steps. It ends with its caller, and may be run again."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final

from clusterm.ansible.command import run_environment
from clusterm.ansible.job_spec import JobSpec

_LIBC: Final = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

_POLL_INTERVAL_S: Final = 0.02
_STOP_POLL_INTERVAL_S: Final = 0.5


def run(
    command: Sequence[str],
    spec: JobSpec,
    output: BinaryIO,
    is_stopped: Callable[[], bool],
    *,
    timeout: float,
    umask: int = -1,
) -> int | None:
    """Run a command among the playbooks, and return its exit status; None if the job is to be stopped.

    Args:
        command: the command line.
        spec: the job's specification.
        output: file for stdout and stderr.
        is_stopped: returns whether the job is to be stopped; asked twice per second.
        timeout: seconds after which it is killed.
        umask: its file mode creation mask; -1 for that of this process.

    Raises:
        TimeoutError: it did not end in time.
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=spec.location,
        env=run_environment(spec.environment),
        start_new_session=True,
        umask=umask,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 -- an executor has one thread
    )
    try:
        deadline = time.monotonic() + timeout
        next_look = time.monotonic() + _STOP_POLL_INTERVAL_S
        while process.poll() is None:
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError
            if now > next_look:
                next_look = now + _STOP_POLL_INTERVAL_S
                if is_stopped():
                    return None
            time.sleep(_POLL_INTERVAL_S)
        return process.returncode
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> None:
    """Let the kernel kill this process if the executor dies. The next one runs it again."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
