"""Runs one job to its end. It may be killed at any moment; the next executor resumes where it stopped."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from clusterm.ansible import ssh
from clusterm.ansible.facts import identify
from clusterm.ansible.job_spec import JobSpec
from clusterm.common import wake_file
from clusterm.executor import preflight
from clusterm.executor.files import FORWARDED, LOG
from clusterm.executor.key_recorder import KeyRecorder
from clusterm.executor.locks import hold, sign
from clusterm.executor.provenance import ProvenanceRecorder
from clusterm.executor.retry import retry_until_available
from clusterm.executor.step import Interrupted, StepRun
from clusterm.jobs import completion, stop
from clusterm.jobs.completion import Findings
from clusterm.jobs.progress import NextStep, failed_step, is_complete, next_step
from clusterm.schemas import MonitoredNode
from clusterm.secrets.masking import Masker
from clusterm.store import job_records
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store

_WAIT_POLL_INTERVAL_S: Final = 0.5  # seconds between checks whether a job that waits has to stop


def run(directory: Path) -> None:
    """Run the job in a directory to its end, unless another executor runs it.

    Args:
        directory: the job's directory, as `job_spec.prepare` wrote it.
    """
    lock = hold(directory)
    if lock is None:
        return
    sign(lock)
    spec = JobSpec.load(directory)
    store = Store(spec.store_url)
    try:
        ended, begun = retry_until_available(partial(_progress, store, spec.job_id))
        if not ended:
            is_stopped = partial(retry_until_available, partial(_is_stopped, store, spec.job_id))
            recorder = ProvenanceRecorder(store, spec)
            if not begun:
                recorder.begin()
            unfit = None if begun or not spec.steps() else preflight.objection(store, spec, directory, is_stopped)
            error = unfit or _run_steps(store, spec, directory, recorder)
            found = _discovered(store, spec, directory, error, is_stopped)
            learned = retry_until_available(partial(_learned, store, spec, directory))
            findings = Findings(found, learned, spec.host_groups)
            retry_until_available(lambda: completion.finish(store, spec.job_id, error, findings))
            wake_file.ring(directory.parents[1], spec.job_id)
        _clear(directory)
    finally:
        store.close()
        os.close(lock)


def _clear(directory: Path) -> None:
    """Remove files that are no longer needed, secrets above all. The supervisor removes the log."""
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name not in {LOG, FORWARDED, "lock"}:
                entry.unlink(missing_ok=True)


def _run_steps(store: Store, spec: JobSpec, directory: Path, recorder: ProvenanceRecorder) -> str | None:
    """Run or resume the steps of the job, and return the error of the first one that failed."""

    def look() -> tuple[NextStep | None, str | None, int, bool]:
        with store.read() as session:
            record = job_records.load(session, job_queries.get(session, spec.job_id))
            ended = sum(step.finished_at is not None for step in record.steps)
            upcoming, failed = next_step(record), failed_step(record)
            error = failed.error if failed else None
            if upcoming is None and error is None and not is_complete(record):  # it was stopped between two steps
                error = record.row.stop_reason or "its action has no steps: its definition cannot be read"
            return upcoming, error, ended, len(record.steps) > ended

    keys = KeyRecorder(store, spec, directory)
    while True:
        retry_until_available(lambda: stop.adopt(store, directory, spec.job_id))
        upcoming, error, ended, has_begun = retry_until_available(look)
        if upcoming is None:
            return error
        if not has_begun:
            if seconds := spec.wait_before(upcoming.name, upcoming.attempt):
                _wait(store, spec, directory, seconds)
            recorder.before_step(ended + 1, upcoming.name)
        step = StepRun(store, spec, directory, ended + 1, upcoming, keys)
        try:
            step.run()
        except Interrupted as interrupted:
            return error or str(interrupted)
        finally:
            retry_until_available(keys.record)


def _wait(store: Store, spec: JobSpec, directory: Path, seconds: float) -> None:
    """Wait before a step, unless the job is to be stopped. An executor that takes over waits from the beginning."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        retry_until_available(lambda: stop.adopt(store, directory, spec.job_id))
        if retry_until_available(partial(_is_stopped, store, spec.job_id)):
            return
        time.sleep(min(left, _WAIT_POLL_INTERVAL_S))


def _progress(store: Store, job_id: int) -> tuple[bool, bool]:
    """Return whether a job has ended, and whether a step of it has begun."""
    with store.read() as session:
        return job_queries.has_ended(job_queries.get(session, job_id)), bool(job_queries.steps(session, job_id))


def _learned(store: Store, spec: JobSpec, directory: Path) -> dict[str, list[str]]:
    """Return the host keys that are stored at the end of the job, because there are no nodes before."""
    if not spec.registers:
        return {}
    with store.read() as session:
        names = list(job_queries.node_names(session, spec.job_id))
    return ssh.learned(directory, names)


def _is_stopped(store: Store, job_id: int) -> bool:
    with store.read() as session:
        return job_queries.get(session, job_id).stop_reason is not None


def _discovered(
    store: Store, spec: JobSpec, directory: Path, error: str | None, is_stopped: Callable[[], bool]
) -> dict[str, MonitoredNode | str]:
    """Identify the machines that a discover job has prepared."""
    if not spec.registers:
        return {}
    addresses = retry_until_available(partial(_prepared, store, spec.job_id, failed=error is not None))
    if not addresses:
        return {}
    masker = Masker(spec.secrets)
    found = identify(spec, directory, addresses, is_stopped)
    return {address: masker.mask(node) if isinstance(node, str) else node for address, node in found.items()}


def _prepared(store: Store, job_id: int, *, failed: bool) -> list[str]:
    """Return the addresses of the machines that a discover job has prepared; none if it was stopped."""
    with store.read() as session:
        if job_queries.get(session, job_id).stop_reason is not None:
            return []
        addresses = list(job_queries.node_names(session, job_id))
        if not failed:
            return addresses
        passed = [step.passed or () for step in job_queries.steps(session, job_id)]
        return [address for address in addresses if all(address in those for those in passed)]
