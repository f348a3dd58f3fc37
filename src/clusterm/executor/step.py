"""Runs one step of a job: one playbook run."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from clusterm.ansible.command import CannotRun, run_environment
from clusterm.ansible.job_spec import JobSpec
from clusterm.common.service_log import JobLogger
from clusterm.enums import JobStatus
from clusterm.executor import wrapper
from clusterm.executor.locks import is_watched
from clusterm.executor.output.ingest import Ingest
from clusterm.executor.retry import retry_until_available
from clusterm.jobs import start, stop
from clusterm.jobs.progress import NextStep
from clusterm.schemas import Failure, format_time
from clusterm.secrets.masking import Masker
from clusterm.store import jobs as job_queries
from clusterm.store import log_lines, tables
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_OUTPUT_POLL_INTERVAL_S: Final = 0.05  # seconds between looks at the output
_STOP_POLL_INTERVAL_S: Final = 0.5  # seconds between looks for a reason to stop


_WRAPPER_START_TIMEOUT_S: Final = 5.0  # seconds that a wrapper has to begin its work

LOST: Final[dict[str, Any]] = {}
"""How a step ended of which nobody says how it did."""


class Interrupted(Exception):
    """A step cannot go on: it was stopped before it began, or its processes are gone without a word."""


class StepRun:
    """One playbook run."""

    def __init__(self, store: Store, spec: JobSpec, directory: Path, number: int, upcoming: NextStep) -> None:
        self._store = store
        self._spec = spec
        self._number = number
        self._name, self._nodes, self._batch, self._rolls_back = upcoming
        self._directory = directory / f"{number}-{self._name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._last_output = time.monotonic()
        self._next_look = 0.0
        self._stopping = False
        self._boot: str | None = None
        self._log: JobLogger

    def run(self) -> None:
        """Run the step, or go on with it, until its end is in the store.

        Raises:
            Interrupted: it cannot go on.
        """
        row = retry_until_available(self._begin)
        try:
            self._start()
        except CannotRun as reason:
            unfit = str(reason)
            retry_until_available(lambda: self._end(None, unfit, lost=0))
            return
        outcome = self._follow(row)
        if outcome == LOST:
            raise Interrupted(self._interruption())
        status = outcome.get("status")
        error = outcome["error"] if status is None else None if status == 0 else self._explain(status)
        retry_until_available(lambda: self._end(status, error, lost=outcome["lost"]))

    def _begin(self) -> tables.JobStep:
        with self._store.write() as session:
            job = job_queries.get(session, self._spec.job_id)
            row = session.get(tables.JobStep, (job.id, self._number))
            if row is None:
                if job.stop_reason is not None and not (self._rolls_back and job.stop_cleanup):
                    raise Interrupted(job.stop_reason)
                row = tables.JobStep(
                    job_id=job.id,
                    number=self._number,
                    name=self._name,
                    playbook=self._spec.playbooks[self._name],
                    batch=self._batch,
                    started_at=datetime.now(UTC),
                    after_stop=job.stop_reason is not None,
                )
                session.add(row)
                session.flush()
            self._boot = job.boot_id
            self._log = JobLogger(log, job.id, job.action, job_queries.node_names(session, job.id))
            session.expunge(row)
            return row

    def _start(self) -> None:
        """Start the wrapper, unless this step has been started before."""
        if (self._directory / "started").exists():
            self._log.info("this executor goes on with step %s", self._name, extra={"step": self._name})
            return
        if self._boot != start.boot_id():  # it may have been, and the power cut took what told of it
            raise Interrupted(self._interruption())
        with self._store.read() as session:
            everybody = len(self._nodes) == len(job_queries.node_names(session, self._spec.job_id))
        limit = None if everybody else self._directory / "limit"
        command = self._spec.command(self._name, limit)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if limit:
            # Without localhost ansible would leave out the plays on the machine that it runs on.
            limit.write_text("".join(f"{host}\n" for host in (*self._nodes, "localhost")))
        playbook = self._spec.playbooks[self._name]
        self._log.info("step %s started: %s", self._name, playbook, extra={"step": self._name, "playbook": playbook})
        self._start_wrapper(command)

    def _start_wrapper(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", wrapper.__file__, str(self._directory), str(self._spec.stop_grace), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._spec.location,
            env=run_environment(self._spec.environment),
            start_new_session=True,
        )

    def _follow(self, row: tables.JobStep) -> dict[str, Any]:
        """Read the output into the store until the step has ended, and return how it did."""
        self._await_output()
        with self._store.read() as session:
            limit = self._spec.retention.job_log_bytes
            masker = Masker(self._spec.secrets)
            ingest = Ingest(session, row, self._directory, self._spec.nonce, limit, masker)
        try:
            while True:
                outcome = self._outcome()  # before the output is read, so that all of it is read after the end
                more = ingest.read()
                if not more and outcome is not None:
                    ingest.finish()
                if ingest.pending:
                    retry_until_available(lambda: self._write(ingest))
                    ingest.written()
                if more:
                    self._last_output = time.monotonic()
                elif outcome is not None:
                    return outcome
                else:
                    time.sleep(_OUTPUT_POLL_INTERVAL_S)
                if time.monotonic() >= self._next_look:
                    self._next_look = time.monotonic() + _STOP_POLL_INTERVAL_S
                    retry_until_available(lambda: self._stop_if_due(row))
        finally:
            ingest.close()

    def _await_output(self) -> None:
        """Wait for the wrapper to make its files."""
        deadline = time.monotonic() + _WRAPPER_START_TIMEOUT_S
        while not (self._directory / "times").exists():
            if self._wrapper_lives():
                deadline = time.monotonic() + _WRAPPER_START_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise Interrupted(self._interruption())
            time.sleep(0.005)

    def _stop_if_due(self, row: tables.JobStep) -> None:
        """Have ansible stopped if somebody asked for it or its time is over."""
        if self._stopping:
            return
        with self._store.read() as session:
            job = job_queries.get(session, self._spec.job_id)
        if job.stop_reason is None or (row.after_stop and job.stop_cleanup):
            reason = self._overdue(job, row)
            if reason is None:
                return
            stop.request_stop(
                self._store, str(job.id), JobStatus.ERRORED, reason, requester=None, cleanup=not row.after_stop
            )
        with contextlib.suppress(ValueError, KeyError):  # the wrapper does not say yet who it is: next time
            process = json.loads((self._directory / "started").read_bytes())["wrapper"]
            if wrapper.lives(process):
                os.kill(process["pid"], signal.SIGUSR1)
                self._stopping = True

    def _overdue(self, job: tables.Job, row: tables.JobStep) -> str | None:
        """Say why a timeout stops this step; what cleans up after a stop has the job's whole time for itself."""
        began = self._began if row.after_stop or job.started_clock is None else job.started_clock
        timeout = self._spec.job_timeout if job.job_timeout is None else job.job_timeout
        if timeout and time.monotonic() - began > timeout:
            return f"timed out: it ran longer than {timeout:g} s (job_timeout)"
        timeout = self._spec.idle_timeout if job.idle_timeout is None else job.idle_timeout
        if timeout and time.monotonic() - self._last_output > timeout:
            return f"timed out: ansible wrote nothing for {timeout:g} s (idle_timeout)"
        return None

    def _write(self, ingest: Ingest) -> None:
        with self._store.write() as session:
            ingest.write(session)

    def _outcome(self) -> dict[str, Any] | None:
        """Return what the wrapper says of the end, None while there is none, `LOST` if it and ansible said nothing."""
        alive = self._wrapper_lives()  # before its word is read, so that one said on leaving is not missed
        if (outcome := self._read_exit_record()) is not None:
            return outcome
        if alive:
            return None
        try:
            process = json.loads((self._directory / "started").read_bytes())["process"]
        except (ValueError, KeyError):
            return LOST
        if not wrapper.lives(process):
            return LOST
        self._log.warning("the wrapper of step %s was killed; another one takes over", self._name)
        self._stopping = False
        self._start_wrapper([])
        return None

    def _read_exit_record(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads((self._directory / "ended").read_bytes()))
        except (FileNotFoundError, ValueError):
            return None  # nothing but the space that is kept for it, or half of it

    def _wrapper_lives(self) -> bool:
        """Tell whether a wrapper is at work; one of our own may not have come to taking the lock yet."""
        return (self._process is not None and self._process.poll() is None) or is_watched(self._directory / "started")

    def _end(self, status: int | None, error: str | None, *, lost: int) -> None:
        with self._store.write() as session:
            row = job_queries.step(session, self._spec.job_id, self._number)
            row.finished_at, row.exit_status, row.error = datetime.now(UTC), status, error
            if error and row.passed and set(self._nodes).issubset(row.passed):
                row.passed = None  # it failed for a reason that ansible does not count for any of them
            lasted = row.finished_at - (row.started_at or row.finished_at)
            if lost:
                job_queries.get(session, self._spec.job_id).incomplete = True
        about = {"step": self._name, "exit_status": status, "seconds": lasted.total_seconds(), "error": error}
        outcome = f"failed: {error}" if error else "passed"
        self._log.info("step %s ended after %.1f s, %s", self._name, about["seconds"], outcome, extra=about)

    def _explain(self, status: int) -> str:
        """Say why ansible ended as it did, in a line."""
        playbook = f"{self._name} ({self._spec.playbooks[self._name]})"
        with self._store.read() as session:
            job = job_queries.get(session, self._spec.job_id)
            failures = [Failure.model_validate(failure) for failure in job.failures if failure["step"] == self._name]
            first_error = log_lines.first_error(
                session, job.id, job_queries.step(session, job.id, self._number).first_line
            )
        if status < 0:
            return f"{playbook} failed: ansible was killed by signal {-status} ({signal.strsignal(-status)})"
        if failures:
            first = failures[0]
            others = len({failure.node for failure in failures} - {first.node})
            more = f" (and {others} more)" if others else ""
            return f"{playbook} failed on {first.node}{more}: {first.reason}"
        return f"{playbook} failed: {first_error or f'ansible-playbook ended with exit status {status}'}"

    def _interruption(self) -> str:
        with self._store.read() as session:
            last = log_lines.last(session, self._spec.job_id)
        when = f" after its log line {last.seq} at {format_time(last.at)}" if last else ""
        return (
            f"interrupted in its {self._name} step{when}: ansible and what watched over it were gone, "
            "as after a power cut or a reboot"
        )
