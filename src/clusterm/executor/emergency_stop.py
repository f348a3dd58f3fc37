"""Stops a running job while the store cannot be written, as on a full disk."""

import json
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from clusterm import schemas
from clusterm.common import stop_file
from clusterm.common.stop_file import StopRequest
from clusterm.enums import JobStatus
from clusterm.executor import wrapper
from clusterm.jobs.events import job_logger
from clusterm.store import job_views
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store


def stop_without_store(
    store: Store, jobs_dir: Path, label: str, *, reason: str, by: str, at: datetime, cleanup: bool
) -> schemas.Job | None:
    """Stop ansible at once, and leave the request in the job's directory, from where it is recorded later.

    Args:
        store: the store, of which only reading needs to work.
        jobs_dir: the directory of the jobs' directories.
        label: `active`, `last` or the job's id.
        reason: becomes the job's error.
        by: name of the requester.
        at: time of the request.
        cleanup: whether the cleanup playbook runs after a configure playbook that was stopped.

    Returns:
        The job; None if it does not run, or cannot be stopped in this way.

    Raises:
        RequestRefused: there is no such job.
        StoreError: the store cannot be read.
    """
    with store.read() as session:
        job = job_views.to_wire(session, job_queries.resolve(session, label))
    directory = jobs_dir / str(job.id)
    if job.status is not JobStatus.RUNNING:
        return None
    try:
        stop_file.write(directory, StopRequest(reason, by, at, cleanup))
    except OSError:
        return None
    if process := _running_wrapper(directory):  # otherwise its executor finds the file before it starts a step
        os.kill(process["pid"], signal.SIGUSR1)
    job_logger(job).warning("to be stopped, which is recorded when the store can be written: %s", reason)
    return job.model_copy(update={"cancel_requested_at": at, "cancel_requested_by": by})


def living_process(step_directory: Path, role: str) -> dict[str, Any] | None:
    """Return the identity of the `wrapper` of a step, or of ansible's `process`; None if none is alive."""
    try:
        process: dict[str, Any] = json.loads((step_directory / "started").read_bytes())[role]
    except (OSError, ValueError, KeyError):
        return None
    return process if wrapper.lives(process) else None


def _running_wrapper(directory: Path) -> dict[str, Any] | None:
    found = (living_process(started.parent, "wrapper") for started in directory.glob("*-*/started"))
    return next((process for process in found if process), None)
