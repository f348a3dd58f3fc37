"""Replaces the database by a backup while no service runs, and ends the jobs that would still write to the old one."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from clusterm.common import umask
from clusterm.errors import StartupError
from clusterm.executor.locks import end_processes, is_active
from clusterm.server.state_files import locked
from clusterm.settings import Settings
from clusterm.store import restore as files
from clusterm.store.engine import Store

_POLL_INTERVAL_S: Final = 0.5


def restore(
    settings: Settings, backup: Path, *, wait: bool, end_jobs: bool, report: Callable[[str], None]
) -> Path | None:
    """Replace the database by a backup. Jobs that are still running outlive their service and use the database.

    Args:
        settings: the settings of the service.
        backup: the backup, which is only read.
        wait: whether to wait until running jobs have ended.
        end_jobs: whether to end running jobs.
        report: called with each line that tells the user what is being waited for.

    Returns:
        The file that the former database is kept in; None if there was none.

    Raises:
        StartupError: the service runs, jobs run, or the backup cannot be used; the database has not changed.
    """
    umask.restrict()
    database = Store(settings.store_url).path
    with locked(settings, database):
        try:
            copy = files.prepare(backup, database)
        except OSError as error:
            raise StartupError(f"cannot copy the backup {backup}: {error.strerror}") from None
        try:
            _finish_jobs(settings.jobs_dir, wait=wait, end_jobs=end_jobs, report=report)
            shutil.rmtree(settings.jobs_dir, ignore_errors=True)  # of jobs that the backup knows nothing of
            return files.replace(database, copy)
        except OSError as error:
            raise StartupError(f"cannot replace the database {database}: {error.strerror}") from None
        finally:
            files.discard(copy)


def _finish_jobs(jobs_dir: Path, *, wait: bool, end_jobs: bool, report: Callable[[str], None]) -> None:
    """Wait until no job runs, and end them if that is wanted.

    Raises:
        StartupError: jobs run, and they are neither to be awaited nor to be ended.
    """
    said: list[str] = []
    while running := sorted(directory.name for directory in jobs_dir.glob("*") if is_active(directory)):
        if not (wait or end_jobs):
            raise StartupError(
                f"job {', '.join(running)} is still running and uses the database: add --wait to wait for its end, or "
                "--end-jobs to end it"
            )
        if running != said:
            report(f"{'ending' if end_jobs else 'waiting for'} job {', '.join(running)}")
            said = running
        for job in running if end_jobs else ():
            end_processes(jobs_dir / job)
        time.sleep(_POLL_INTERVAL_S)
