"""Checks a job before its first step, so that a mistake in a playbook reaches no node.

Every playbook must be there, and `ansible-playbook --syntax-check` must accept it with the inventory, variables and
vault of the job.
"""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from clusterm.ansible import side_run
from clusterm.ansible.command import CannotRun
from clusterm.ansible.job_spec import JobSpec
from clusterm.common.ansible_output import final_error
from clusterm.executor.output.parser import Line, OutputParser
from clusterm.executor.retry import retry_until_available
from clusterm.executor.wrapper import missing_mark
from clusterm.secrets.masking import Masker
from clusterm.store import jobs as job_queries
from clusterm.store import log_lines
from clusterm.store.engine import Store

_MAX_OUTPUT_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 600.0


def objection(store: Store, spec: JobSpec, directory: Path, is_stopped: Callable[[], bool]) -> str | None:
    """Return why a job must not begin; None if it may, or if it is to be stopped. It is safe to repeat.

    The output of a check that fails becomes the log of the job.

    Args:
        store: the store.
        spec: the job's specification.
        directory: the job's directory.
        is_stopped: returns whether the job is to be stopped.
    """
    try:
        command = spec.syntax_check_command()
    except CannotRun as reason:
        return str(reason)
    if not spec.syntax_check:
        return None
    names = ", ".join(dict.fromkeys(spec.playbooks[step] for step in spec.steps()))

    def check() -> tuple[int | None, list[Line], bool]:
        with (directory / "syntax-check.log").open("w+b") as output:
            status = side_run.run(command, spec, output, is_stopped, timeout=_TIMEOUT_S, umask=spec.umask)
            omitted = max(output.seek(0, os.SEEK_END) - _MAX_OUTPUT_BYTES, 0)
            output.seek(omitted)  # the error is at the end
            parser = OutputParser(spec.nonce, masker=Masker(spec.secrets))
            mark = f"{missing_mark(f'{omitted} bytes', 'it is too large')}\n" if omitted else ""
            parsed = [*parser.feed(mark.encode() + output.read()), *parser.close()]
        return status, [item for item in parsed if isinstance(item, Line)], bool(omitted)

    try:
        status, lines, is_cut = retry_until_available(check)
    except TimeoutError:
        return f"not begun, because the syntax check of {names} did not end within {_TIMEOUT_S:g} s"
    except OSError as error:
        return f"not begun, because {command[0]} cannot be run: {error.strerror}"
    if not status:
        return None
    retry_until_available(lambda: _keep(store, spec, lines, is_cut=is_cut))
    found = final_error(line.text for line in lines)
    why = found.message if found else f"ansible-playbook --syntax-check ended with exit status {status}"
    return f"not begun, because ansible does not accept the playbooks ({names}): {why}"


def _keep(store: Store, spec: JobSpec, lines: Sequence[Line], *, is_cut: bool) -> None:
    """Store the lines as the log of the job, unless an earlier executor has."""
    with store.write() as session:
        job = job_queries.get(session, spec.job_id)
        if job.lines:
            return
        at = datetime.now(UTC)
        rows = [
            {"job_id": job.id, "seq": seq, "at": at, "text": line.text, "partial": line.partial}
            for seq, line in enumerate(lines, start=1)
        ]
        log_lines.append(session, [row | {"task": None, "node": None} for row in rows])
        log_lines.count(session, job, rows, spec.retention.job_log_bytes)
        job.incomplete = job.incomplete or is_cut
