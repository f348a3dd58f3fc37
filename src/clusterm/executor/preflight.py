"""Checks a job before its first step, so that a mistake in a playbook reaches no node.

Every playbook must be there, and `ansible-playbook --syntax-check` must accept it with the inventory, variables and
vault of the job.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from clusterm.ansible.command import CannotRun, run_environment
from clusterm.ansible.job_spec import JobSpec
from clusterm.common.ansible_output import final_error
from clusterm.executor.output.parser import Line, OutputParser
from clusterm.executor.retry import retry_until_available
from clusterm.secrets.masking import Masker
from clusterm.store import jobs as job_queries
from clusterm.store import log_lines
from clusterm.store.engine import Store

_MAX_OUTPUT_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 600.0
_POLL_INTERVAL_S: Final = 0.02
_STOP_POLL_INTERVAL_S: Final = 0.5


def objection(store: Store, spec: JobSpec, directory: Path) -> str | None:
    """Return why a job must not begin; None if it may, or if it is to be stopped. It is safe to repeat.

    The output of a check that fails becomes the log of the job.
    """
    try:
        commands = spec.commands()
    except CannotRun as reason:
        return str(reason)
    if not spec.syntax_check:
        return None
    executable, *options, _ = commands[0]
    playbooks = list(dict.fromkeys(command[-1] for command in commands))
    names = ", ".join(dict.fromkeys(spec.playbooks[step] for step in spec.steps()))

    def check() -> tuple[int | None, list[Line]]:
        with (directory / "syntax-check.log").open("w+b") as output:
            status = _run([executable, "--syntax-check", *options, *playbooks], spec, output, store)
            output.seek(0)
            parser = OutputParser(spec.nonce, masker=Masker(spec.secrets))
            parsed = [*parser.feed(output.read(_MAX_OUTPUT_BYTES)), *parser.close()]
        return status, [item for item in parsed if isinstance(item, Line)]

    try:
        status, lines = retry_until_available(check)
    except TimeoutError:
        return f"not begun, because the syntax check of {names} did not end within {_TIMEOUT_S:g} s"
    except OSError as error:
        return f"not begun, because {executable} cannot be run: {error.strerror}"
    if not status:
        return None
    retry_until_available(lambda: _keep(store, spec.job_id, lines))
    found = final_error(line.text for line in lines)
    why = found.message if found else f"ansible-playbook --syntax-check ended with exit status {status}"
    return f"not begun, because ansible does not accept the playbooks ({names}): {why}"


def _run(command: Sequence[str], spec: JobSpec, output: BinaryIO, store: Store) -> int | None:
    """Run a command, and return its exit status; None if the job is to be stopped.

    Raises:
        TimeoutError: it does not end.
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
        umask=spec.umask,
    )
    try:
        deadline = time.monotonic() + _TIMEOUT_S
        next_look = time.monotonic() + _STOP_POLL_INTERVAL_S
        while process.poll() is None:
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError
            if now > next_look:
                next_look = now + _STOP_POLL_INTERVAL_S
                if retry_until_available(lambda: _is_stopped(store, spec.job_id)):
                    return None
            time.sleep(_POLL_INTERVAL_S)
        return process.returncode
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_stopped(store: Store, job_id: int) -> bool:
    with store.read() as session:
        return job_queries.get(session, job_id).stop_reason is not None


def _keep(store: Store, job_id: int, lines: Sequence[Line]) -> None:
    """Store the lines as the log of the job, unless an earlier executor has."""
    with store.write() as session:
        job = job_queries.get(session, job_id)
        if job.lines:
            return
        at = datetime.now(UTC)
        rows = [
            {"job_id": job_id, "seq": seq, "at": at, "text": line.text, "partial": line.partial}
            for seq, line in enumerate(lines, start=1)
        ]
        log_lines.append(session, [row | {"task": None, "node": None} for row in rows])
        job.lines, job.bytes = len(rows), sum(len(line.text.encode()) + 1 for line in lines)
