"""Starts queued jobs in their turn, and keeps an executor running for every running job."""

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from clusterm.ansible.command import clean_environment
from clusterm.ansible.job_spec import JobSpec, prepare
from clusterm.background.log_forwarder import LogForwarder
from clusterm.common.background_task import PeriodicTask
from clusterm.common.backoff import Backoff
from clusterm.common.database_url import password_environment
from clusterm.common.transient import is_transient
from clusterm.errors import SecretsUnavailable, VariablesRefused
from clusterm.executor.files import LOG
from clusterm.executor.locks import end_outdated_holder, end_processes, hold, holder, is_active, playbook_runs
from clusterm.executor.stopped import StoppedProcess
from clusterm.jobs import completion, queue, stop
from clusterm.nodes import host_keys
from clusterm.settings import Settings
from clusterm.store import definitions, job_views, nodes, runtime_values
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_POLL_INTERVAL_S: Final = 0.5
_MAX_EXECUTOR_FAILURES: Final = 5
"""Executors of one job that may fail without being killed."""

_STEADY_S: Final = 60.0
"""Seconds after which an executor is not counted among the failures in a row."""

_FIRST_RESTART_DELAY_S: Final = 1.0
_MAX_RESTART_DELAY_S: Final = 30.0


def _restart_backoff() -> Backoff:
    return Backoff(_FIRST_RESTART_DELAY_S, _MAX_RESTART_DELAY_S)


@dataclass
class _Executor:
    """The executors of one job that this service has started: the present one, and the failures of those before."""

    forwarder: LogForwarder
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    """Executors in a row that failed by themselves soon after their start."""
    backoff: Backoff = field(default_factory=_restart_backoff)
    is_ending: bool = False
    """Whether the job's processes are being ended, because its files are gone."""
    stopped: StoppedProcess = field(default_factory=StoppedProcess)
    _started: float = 0.0  # monotonic time

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        """Record that an executor has started."""
        self.process, self._started = process, time.monotonic()

    def record_death(self, *, killed: bool) -> None:
        """Delay the next executor after a failure. A killed one is replaced at once, since the next may succeed."""
        self.process = None
        if time.monotonic() - self._started > _STEADY_S:
            self.deaths = 0
            self.backoff.reset()
        if not killed:
            self.deaths += 1
            self.backoff.fail()


class Supervisor(PeriodicTask):
    """Starts executors, and starts them again when they die.

    At its start it resumes the jobs that were running when the last service ended. At its end executors and their
    playbooks continue.

    Args:
        store: the store.
        settings: returns the present settings.
        echo_job_logs: whether ansible's output is written to the service's log, too.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings], *, echo_job_logs: bool) -> None:
        super().__init__("supervisor", _POLL_INTERVAL_S, expected=(OSError, StoreError))
        self._store = store
        self._settings = settings
        self._echo_job_logs = echo_job_logs
        self._executors: dict[int, _Executor] = {}
        self.lost_executors = 0
        """Executors of this service that died before their jobs had ended."""
        self._leftovers: list[Path] | None = None  # directories of the last service, still to be examined

    def run(self) -> None:
        """Examine every job. A job that cannot be served does not affect the others."""
        self._clear_up()
        with self.isolated("queued jobs"):
            queue.begin_queued(self._store, self._settings())
        with self._store.read() as session:
            running = {job.id: job.stop_reason is not None for job in job_queries.running(session)}
        for job_id in self._executors.keys() - running.keys():
            self._isolated(self._forget, job_id)
        for job_id, must_stop in running.items():
            self._isolated(self._supervise, job_id)
            self._isolated(partial(self._continue_executor, at_once=must_stop), job_id)

    def close(self) -> None:
        """Detach from the executors: subprocess would otherwise warn about processes that outlive their parent."""
        for executor in self._executors.values():
            if executor.process is not None:
                executor.process.returncode = executor.process.poll() or 0

    def _isolated(self, work: Callable[[int], None], job_id: int) -> None:
        if not self.is_stopping:
            with self.isolated(f"job {job_id}"):
                work(job_id)

    def _clear_up(self) -> None:
        """Examine the directories of jobs that ended while no service was running, each until that has succeeded."""
        if self._leftovers is None:
            self._leftovers = list(self._settings().jobs_dir.glob("*"))
        for directory in list(self._leftovers):
            with self.isolated(f"directory {directory}"):
                self._adopt(directory)
                self._leftovers.remove(directory)

    def _adopt(self, directory: Path) -> None:
        if not directory.is_dir() or not (name := re.fullmatch(r"([0-9]{1,18})(\.new)?", directory.name)):
            log.warning("%s is not a job's directory and is ignored", directory)
        elif name[2]:
            _remove(directory)  # its job was never started
        else:
            self._executor_of(int(name[1]))

    def _supervise(self, job_id: int) -> None:
        """Forward the log of a running job's executor, and start an executor if none runs."""
        executor = self._executor_of(job_id)
        with self.isolated(f"stop of job {job_id}"):
            stop.adopt(self._store, self._directory(job_id), job_id)
        with self.isolated(f"log of job {job_id}"):
            executor.forwarder.forward()
        if executor.process is not None and executor.process.poll() is not None:
            self.lost_executors += executor.process.returncode != 0  # with 0 it has just ended its job
            executor.record_death(killed=executor.process.returncode <= 0)
        if executor.process is None and executor.backoff.is_over():
            self._start_executor(job_id, executor)

    def _executor_of(self, job_id: int) -> _Executor:
        if job_id not in self._executors:
            forwarder = LogForwarder(self._store, self._directory(job_id), job_id, echo=self._echo_job_logs)
            self._executors[job_id] = _Executor(forwarder)
        return self._executors[job_id]

    def _forget(self, job_id: int) -> None:
        """Release the executor of a job that has ended, once it has exited and its whole log is forwarded."""
        executor, directory = self._executors[job_id], self._directory(job_id)
        try:
            more = executor.forwarder.forward()
        except OSError as error:
            if is_transient(error):
                raise
            executor.forwarder.log(log).error("the log of its executor cannot be read: %s", error)
            more = False
        if more:
            self.wake()  # there may be more
        elif (executor.process is not None and executor.process.poll() is None) or is_active(directory):
            self._continue_executor(job_id, at_once=True)
        else:
            _remove(directory)
            del self._executors[job_id]

    def _continue_executor(self, job_id: int, *, at_once: bool) -> None:
        """Continue an executor that was stopped by a signal, since only a running one stops its job and ends it.

        Args:
            job_id: the job.
            at_once: whether something waits for the executor, such as a cancel; otherwise it waits a while.
        """
        executor = self._executors[job_id]
        if executor.stopped.continue_if_due(holder(self._directory(job_id)), at_once=at_once):
            warning = "its executor was stopped by a signal and has been continued"
            executor.forwarder.log(log).warning(warning)
            with self._store.write() as session:
                job = job_queries.get(session, job_id)
                if not job_queries.has_ended(job):
                    job_queries.warn(job, warning)

    def _start_executor(self, job_id: int, executor: _Executor) -> None:
        directory = self._directory(job_id)
        try:
            self._launch(job_id, executor, directory)
        except (SecretsUnavailable, VariablesRefused) as refused:
            self._fail(job_id, str(refused))
        except (OSError, ValueError) as error:
            executor.backoff.fail()
            if self._may_start_later(job_id, directory, error):
                raise
            self._fail(job_id, f"its executor cannot be started: {error}")

    def _may_start_later(self, job_id: int, directory: Path, error: OSError | ValueError) -> bool:
        """Return whether to keep a job whose executor cannot be started, rather than to end it.

        A job that has begun is kept unless its files are damaged, since its playbook may run, or may have passed.
        """
        with self._store.read() as session:
            stopped = job_queries.get(session, job_id).stop_reason is not None
            has_begun = bool(job_queries.steps(session, job_id))
        if playbook_runs(directory):
            return True
        return not stopped and (is_transient(error) or (has_begun and isinstance(error, OSError)))

    def _launch(self, job_id: int, executor: _Executor, directory: Path) -> None:
        """Start an executor, unless one runs or the job cannot continue.

        Raises:
            SecretsUnavailable: secrets of the job cannot be decrypted.
            VariablesRefused: variables of the job may not be set any more.
            OSError: the executor cannot be started.
        """
        if directory.exists():
            lock = hold(directory)
            if lock is None:  # an executor of an earlier service holds it
                if end_outdated_holder(directory):
                    executor.forwarder.log(log).warning(
                        "its executor is of another version; the next one resumes the job"
                    )
                return
            os.close(lock)
        spec = _load(directory)
        if spec is None and not self._prepare(job_id, directory):
            if end_processes(directory):
                if not executor.is_ending:
                    executor.forwarder.log(log).warning("its files are gone: its processes are being ended")
                executor.is_ending = True
                return
            self._fail(job_id, "interrupted: its files are gone, as after the restore of a backup or a power cut")
            return
        if spec is not None and not self._is_of(job_id, spec):
            if not end_processes(directory):
                shutil.rmtree(directory)
            return
        if executor.deaths >= _MAX_EXECUTOR_FAILURES and not playbook_runs(directory):
            self._fail(job_id, f"its executor died {executor.deaths} times: {_last_words(directory)}")
            return
        with (directory / LOG).open("ab") as log_file:
            process = subprocess.Popen(
                [sys.executable, "-m", "clusterm.executor", str(directory)],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env=clean_environment() | dict(password_environment(self._settings().store_url)),
                start_new_session=True,
            )
        executor.begin(process)
        executor.forwarder.log(log).info("executor %d started", process.pid)

    def _is_of(self, job_id: int, spec: JobSpec) -> bool:
        """Return whether a specification is of a job. After a restore of the database, another job may have its id."""
        with self._store.read() as session:
            accepted_at = job_queries.get(session, job_id).created_at
        return spec.accepted_at in {accepted_at, None}

    def _prepare(self, job_id: int, directory: Path) -> bool:
        """Write the directory of a job; return False if its first step has begun, since a step must not run twice."""
        with self._store.read() as session:
            row = job_queries.get(session, job_id)
            if job_queries.steps(session, job_id):
                return False
            if directory.exists():  # the disk has lost some of its files
                shutil.rmtree(directory)
            job = job_views.to_wire(session, row)
            settings = self._settings()
            cipher = settings.cipher  # it reads the key once
            spec = definitions.of_job(row)
            of_job = nodes.by_names(session, job.nodes) if spec.on_nodes else []
            wire = [nodes.to_wire(node, [], nodes.decrypt_vars(node, cipher)) for node in of_job]
            global_vars = runtime_values.decrypt_globals(session, cipher)
            keys = host_keys.known(session, job.nodes, row.extra_vars)
            prepare(settings, job, spec, wire, global_vars, job_queries.decrypt_vars(row, cipher), keys)
        return True

    def _fail(self, job_id: int, error: str) -> None:
        completion.finish(self._store, job_id, error)

    def _directory(self, job_id: int) -> Path:
        return self._settings().jobs_dir / str(job_id)


def _load(directory: Path) -> JobSpec | None:
    """Return the specification in a job's directory; None if it is missing or damaged.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return JobSpec.load(directory)
    except (FileNotFoundError, ValueError):
        return None


def _remove(directory: Path) -> None:
    """Remove the directory of a job, unless that will never be possible.

    Raises:
        OSError: it cannot be removed now.
    """
    try:
        shutil.rmtree(directory)
    except OSError as error:
        if is_transient(error):
            raise
        if not isinstance(error, FileNotFoundError):
            log.warning("%s cannot be removed: %s", directory, error.strerror)


def _last_words(directory: Path) -> str:
    """Return the last line that a job's executors logged: the exception, if there was one."""
    lines = (directory / LOG).read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it was killed"
