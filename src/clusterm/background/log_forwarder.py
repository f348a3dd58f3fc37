"""Forwards an executor's log to the service's log, and on request the lines of the job's own log, too.

The executor outlives the service, so it logs to a file. The position of the last forwarded line is stored beside that
file: the next service resumes there.
"""

import contextlib
import json
import logging
from pathlib import Path
from typing import Final

from clusterm import schemas
from clusterm.common import service_log
from clusterm.executor.files import FORWARDED, LOG
from clusterm.store import jobs as job_queries
from clusterm.store import log_reader
from clusterm.store.engine import Store
from clusterm.store.log_query import LogQuery

_BYTES: Final = 1 << 20  # read at once
_ansible: Final = logging.getLogger("clusterm.ansible")
_executor: Final = logging.getLogger("clusterm.executor")


class LogForwarder:
    """Forwards the logs of one job.

    Args:
        store: the store.
        directory: the job's directory.
        job: the job's id.
        echo: whether to forward the job's own log, too.
    """

    def __init__(self, store: Store, directory: Path, job: int, *, echo: bool) -> None:
        self._store = store
        self._directory = directory
        self._echo = echo
        with store.read() as session:
            row = job_queries.find(session, job)
            about = (row.action, job_queries.node_names(session, job), row.trace_id) if row else ("", [], None)
        self._job = job
        self._about = about
        try:
            self._offset, self._line = map(int, json.loads((directory / FORWARDED).read_bytes()))
        except (OSError, ValueError, TypeError):
            self._offset, self._line = 0, 0

    def log(self, logger: logging.Logger) -> service_log.JobLogger:
        """Return a logger that marks its lines with the job."""
        return service_log.JobLogger(logger, self._job, *self._about)

    def forward(self) -> bool:
        """Forward new lines up to a limit, and return whether there were any."""
        before = self._offset, self._line
        if self._echo:
            self._forward_lines()
        self._forward_log()
        if (self._offset, self._line) == before:
            return False
        with contextlib.suppress(OSError):  # the disk is full: the next service would repeat some lines
            (self._directory / FORWARDED).write_text(json.dumps([self._offset, self._line]))
        return True

    def _forward_lines(self) -> None:
        log = self.log(_ansible)
        with self._store.read() as session:
            job = job_queries.find(session, self._job)
            rows = log_reader.read(session, job, LogQuery(), self._line + 1).rows if job else []
        for row in rows:
            written_at = row.at and schemas.format_time(row.at)
            about = {"line": row.seq, "node": row.node, "task": row.task, "written_at": written_at}
            log.info("%s", row.text, extra=about)
            self._line = row.seq

    def _forward_log(self) -> None:
        """Forward whole lines; the executor is still writing the line after the last newline."""
        try:
            with (self._directory / LOG).open("rb") as file:
                file.seek(self._offset)
                whole = file.read(_BYTES).rpartition(b"\n")[0]
        except (FileNotFoundError, NotADirectoryError):
            return
        if whole:
            self._offset += len(whole) + 1
        about = self.log(_executor).extra or {}
        for line in whole.decode(errors="backslashreplace").split("\n") if whole else ():
            record = service_log.parse(line, about)
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
