"""Starts queued jobs in their turn, and keeps one executor at work on every running one."""

import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from clusterm.ansible.command import clean_environment
from clusterm.ansible.job_spec import JobSpec, prepare
from clusterm.background.log_forwarder import LogForwarder
from clusterm.enums import Action
from clusterm.errors import SecretsUnavailable
from clusterm.executor.files import LOG
from clusterm.executor.locks import end_outdated_holder, hold, playbook_runs
from clusterm.jobs import completion, queue
from clusterm.nodes import host_keys
from clusterm.settings import Settings
from clusterm.store import job_views, nodes, runtime_values
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_POLL_INTERVAL_S: Final = 0.5  # seconds between looks at the running jobs
_MAX_EXECUTOR_FAILURES: Final = 5  # executors of one job that may fail by themselves
_MAX_RESTART_DELAY_S: Final = 30.0  # seconds between such failures


@dataclass
class _Executor:
    """The executors of one job, as far as this service has started them."""

    forwarder: LogForwarder
    process: subprocess.Popen[bytes] | None = None
    tries: int = 0
    not_before: float = 0.0  # monotonic time

    def record_death(self, *, killed: bool) -> None:
        """Wait a little longer before each further try, unless it was killed: then it can do better next time."""
        self.process = None
        if not killed:
            self.tries += 1
            self.not_before = time.monotonic() + min(2**self.tries - 1, _MAX_RESTART_DELAY_S)


class Supervisor:
    """Starts executors and starts them again when they die.

    Args:
        store: the store.
        settings: returns the configuration as it is now.
        echo_job_logs: whether what ansible writes goes to the service's log, too.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings], *, echo_job_logs: bool) -> None:
        self._store = store
        self._settings = settings
        self._echo_job_logs = echo_job_logs
        self._executors: dict[int, _Executor] = {}
        self._awake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin to watch; jobs that were running when the last service ended are taken up again."""
        self._thread.start()

    def wake(self) -> None:
        """Look after the jobs now: one has just begun."""
        self._awake.set()

    def stop(self) -> None:
        """Stop watching. Executors and their playbooks go on."""
        self._stopping = True
        self._awake.set()
        self._thread.join()
        for executor in self._executors.values():
            if executor.process is not None:
                executor.process.returncode = executor.process.poll() or 0  # it outlives us on purpose

    def _watch(self) -> None:
        cleared = False
        while not self._stopping:
            try:
                if not cleared:
                    self._clear_up()
                    cleared = True
                self._look_after_jobs()
            except (OSError, SQLAlchemyError) as error:
                log.error("cannot look after the running jobs, trying again: %s", error)  # noqa: TRY400
            except Exception:  # a defect; but without this thread no job would ever end
                log.exception("cannot look after the running jobs, trying again")
            self._awake.wait(_POLL_INTERVAL_S)
            self._awake.clear()

    def _clear_up(self) -> None:
        """See to what is left of jobs that ended while no service ran."""
        for directory in self._settings().jobs_dir.glob("*"):
            if re.fullmatch(r"[0-9]{1,18}", directory.name):
                self._executor_of(int(directory.name))
            else:
                shutil.rmtree(directory, ignore_errors=True)  # its job never began its work

    def _look_after_jobs(self) -> None:
        settings = self._settings()
        queue.begin_queued(self._store, settings)
        with self._store.read() as session:
            running = [job.id for job in job_queries.running(session)]
        for job_id in self._executors.keys() - running:
            self._forget(job_id)
        for job_id in running:
            executor = self._executor_of(job_id)
            executor.forwarder.forward()
            if executor.process is not None and executor.process.poll() is not None:
                executor.record_death(killed=executor.process.returncode <= 0)
            if executor.process is None and time.monotonic() >= executor.not_before:
                self._start_executor(job_id, executor)

    def _executor_of(self, job_id: int) -> _Executor:
        if job_id not in self._executors:
            forwarder = LogForwarder(self._store, self._directory(job_id), job_id, echo=self._echo_job_logs)
            self._executors[job_id] = _Executor(forwarder)
        return self._executors[job_id]

    def _forget(self, job_id: int) -> None:
        """Let go of the executor of a job that has ended, once it is gone and all that it said is passed on."""
        executor = self._executors[job_id]
        gone = not _is_held(self._directory(job_id)) and (
            executor.process is None or executor.process.poll() is not None
        )
        if executor.forwarder.forward():
            self._awake.set()  # there may be more
        elif gone:
            del self._executors[job_id]
            shutil.rmtree(self._directory(job_id), ignore_errors=True)

    def _start_executor(self, job_id: int, executor: _Executor) -> None:
        directory = self._directory(job_id)
        try:
            if not directory.exists() and not self._prepare(job_id):
                self._give_up(job_id, "interrupted: its files are gone, as after the restore of a backup")
                return
            lock = hold(directory)
            if lock is None:  # an executor of an earlier service holds it
                if end_outdated_holder(directory):
                    executor.forwarder.log(log).warning(
                        "its executor is of another version; the next one resumes the job"
                    )
                return
            os.close(lock)
            JobSpec.load(directory)
            if executor.tries >= _MAX_EXECUTOR_FAILURES and not playbook_runs(directory):
                self._give_up(job_id, f"its executor died {executor.tries} times: {_last_words(directory)}")
                return
            with (directory / LOG).open("ab") as log_file:
                executor.process = subprocess.Popen(
                    [sys.executable, "-m", "clusterm.executor", str(directory)],
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=log_file,
                    env=clean_environment(),
                    start_new_session=True,
                )
        except SecretsUnavailable as lost:
            self._give_up(job_id, str(lost))
        except (OSError, ValueError) as error:
            executor.record_death(killed=False)
            if playbook_runs(directory):
                executor.forwarder.log(log).error("its executor cannot be started, trying again: %s", error)
            else:
                self._give_up(job_id, f"its executor cannot be started: {error}")
        else:
            executor.forwarder.log(log).info("executor %d started", executor.process.pid)

    def _prepare(self, job_id: int) -> bool:
        """Write the directory of a job, unless it has begun its work, which is not to be done twice."""
        with self._store.read() as session:
            row = job_queries.get(session, job_id)
            if job_queries.steps(session, job_id):
                return False
            job = job_views.to_wire(session, row)
            settings = self._settings()
            cipher = settings.cipher  # it reads the key once
            of_job = [] if row.action is Action.DISCOVER else nodes.by_names(session, job.nodes)
            wire = [nodes.to_wire(node, [], nodes.decrypt_vars(node, cipher)) for node in of_job]
            global_vars = runtime_values.decrypt_globals(session, cipher)
            keys = host_keys.known(session, job.nodes)
            prepare(settings, job, wire, global_vars, job_queries.decrypt_vars(row, cipher), keys)
        return True

    def _give_up(self, job_id: int, error: str) -> None:
        completion.finish(self._store, self._settings().retention, job_id, error)

    def _directory(self, job_id: int) -> Path:
        return self._settings().jobs_dir / str(job_id)


def _is_held(directory: Path) -> bool:
    """Tell whether an executor of the job in a directory lives, perhaps one of the service before us."""
    try:
        lock = hold(directory)
    except FileNotFoundError:
        return False
    if lock is not None:
        os.close(lock)
    return lock is None


def _last_words(directory: Path) -> str:
    """Return the last line that a job's executors wrote, which is the exception where there was one."""
    lines = (directory / LOG).read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it was killed"
