"""Runs one step of a job: one playbook run."""

import errno
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
from clusterm.common import stop_file, wake_file
from clusterm.common.elapsed import boot_id, seconds_since
from clusterm.common.service_log import JobLogger
from clusterm.common.timestamps import format_time
from clusterm.enums import JobStatus
from clusterm.executor import wrapper
from clusterm.executor.emergency_stop import living_process
from clusterm.executor.key_recorder import KeyRecorder
from clusterm.executor.locks import is_watched
from clusterm.executor.output.ingest import Ingest
from clusterm.executor.retry import retry_until_available
from clusterm.executor.stopped import StoppedProcess
from clusterm.jobs import stop
from clusterm.jobs.progress import NextStep
from clusterm.secrets.masking import Masker
from clusterm.store import failures, log_lines, tables, task_results
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_OUTPUT_POLL_INTERVAL_S: Final = 0.05  # seconds between reads of the output
_BUSY_POLL_INTERVAL_S: Final = 0.01  # seconds between them while ansible prints
_BUSY_S: Final = 1.0  # seconds after output for which more is expected soon
_STOP_POLL_INTERVAL_S: Final = 0.5  # seconds between checks whether the step has to stop
_MAX_OBSERVED_S: Final = 2.0  # seconds between two reads of the output that count as observed
_FILES_POLL_INTERVAL_S: Final = 0.005  # seconds between checks whether the wrapper has created its files
_WRAPPER_START_TIMEOUT_S: Final = 5.0  # seconds for a wrapper to create its files

_UNREAD_LOGS: Final = 4
"""Logs of the maximum size that the output of a step may take on the disk while the executor has not read it."""

_MIN_UNREAD_BYTES: Final = 64 << 20

_AFTER_RECAP: Final = frozenset({0, 2})
"""Exit statuses with which ansible-playbook ends only after a recap: success, and failed tasks."""

_MAX_NAMES: Final = 10
"""Maximum number of nodes that an error names."""

LOST: Final[dict[str, Any]] = {}
"""Outcome of a step whose processes are gone and have left no exit record."""


class Interrupted(Exception):
    """A step was stopped before it began, or its processes are gone and have left no exit record."""


class StepRun:
    """One playbook run."""

    def __init__(
        self, store: Store, spec: JobSpec, directory: Path, number: int, upcoming: NextStep, keys: KeyRecorder
    ) -> None:
        self._store = store
        self._spec = spec
        self._keys = keys
        self._number = number
        self._name, self._nodes = upcoming.name, upcoming.nodes
        self._batch, self._rolls_back = upcoming.batch, upcoming.rolls_back
        self._attempt = upcoming.attempt
        self._directory = directory / f"{number}-{self._name}"
        self._state_dir = directory.parents[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._observed = time.monotonic()
        self._silence = 0.0
        self._next_look = 0.0
        self._stopping = False
        self._stopped_wrapper = StoppedProcess()
        self._boot: str | None = None
        self._log: JobLogger

    def run(self) -> None:
        """Run or resume the step until its end is in the store.

        Raises:
            Interrupted: its outcome cannot be determined.
        """
        row = retry_until_available(self._begin)
        try:
            retry_until_available(self._start)
        except CannotRun as reason:
            unfit = str(reason)
            retry_until_available(lambda: self._end(None, unfit, lost=0))
            return
        outcome = self._follow(row)
        if outcome == LOST:
            raise Interrupted(self._interruption())
        status = outcome.get("status")
        error: str | None = None
        if status is None:
            error = outcome["error"]
        else:
            error = self._explain(status) if status != 0 else self._explain_missed_nodes()
        # A stop that could not be recorded before explains which nodes failed, and why.
        retry_until_available(lambda: stop.adopt(self._store, self._directory.parent, self._spec.job_id))
        retry_until_available(lambda: self._end(status, error, lost=outcome["lost"]))

    def _begin(self) -> tables.JobStep:
        with self._store.write() as session:
            job = job_queries.get(session, self._spec.job_id)
            row = job_queries.find_step(session, job.id, self._number)
            if row is None:
                if job.stop_reason is not None and not (self._rolls_back and job.stop_cleanup):
                    raise Interrupted(job.stop_reason)
                row = tables.JobStep(
                    job_id=job.id,
                    number=self._number,
                    name=self._name,
                    playbook=self._spec.playbooks[self._name],
                    batch=self._batch,
                    attempt=self._attempt,
                    started_at=datetime.now(UTC),
                    started_clock=time.monotonic(),
                    after_stop=job.stop_reason is not None,
                )
                session.add(row)
                session.flush()
                if self._attempt > 1:  # only the failures of the last attempt count
                    failures.remove(session, job.id, self._name, self._nodes)
            self._boot = job.boot_id
            self._log = JobLogger(log, job.id, job.action, job_queries.node_names(session, job.id), job.trace_id)
            session.expunge(row)
            return row

    def _start(self) -> None:
        """Start the wrapper, unless an earlier executor has started it."""
        if (self._directory / "started").exists():
            self._log.info("this executor resumes step %s", self._name, extra={"step": self._name})
            return
        if self._boot != boot_id():  # the step may have been started before a power cut that lost its files
            raise Interrupted(self._interruption())
        with self._store.read() as session:
            everybody = len(self._nodes) == len(job_queries.node_names(session, self._spec.job_id))
        limit = None if everybody else self._directory / "limit"
        command = self._spec.command(self._name, limit)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if limit:
            # Without localhost, ansible would skip plays on the machine that it runs on.
            limit.write_text("".join(f"{host}\n" for host in (*self._nodes, "localhost")))
        playbook = self._spec.playbooks[self._name]
        self._start_wrapper(command)
        self._await_files()
        self._log.info("step %s started: %s", self._name, playbook, extra={"step": self._name, "playbook": playbook})

    def _start_wrapper(self, command: Sequence[str]) -> None:
        program = [sys.executable, "-I", "-S", wrapper.__file__]
        limit = max(_UNREAD_LOGS * self._spec.retention.job_log_bytes, _MIN_UNREAD_BYTES)
        self._process = subprocess.Popen(
            [*program, str(self._directory), str(self._spec.stop_grace), str(limit), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self._spec.location,
            env=run_environment(self._spec.environment),
            start_new_session=True,
            umask=self._spec.umask,
        )

    def _await_files(self) -> None:
        """Wait until the wrapper that was started has created its files, or has been killed before.

        Raises:
            OSError: it has ended by itself, and has started nothing.
        """
        assert self._process is not None  # noqa: S101 -- for the type checker
        while not (self._directory / "times").exists() and self._process.poll() is None:
            time.sleep(_FILES_POLL_INTERVAL_S)
        if not (self._directory / "started").exists():
            raise OSError(errno.EAGAIN, f"the wrapper of step {self._name} cannot be started, see the lines above")

    def _follow(self, row: tables.JobStep) -> dict[str, Any]:
        """Read the output into the store until the step has ended, and return its outcome."""
        self._await_output()
        with self._store.read() as session:
            ingest = Ingest(session, row, self._nodes, self._directory, self._spec, Masker(self._spec.secrets))
        try:
            while True:
                self._count_silence()
                outcome = self._outcome()  # before the output is read, so that all of it is read after the end
                more = ingest.read()
                if not more and outcome is not None:
                    ingest.finish()
                if ingest.pending:
                    retry_until_available(lambda: self._write(ingest))
                    ingest.written()
                    wake_file.ring(self._state_dir, self._spec.job_id)
                if more:
                    self._silence = 0.0
                elif outcome is not None:
                    return outcome
                else:
                    time.sleep(_BUSY_POLL_INTERVAL_S if self._silence < _BUSY_S else _OUTPUT_POLL_INTERVAL_S)
                if time.monotonic() >= self._next_look:
                    self._next_look = time.monotonic() + _STOP_POLL_INTERVAL_S
                    retry_until_available(lambda: self._stop_if_due(row))
                    retry_until_available(self._continue_wrapper)
                    retry_until_available(self._keys.record)
        finally:
            ingest.close()

    def _count_silence(self) -> None:
        """Count the time since the last look at the output as silent, unless this executor itself stood still.

        While it did, as in a suspended virtual machine, ansible may have stood still, too.
        """
        now = time.monotonic()
        self._silence += min(now - self._observed, _MAX_OBSERVED_S)
        self._observed = now

    def _await_output(self) -> None:
        """Wait until the wrapper that an earlier executor started has created its files."""
        deadline = time.monotonic() + _WRAPPER_START_TIMEOUT_S
        while not (self._directory / "times").exists():
            if self._wrapper_lives():
                deadline = time.monotonic() + _WRAPPER_START_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise Interrupted(self._interruption())
            time.sleep(_FILES_POLL_INTERVAL_S)

    def _stop_if_due(self, row: tables.JobStep) -> None:
        """Stop ansible if that was requested or a timeout has expired."""
        if self._stopping:
            return
        with self._store.read() as session:
            job = job_queries.get(session, self._spec.job_id)
        is_requested = job.stop_reason is not None or stop_file.read(self._directory.parent) is not None
        if not is_requested or (row.after_stop and job.stop_cleanup):
            reason = self._overdue(job, row)
            if reason is None:
                return
            stop.request_stop(
                self._store, str(job.id), JobStatus.ERRORED, reason, requester=None, cleanup=not row.after_stop
            )
        if process := self._living("wrapper"):  # otherwise it has not written its pid yet: retry at the next check
            os.kill(process["pid"], signal.SIGUSR1)
            self._stopping = True

    def _continue_wrapper(self) -> None:
        """Continue a wrapper that was stopped by a signal: at once if it has to stop ansible, otherwise after a while.

        Without its wrapper, ansible can neither be stopped nor write more than the pipe holds.
        """
        process = self._living("wrapper")
        if self._stopped_wrapper.continue_if_due(process["pid"] if process else None, at_once=self._stopping):
            warning = f"the wrapper of step {self._name} was stopped by a signal and has been continued"
            self._log.warning(warning)
            with self._store.write() as session:
                job_queries.warn(job_queries.get(session, self._spec.job_id), warning)

    def _overdue(self, job: tables.Job, row: tables.JobStep) -> str | None:
        """Return which timeout has expired; None if none has. After a stop, a rollback gets the whole job_timeout."""
        began = self._began if row.after_stop or job.started_clock is None else job.started_clock
        timeout = self._spec.job_timeout if job.job_timeout is None else job.job_timeout
        if timeout and time.monotonic() - began > timeout:
            return f"timed out: it ran longer than {timeout:g} s (job_timeout)"
        timeout = self._spec.step(self._name).timeout
        if timeout and time.monotonic() - self._began > timeout:
            return f"timed out: its step {self._name} ran longer than {timeout:g} s"
        timeout = self._spec.idle_timeout if job.idle_timeout is None else job.idle_timeout
        if timeout and self._silence > timeout:
            return f"timed out: ansible wrote nothing for {timeout:g} s (idle_timeout)"
        return None

    def _write(self, ingest: Ingest) -> None:
        with self._store.write() as session:
            ingest.write(session)

    def _outcome(self) -> dict[str, Any] | None:
        """Return the exit record; None while the step runs, `LOST` if wrapper and ansible are gone without one."""
        alive = (
            self._wrapper_lives()
        )  # checked before the record is read, so that a record written at exit is not missed
        if (outcome := self._read_exit_record()) is not None:
            return outcome
        if alive:
            return None
        if self._living("process") is None:
            return LOST
        self._log.warning("the wrapper of step %s was killed; a new one takes over", self._name)
        self._stopping = False
        self._start_wrapper([])
        return None

    def _living(self, role: str) -> dict[str, Any] | None:
        return living_process(self._directory, role)

    def _read_exit_record(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads((self._directory / "ended").read_bytes()))
        except (FileNotFoundError, ValueError):
            return None  # only the reserved space, or a partial record

    def _wrapper_lives(self) -> bool:
        """Return whether a wrapper is alive; one that this executor started may not hold the lock yet."""
        return (self._process is not None and self._process.poll() is None) or is_watched(self._directory / "started")

    def _end(self, status: int | None, error: str | None, *, lost: int) -> None:
        with self._store.write() as session:
            row = job_queries.step(session, self._spec.job_id, self._number)
            job = job_queries.get(session, self._spec.job_id)
            row.finished_at, row.exit_status, row.error = datetime.now(UTC), status, error
            row.seconds = seconds_since(row.started_at or row.finished_at, job.boot_id, row.started_clock)
            if error and row.passed and set(self._nodes).issubset(row.passed):
                row.passed = None  # the step failed for a reason that ansible attributes to no node
            if status == 0 and row.without_play is None:
                job_queries.warn(
                    job,
                    f"the results of {self._name} ({row.playbook}) are not known, because clusterm's callback plugin "
                    "did not report them: its nodes passed because ansible-playbook ended with exit status 0",
                )
            if lost:
                job.incomplete = True
            if job.stop_reason is not None:
                until = job.stop_requested_at or row.finished_at
                failures.add(session, job.id, task_results.interrupted(session, row, until))
            about = {"step": self._name, "exit_status": status, "seconds": row.seconds, "error": error}
        outcome = f"failed: {error}" if error else "passed"
        self._log.info("step %s ended after %.1f s, %s", self._name, about["seconds"], outcome, extra=about)

    def _explain(self, status: int) -> str:
        """Return in one line why ansible failed.

        The error with which ansible itself ended is after its last record, except that another callback plugin may
        print an error after the recap.
        """
        playbook = f"{self._name} ({self._spec.playbooks[self._name]})"
        if status < 0:
            return f"{playbook} failed: ansible was killed by signal {-status} ({signal.strsignal(-status)})"
        with self._store.read() as session:
            job = job_queries.get(session, self._spec.job_id)
            elsewhere = set(job_queries.node_names(session, job.id)).difference(self._nodes)  # in other batches
            of_step = failures.of_job(session, job.id, self._name)
            error = log_lines.ansible_error(session, job, job_queries.step(session, job.id, self._number))
        found = [failure for failure in of_step if failure.node not in elsewhere]
        if found and (error is None or status in _AFTER_RECAP):
            first = found[0]
            others = len({failure.node for failure in found} - {first.node})
            more = f" (and {others} more)" if others else ""
            return f"{playbook} failed on {first.node}{more}: {first.reason}"
        return f"{playbook} failed: {error.message if error else f'ansible-playbook ended with exit status {status}'}"

    def _explain_missed_nodes(self) -> str | None:
        """Return why nodes have not passed although ansible reports success; None if all have passed."""
        with self._store.read() as session:
            step = job_queries.step(session, self._spec.job_id, self._number)
            of_step = failures.of_job(session, self._spec.job_id, self._name)
        missed = [node for node in self._nodes if node not in (self._nodes if step.passed is None else step.passed)]
        if not missed:
            return None
        if any(failure.task for failure in of_step):
            return self._explain(0)
        if step.without_play and self._spec.every_node_needs_a_play:
            reason = f"no play in {step.playbook} is for {_listed(step.without_play)}"
        else:
            reason = f"ansible ended, with exit status 0, before every play was complete for {_listed(missed)}"
        return f"{self._name} ({step.playbook}) failed: {reason}"

    def _interruption(self) -> str:
        with self._store.read() as session:
            last = log_lines.last(session, self._spec.job_id)
        when = f" after its log line {last.seq} at {format_time(last.at)}" if last else ""
        return (
            f"interrupted in its {self._name} step{when}: ansible and what watched over it were gone, "
            "as after a power cut or a reboot"
        )


def _listed(nodes: Sequence[str]) -> str:
    more = len(nodes) - _MAX_NAMES
    return ", ".join(nodes[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
